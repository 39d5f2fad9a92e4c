"""`tuning.seeds`: a trial that is better than the best so far is trained again with other seeds, and judged by the mean
over all of them. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from headway_trainer import seeds
from headway_trainer.tuning.events import Ended, TrialState


def seed_of(seed: int, repeat: int) -> int:
    """The `spec.seed` of a repeat: that of the job for the first, which is the trial's own training.

    seed: the job's. The same for all trials, so that what differs between two of them is not their seeds.
    """
    return seed if repeat == 1 else seeds.child_seed(seed, f"seed-{repeat}")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a trial is judged by, once all its trainings have ended."""

    state: TrialState
    value: float | None
    """The mean of those that have all their epochs; none where one of them has failed."""
    deviation: float | None = None
    """The standard deviation (n - 1) of their values; none of one alone."""
    whole: bool = False
    """Whether it was repeated, and no training of it was cut short."""
    cause: str | None = None
    message: str | None = None


def judged(own: Ended, repeats: Sequence[Ended]) -> Judged:
    """What a trial is judged by. own: how its own training ended. repeats: how those with other seeds did."""
    if not repeats:
        return Judged(own.state, None if own.state == "failed" else own.value, cause=own.cause, message=own.message)
    failed = next((one for one in repeats if one.state == "failed"), None)
    if failed is not None:
        message = f"with the seed of its repeat {failed.repeat}: {failed.message or 'it left no message'}"
        return Judged("failed", None, cause=failed.cause, message=message)
    values = [one.value for one in (own, *repeats) if one.state == "completed" and one.value is not None]
    whole = len(values) == 1 + len(repeats)
    return Judged(
        state="completed" if whole else "stopped",
        value=math.fsum(values) / len(values),
        deviation=statistics.stdev(values) if len(values) > 1 else None,
        whole=whole,
    )
