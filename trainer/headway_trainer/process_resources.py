"""What each training process has of the GPUs and cores that are there, and what to say where that is not what was asked
for. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from headway_api import quantities
from headway_api.consistency.metrics import named_of_packages
from headway_api.job import TrainingJobSpec
from headway_api.pods import Workers


def threads(workers: Workers, cores: int = 0) -> int:
    """What a training process computes with: its part of the whole cores that its pod asks for, or of `cores`, if that
    is more; at least one.

    cores: what the machine lends to this job alone, as under `headway run`; 0 in a pod, whose request is what it can
    count on. In a pod, sums therefore come out the same on any machine.
    """
    asked = math.floor(quantities.parse(workers.resources.cpu)) // workers.processes_each
    return max(1, asked, cores // workers.world_size)


def cores_short(workers: Workers, cores: int = 0) -> str | None:
    """That the training processes of a pod have less than a core each, in a sentence for people; none if they have.

    cores: as for `threads`. One process in a pod may ask for as little as it likes.
    """
    processes = workers.processes_each
    if cores or processes == 1 or quantities.parse(workers.resources.cpu) >= processes:
        return None
    return (
        f"The {processes} training processes of a worker pod share the {workers.resources.cpu} cores that it asks for, "
        f"and take turns where its node has no others: raise workers.resources.cpu to {processes} or more."
    )


class Sharing(NamedTuple):
    """How many trials share what one of them has."""

    places: int = 1
    """Each place of a training process."""
    gpus: int = 1
    """Each GPU."""


ALONE = Sharing()
"""What trials have that share nothing, and all else that is trained."""


def shared(workers: Workers, trials: int, gpus: int) -> tuple[int, Sharing]:
    """What each of so many trials has of one worker pod that they share: GPUs, and with how many it shares them.

    gpus: that the worker has. Where they do not go round, those of one GPU have equal parts of it.
    """
    places = max(1, -(-trials // workers.processes_each))
    if not gpus:
        return 0, Sharing(places)
    return max(1, gpus // trials), Sharing(places, max(1, -(-trials // gpus)))


def at_once(spec: TrainingJobSpec) -> int:
    """The most training processes that a worker pod has at once: more than places where trials share these."""
    workers, tuning = spec.workers, spec.tuning
    if tuning is None or tuning.trials_per_worker == 1:
        return workers.processes_each
    of_trials = tuning.trials_per_worker * tuning.workers_of_one(workers).world_size
    return max(workers.processes_each, of_trials)


UNITS = 10_000
"""Ray counts resources in so many parts of one."""


def part(sharers: int) -> float:
    """One of so many equal parts of a resource, which together are no more than one, as Ray counts them."""
    return UNITS // sharers / UNITS


CONTEXT_BYTES = 512 * 2**20
"""What CUDA and its libraries take for each process beside what torch allocates, about."""
LEAST_OF_PART = 0.25


def memory_part(total: int, sharers: int) -> float:
    """The share of a GPU's memory that torch may allocate in one of so many processes on it; 1 for one alone.

    total: its bytes. Each has an equal part without what CUDA itself takes, or at least a quarter of such a part: so
    what one trial takes makes no other one fail.
    """
    if sharers == 1:
        return 1.0
    return max(LEAST_OF_PART / sharers, 1 / sharers - CONTEXT_BYTES / total)


def cores_short_of_trials(workers: Workers, trials: int, cores: int = 0) -> str | None:
    """That trials which share a worker pod have less than a core each, in a sentence for people; none if they have.

    cores: as for `threads`.
    """
    if trials == 1 or cores or quantities.parse(workers.resources.cpu) >= trials:
        return None
    return (
        f"The {trials} trials of a worker pod share the {workers.resources.cpu} cores that it asks for, and take turns"
        f" where its node has no others: raise workers.resources.cpu to {trials} or more, or lower"
        " tuning.trialsPerWorker."
    )


def processes_can_stay(spec: TrainingJobSpec) -> bool:
    """Whether a training process may go on to another run when it has done one of this spec.

    Not where it has run code that is not Headway's: what that leaves in its modules would make another model of the
    next run than a fresh process makes, and so than a resumed one. But it may after a training function of the user's,
    whose modules are imported anew for each run.
    """
    model = spec.model
    own = model is not None and model.entrypoint and not (spec.training and spec.training.entrypoint)
    packages = (model is not None and model.name is not None and "." in model.name) or named_of_packages(spec)
    return not own and not packages


def gpus_for_each(workers: Workers, there: int) -> int:
    """GPUs to lend to each training process: those that the job asks for, or as many as there are for each."""
    return min(max(1, workers.gpus_each), there // workers.world_size)


def gpus_held(workers: Workers, there: int) -> int:
    """GPUs that worker pods hold, whether their processes use them or not: those that the job asks for, or as many as
    the machine has."""
    return min(workers.replicas * workers.resources.gpu, there)


def gpus_unused(workers: Workers, there: int) -> str | None:
    """Why GPUs that are there, or were asked for, are not used, in a sentence for people; none if all are."""
    asked = workers.gpus_each
    if there == 0 and asked == 0:
        return None
    if there == 0:
        return f"The job asks for GPUs, and this machine has none: it trains on the CPU{_in_many(workers)}."
    each = gpus_for_each(workers, there)
    if each == 0:
        return (
            f"This machine's GPUs ({there}) are not used, as each of the {_processes(workers)} needs one of its own: "
            f"it trains on the CPU. Set {_one_process_each(workers, there)} to use them."
        )
    used = each * workers.world_size
    if each < asked:
        return (
            f"Each training process has {each} of this machine's GPUs ({there}), and not the {asked} that the job asks "
            "for."
        )
    if used < there:
        return f"The job uses {used} of this machine's {there} GPUs: more workers (workers.replicas) would use more."
    return None


def idle_beside(estimator: str, workers: Workers) -> str | None:
    """What the job asks for and an estimator's fit of a model does not use, in a sentence for people; none if there is
    none."""
    idle, remedies = [], []
    if workers.world_size > 1:
        idle.append(f"{workers.world_size - 1} of the {_processes(workers)}")
    if workers.resources.gpu:
        idle.append("the GPUs")
        remedies.append("take workers.resources.gpu out")
    if workers.replicas > 1:
        remedies.append("set workers.replicas to 1")
    if (workers.processes or 1) > 1:
        remedies.append("take workers.processes out")
    if not idle:
        return None
    return (
        f"{estimator} is fitted in one process on its CPU, which has no use for {' and '.join(idle)}: "
        f"{', '.join(remedies)}, and give workers.resources.cpu what the fit may take."
    )


def _processes(workers: Workers) -> str:
    """How many train, with what the number comes from."""
    if workers.processes_each == 1:
        return f"{workers.replicas} workers"
    return f"{workers.world_size} training processes (workers.replicas {workers.replicas} x {workers.processes_each})"


def _in_many(workers: Workers) -> str:
    """What to do about a process for each GPU that is not there."""
    if workers.processes_each == 1 or workers.processes is not None:
        return ""
    return f", in {workers.world_size} processes, one for each GPU; set workers.resources.gpu to 0 for one a worker"


def _one_process_each(workers: Workers, there: int) -> str:
    """What to set so that as many processes train as there are GPUs."""
    fields = [f"workers.replicas to {there}"]
    if workers.processes is not None and workers.processes > 1:
        fields.append("workers.processes to 1")
    if workers.resources.gpu > 1:
        fields.append("workers.resources.gpu to 1")
    return f"{', '.join(fields[:-1])} and {fields[-1]}" if fields[1:] else fields[0]
