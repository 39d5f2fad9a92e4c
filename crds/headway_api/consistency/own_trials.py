"""`spec.tuning` of a training function of the user's own: what it has to say, and what does not go together with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api import metrics
from headway_api.base import BrokenRule
from headway_api.consistency.facts import own_loop, searched
from headway_api.tuning import Tuning

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_HERE = ("tuning",)


def own_tuned(spec: TrainingJobSpec) -> Tuning | None:
    """What is tuned of a training function of the user's own, if anything is."""
    return searched(spec) if own_loop(spec) else None


def metric_of_an_own_function(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """What trials are compared by, of which only the function knows what it means."""
    tuning = own_tuned(spec)
    if tuning is None:
        return
    if tuning.metric is None:
        yield BrokenRule(
            "training.entrypoint reports by names of its own, and trials are compared by one of them: write metric, the"
            " name as the function reports it",
            _HERE,
        )
    elif tuning.mode is None and metrics.better(tuning.metric) is None:
        yield BrokenRule(
            f"{tuning.metric} is a name of the function's own, and whether more of it is better is not known: write"
            " mode min or max",
            _HERE,
        )


def final_of_an_own_function(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Another training in the end, on rows that the function takes as it likes."""
    tuning = own_tuned(spec)
    if tuning is not None and tuning.final != "best":
        yield BrokenRule(
            "training.entrypoint takes the rows of each part itself, so it cannot be trained on the validation part,"
            " too: take final out",
            (*_HERE, "final"),
        )


def seeds_of_an_own_function(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Repeats with other seeds, of which the function may make what it likes."""
    tuning = own_tuned(spec)
    if tuning is not None and tuning.seeds > 1:
        yield BrokenRule(
            "what training.entrypoint makes of a seed is not known, so repeats of a trial may be the same: take seeds"
            " out",
            (*_HERE, "seeds"),
        )


def earlier_trials_of_an_own_function(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Earlier trials, which another state of the function's code may have trained."""
    tuning = own_tuned(spec)
    if tuning is not None and tuning.warm_start is not None:
        yield BrokenRule(
            "whether earlier trials were trained by the same training.entrypoint is not known, so they may not be"
            " compared: take warmStart out",
            (*_HERE, "warmStart"),
        )


CHECKS = (
    metric_of_an_own_function,
    final_of_an_own_function,
    seeds_of_an_own_function,
    earlier_trials_of_an_own_function,
)
