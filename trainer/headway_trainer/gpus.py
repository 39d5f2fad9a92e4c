"""The GPUs of a machine or of pods, and the training processes that they are lent to. Pure."""

from __future__ import annotations

from headway_api.pods import Workers


def gpus_for_each(workers: Workers, there: int) -> int:
    """GPUs to lend to each training process: those that the job asks for, or as many as there are for each."""
    return min(max(1, workers.resources.gpu), there // workers.replicas)


def gpus_unused(workers: Workers, there: int) -> str | None:
    """Why GPUs that are there, or were asked for, are not used, in a sentence for people; none if all are."""
    if there == 0:
        asked = workers.resources.gpu > 0
        return "The job asks for GPUs, and this machine has none: it trains on the CPU." if asked else None
    each = gpus_for_each(workers, there)
    if each == 0:
        return (
            f"This machine's GPUs ({there}) are not used, as each of the {workers.replicas} workers needs one of its "
            f"own: it trains on the CPU. Set workers.replicas to {there} to use them."
        )
    if (used := each * workers.replicas) < there:
        return f"The job uses {used} of this machine's {there} GPUs: more workers (workers.replicas) would use more."
    return None
