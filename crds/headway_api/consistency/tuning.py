"""How trials are searched for: conditions, searchers, grids, how many there are and how many at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from headway_api import trials
from headway_api.base import BrokenRule
from headway_api.consistency import own_trials, trial_metrics, trial_values
from headway_api.consistency.facts import searched
from headway_api.parameters import MAX_VALUES, IntRange, Parameter, SteppedRange, values_written
from headway_api.tuning import MAX_PER_WORKER, MAX_TRIALS, Tuning
from headway_api.wording import listed, nearest

if TYPE_CHECKING:
    from pydantic import JsonValue

    from headway_api.job import TrainingJobSpec

_HERE = ("tuning",)
_PARAMETERS = (*_HERE, "parameters")


def conditions_that_never_hold(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Conditions on what is no parameter, or on a value that it never has."""
    tuning = searched(spec)
    parameters = tuning.parameters if tuning is not None else {}
    if values_written(parameters) > MAX_VALUES:
        return  # that is told
    for path, parameter in parameters.items():
        for other, wanted in parameter.when.items():
            here = (*_PARAMETERS, path, "when", other)
            if other not in parameters:
                near = nearest(other, [each for each in parameters if each != path])
                yield BrokenRule(
                    f"{other} is no parameter of this job, so nothing depends on it: "
                    + (f"did you mean {near}?" if near else "name one that is in tuning.parameters, or take it out"),
                    here,
                )
                continue
            keys = frozenset(map(trials.key_of, parameters[other].listed or ()))
            for index, value in enumerate(wanted):
                said = _never(parameters[other], keys, other, value)
                if said is not None:
                    yield BrokenRule(said, (*here, index))


def _never(parameter: Parameter, keys: frozenset[Hashable], path: str, value: JsonValue) -> str | None:
    """Why a parameter never has a value; None where it may. keys: of its values, where these are listed."""
    bounds, values = parameter.range, parameter.listed
    if values is not None:
        if trials.key_of(value) in keys:
            return None
        return f"{trials.told(value)} is no value of {path}: write one of {listed([trials.told(v) for v in values])}"
    if not isinstance(bounds, IntRange):
        return f"{path} is a range of real numbers, and no condition is met by chance: give it choice"
    if isinstance(value, int) and not isinstance(value, bool) and bounds.min <= value <= bounds.max:
        step = bounds.step if isinstance(bounds, SteppedRange) else 1
        if (value - bounds.min) % step == 0:
            return None
    of = f"the whole numbers from {bounds.min} to {bounds.max}"
    steps = f" in steps of {bounds.step}" if isinstance(bounds, SteppedRange) and bounds.step > 1 else ""
    return f"{trials.told(value)} is no value of {path}, which has {of}{steps}: write one of them"


