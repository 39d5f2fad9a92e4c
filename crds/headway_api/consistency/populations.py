"""`tuning.scheduler.name: pbt`: how large its population is, and what does not go together with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api import trials
from headway_api.base import BrokenRule
from headway_api.consistency.trial_metrics import tuned
from headway_api.schedulers import MOST_OF_A_POPULATION
from headway_api.tuning import MAX_TRIALS, Tuning

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_HERE = ("tuning",)
_PARAMETERS = (*_HERE, "parameters")
DROPOUT = "model.options.dropout"


def _population(spec: TrainingJobSpec) -> Tuning | None:
    """What is tuned by population based training, if anything is."""
    tuning = tuned(spec)
    return tuning if tuning is not None and tuning.scheduler.name == "pbt" else None


def too_small_or_too_large(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A population in which nobody can take over from another, or of more checkpoints than are kept."""
    tuning = _population(spec)
    if tuning is None:
        return
    many = trials.planned(tuning)
    where = _PARAMETERS if tuning.trials is None else (*_HERE, "trials")
    if many == 1:
        yield BrokenRule("1 trial has none to take over from: write 2 or more, or another scheduler.name", where)
    elif MOST_OF_A_POPULATION < many <= MAX_TRIALS:  # more of a grid is told where grids are judged
        yield BrokenRule(
            f"{many} trials are more than a population may have, as the checkpoint of each is kept: write at most"
            f" {MOST_OF_A_POPULATION}",
            where,
        )


def values_that_come_and_go(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Parameters with conditions, and a dropout of 0, which is a model without that layer."""
    tuning = _population(spec)
    if tuning is None:
        return
    for path, parameter in tuning.parameters.items():
        if parameter.when:
            yield BrokenRule(
                "pbt changes all parameters together, so none may have conditions: take when out, or write another"
                " scheduler.name",
                (*_PARAMETERS, path, "when"),
            )
    dropout = tuning.parameters.get(DROPOUT)
    if dropout is None:
        return
    said = "0 is a model without this layer, and pbt gives one model's checkpoint to another: write values above 0"
    if dropout.range is not None and dropout.range.min == 0:
        yield BrokenRule(said, (*_PARAMETERS, DROPOUT, dropout.forms[0], "min"))
    for index, value in enumerate(dropout.listed or ()):
        if value == 0 and not isinstance(value, bool):
            yield BrokenRule(said, (*_PARAMETERS, DROPOUT, dropout.forms[0], index))


def ends_of_single_trials(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """What ends a trial, or counts their ends, where all are trained side by side to the same epoch."""
    tuning = _population(spec)
    if tuning is None:
        return
    if spec.training is not None and spec.training.early_stopping is not None:
        yield BrokenRule(
            "earlyStopping ends a trial that no longer gets better, and with pbt it takes over from a better one: take"
            " earlyStopping out, or write another tuning.scheduler.name",
            ("training", "earlyStopping"),
        )
    if tuning.stop_when.no_improvement_trials is not None:
        yield BrokenRule(
            "counts trials that end one after another, and those of pbt all end together: take it out, or write value",
            (*_HERE, "stopWhen", "noImprovementTrials"),
        )


CHECKS = (too_small_or_too_large, values_that_come_and_go, ends_of_single_trials)