def conditions_in_a_circle(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Parameters each of which waits for another."""
    tuning = searched(spec)
    if tuning is None:
        return
    for path in sorted(tuning.parameters):
        way = trials.circle(tuning.parameters, path)
        if way is not None and path == min(way):  # each circle once
            told = " depends on ".join([*way, path])
            yield BrokenRule(f"{told}, so none of them has a value: take one when out", (*_PARAMETERS, path, "when"))


def search_by_numbers_alone(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """CMA-ES, which moves a point in a space of numbers, and other parameters than those."""
    tuning = searched(spec)
    if tuning is None or tuning.search.name != "cmaes":
        return
    for path, parameter in tuning.parameters.items():
        if parameter.choice is not None:
            yield BrokenRule(
                "cmaes searches numbers alone: write a range, such as int or logUniform, or another search.name",
                (*_PARAMETERS, path, "choice"),
            )
        if parameter.when:
            yield BrokenRule(
                "cmaes changes all parameters together, so none may have conditions: take when out, or write another"
                " search.name",
                (*_PARAMETERS, path, "when"),
            )


def combinations_of(tuning: Tuning) -> int:
    """How many combinations a grid has; MAX_TRIALS + 1 where there are more than may be tried."""
    return sum(1 for _ in islice(trials.grid(tuning), MAX_TRIALS + 1))


def _is_grid(tuning: Tuning) -> bool:
    """Whether it is a grid that holds what a grid may hold: what does not has a problem of its own."""
    lists = all(one.listed is not None for one in tuning.parameters.values())
    return tuning.search.name == "grid" and lists and values_written(tuning.parameters) <= MAX_VALUES


def trials_beyond_the_grid(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """More trials than combinations, or more combinations than may be tried."""
    tuning = searched(spec)
    if tuning is None or not _is_grid(tuning):
        return
    there = combinations_of(tuning)
    if tuning.trials is None and there > MAX_TRIALS:
        yield BrokenRule(
            f"the grid has more than {MAX_TRIALS} combinations, and no more trials are allowed: take values out, or"
            " write trials, which then are the first ones of the grid",
            _PARAMETERS,
        )
    elif tuning.trials is not None and tuning.trials > there:
        yield BrokenRule(
            f"{tuning.trials} trials are more than the {there} combinations of the grid: write at most {there}, or take"
            " trials out",
            (*_HERE, "trials"),
        )


def more_trials_at_once_than_have_room(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """More trials side by side than the workers suffice for."""
    tuning = searched(spec)
    if tuning is None or tuning.max_concurrent is None:
        return
    room = tuning.at_once(spec.workers)
    if 0 < room < tuning.max_concurrent:
        several = tuning.trials_per_worker
        how = f"{several} on each" if several > 1 else f"{tuning.workers_per_trial} for each"
        yield BrokenRule(
            f"{tuning.max_concurrent} trials at once are more than the {room} that workers.replicas"
            f" {spec.workers.replicas} suffices for, with {how}: write at most {room}, or"
            " raise workers.replicas",
            (*_HERE, "maxConcurrent"),
        )


def trials_that_share_unevenly(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Trials that share a worker, and of its GPUs or training processes some would have more than others."""
    tuning, workers = searched(spec), spec.workers
    if tuning is None or tuning.trials_per_worker <= 1:
        return
    divided = {"training processes (workers.processes)": workers.processes_each}
    if workers.resources.gpu:
        divided = {"GPUs (workers.resources.gpu)": workers.resources.gpu, **divided}
    here = tuning.trials_per_worker
    uneven = next((what for what, many in divided.items() if not _evenly(many, here)), None)
    if uneven is not None:
        *fitting, last = (
            str(count)
            for count in range(1, MAX_PER_WORKER + 1)
            if all(_evenly(many, count) for many in divided.values())
        )
        yield BrokenRule(
            f"{here} trials cannot have equal parts of the {divided[uneven]} {uneven} of each worker: write"
            f" {', '.join(fitting)} or {last}",
            (*_HERE, "trialsPerWorker"),
        )


def _evenly(many: int, trials_each: int) -> bool:
    """Whether each trial has as many of these things, or each thing as many trials."""
    return many % trials_each == 0 or trials_each % many == 0


def patience_beyond_the_trials(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """More trials without improvement than there are."""
    tuning = searched(spec)
    if tuning is None or tuning.stop_when.no_improvement_trials is None:
        return
    if tuning.search.name == "grid" and not _is_grid(tuning):
        return
    many, patience = trials.planned(tuning), tuning.stop_when.no_improvement_trials
    if patience >= many:
        lower = f"write at most {many - 1}, or " if many > 1 else ""
        yield BrokenRule(
            f"{patience} trials without improvement are never reached with {many} trials, the first of which is the"
            f" best so far: {lower}take it out",
            (*_HERE, "stopWhen", "noImprovementTrials"),
        )


OF_NAMES = trial_metrics.OF_NAMES
CHECKS = (
    *trial_metrics.CHECKS,
    *own_trials.CHECKS,
    *trial_values.CHECKS,
    conditions_that_never_hold,
    conditions_in_a_circle,
    search_by_numbers_alone,
    trials_beyond_the_grid,
    more_trials_at_once_than_have_room,
    trials_that_share_unevenly,
    patience_beyond_the_trials,
)
