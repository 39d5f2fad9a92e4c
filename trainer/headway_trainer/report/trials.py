"""The trials of a search as the result tells of them: counted, and as many of them as a file for people bears. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, get_args

from headway_api.metrics import Better
from headway_api.parameters import Parameter
from headway_api.tuning import Tuning
from headway_trainer.report.tuning_model import (
    ParameterForm,
    Retrained,
    ScheduledValues,
    TrialCurve,
    TrialResult,
    TunedConstraint,
    TunedObjective,
    TuningResult,
)
from headway_trainer.tuning.events import EarlierSource, TrialState
from headway_trainer.tuning.objectives import Outcome
from headway_trainer.tuning.objectives import front as _front

Trial = TypeVar("Trial", bound=TrialResult)
MOST_TRIALS = 1000
"""Trials that a result holds."""
MOST_BYTES = 4 << 20
"""What they take as JSON at most, but for the best one, which is always there."""
_STATES: tuple[TrialState, ...] = get_args(TrialState)
_FORMS: tuple[ParameterForm, ...] = get_args(ParameterForm)
MOST_OF_A_FRONT = 100
"""Trials of a front that a result names."""
_MOST_IMPROVEMENTS = 500
_MOST_CHANGES = 200
"""Changes of values that a result tells of the best trial."""
_MOST_FAILED = 50
_MOST_MESSAGE = 500
"""Characters of a sentence that a result holds."""


def tuning_result(
    tuning: Tuning,
    metric: str,
    trials: Sequence[TrialResult],
    *,
    best: int | None,
    ended: str,
    importances: Mapping[str, float] | None = None,
    retrained: Retrained | None = None,
    earlier: Sequence[EarlierSource] = (),
    takeovers: int = 0,
    schedule: Sequence[ScheduledValues] = (),
    gpu_hours: float | None = None,
    curves: Sequence[TrialCurve] = (),
) -> TuningResult:
    """What the result says of a search.

    metric: as `part/name`. trials: all of them. best: the number of the best one. ended: why no further trial was
    begun. importances: by parameter, from 0 to 1. retrained: how the run's own model is trained; none where it is the
    best trial's. earlier: the studies that the searcher began with. takeovers and schedule: of a population, how often
    a trial took over from another, and what the best one's model was trained with. gpu_hours: of all trials, where they
    were counted. curves: the metric over epochs, of some trials.
    """
    found = bounded_result(
        trials,
        metric=metric,
        better=tuning.better(metric),
        search=tuning.search.name,
        scheduler=tuning.scheduler.name,
        best=best,
        ended=ended,
        objectives=[
            TunedObjective(metric=one.metric, better=tuning.better(one.metric)) for one in tuning.objectives or ()
        ],
        curves=curves,
    )
    return found.model_copy(
        update={
            "constraints": [TunedConstraint(**one.model_dump()) for one in tuning.constraints or ()],
            "seeds": tuning.seeds,
            "gpu_hours": gpu_hours,
            "retrained": retrained,
            "earlier": list(earlier),
            "parameters": {path: _form(parameter) for path, parameter in tuning.parameters.items()},
            "takeovers": takeovers,
            "schedule": list(schedule)[-_MOST_CHANGES:],
            "importances": dict(sorted((importances or {}).items(), key=lambda one: -one[1])),
        }
    )


def bounded_result(
    trials: Sequence[TrialResult],
    *,
    metric: str,
    better: Better,
    search: str,
    scheduler: str,
    best: int | None,
    ended: str,
    objectives: Sequence[TunedObjective] = (),
    curves: Sequence[TrialCurve] = (),
) -> TuningResult:
    """What the result says of any trials, whoever has chosen them: sums, and as many of them as it has room for."""
    ordered = sorted(trials, key=lambda one: one.number)
    found = front_of(ordered, objectives)
    named = thinned(found, MOST_OF_A_FRONT)
    counts = {state: sum(one.state == state for one in ordered) for state in _STATES}
    return TuningResult(
        metric=metric,
        better=better,
        objectives=list(objectives),
        front=named,
        front_trials=len(found),
        search=search,
        scheduler=scheduler,
        ended=ended[:_MOST_MESSAGE],
        counts={state: count for state, count in counts.items() if count},
        epochs=sum(one.epochs + sum(each.epochs for each in one.repeats) for one in ordered),
        seconds=round(sum(one.seconds + sum(each.seconds for each in one.repeats) for one in ordered), 3),
        best=best,
        trials=bounded([_cut(one) for one in ordered], better, best, objectives=objectives, front=named),
        curves=list(curves),
    )


def front_of(trials: Iterable[TrialResult], objectives: Sequence[TunedObjective]) -> list[int]:
    """The numbers of the trials that keep all constraints and that none dominates, the best by the first objective
    first; none where there are not several objectives."""
    valued = [one for one in trials if one.value is not None and one.metrics]
    if not objectives:
        return []
    losses = [tuple(_loss(one.metrics[each.metric], each.better) for each in objectives) for one in valued]
    found = _front([Outcome(each, one.violation) for each, one in zip(losses, valued, strict=True)])
    return [valued[index].number for index in found]


def thinned(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly spaced; the first and the last are among them. most: at least 2."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[place * (len(numbers) - 1) // (most - 1)] for place in range(most)]


def improvements(
    trials: Iterable[TrialResult], better: Better, objectives: Sequence[TunedObjective] = ()
) -> list[TrialResult]:
    """The trials that were better than all before them, by number. objectives: as the result has them."""
    found: list[TrialResult] = []
    for one in trials:
        if one.value is None:
            continue
        if not found or _rank(one, better, objectives) < _rank(found[-1], better, objectives):
            found.append(one)
    return found


def best_first(trials: Iterable[Trial], better: Better, objectives: Sequence[TunedObjective] = ()) -> list[Trial]:
    """The trials that have a value, the best first; of equal ones the earlier: by their violation, their value, and
    then by the other objectives in their order."""
    valued = (one for one in trials if one.value is not None)
    return sorted(valued, key=lambda one: (_rank(one, better, objectives), one.number))


def bounded(
    trials: Sequence[TrialResult],
    better: Better,
    best: int | None,
    *,
    objectives: Sequence[TunedObjective] = (),
    front: Sequence[int] = (),
    most: int = MOST_TRIALS,
    most_bytes: int = MOST_BYTES,
) -> list[TrialResult]:
    """At most so many of the trials, by number, in at most so many bytes of JSON.

    First the best, then those of the front, the newest of those that were better than all before them, some that
    failed, and the others from the best on.
    """
    chosen = [one for one in trials if one.number == best]
    there = frozenset(front)
    chosen += [one for one in trials if one.number in there]
    chosen += improvements(trials, better, objectives)[-_MOST_IMPROVEMENTS:]
    chosen += [one for one in trials if one.state == "failed"][:_MOST_FAILED]
    chosen += best_first(trials, better, objectives)
    chosen += trials
    kept: dict[int, TrialResult] = {}
    size = 0
    for one in {one.number: one for one in chosen}.values():
        size += len(one.model_dump_json())
        if len(kept) == most or (kept and size > most_bytes):
            break
        kept[one.number] = one
    return [kept[number] for number in sorted(kept)]


def _form(parameter: Parameter) -> ParameterForm:
    told = parameter.model_dump(by_alias=True, exclude_none=True)
    return next(form for form in _FORMS if form in told)


def _rank(trial: TrialResult, better: Better, objectives: Sequence[TunedObjective]) -> tuple[float, ...]:
    """The smaller, the better."""
    value = math.inf if trial.value is None else _loss(trial.value, better)
    others = [_loss(trial.metrics[one.metric], one.better) for one in objectives[1:] if one.metric in trial.metrics]
    return (trial.violation, value, *others)


def _loss(value: float, better: Better) -> float:
    return value if better == "min" else -value


def _cut(trial: TrialResult) -> TrialResult:
    if any(one.message for one in trial.repeats):  # the trial's own says which has failed, and why
        repeats = [one.model_copy(update={"message": None}) for one in trial.repeats]
        trial = trial.model_copy(update={"repeats": repeats})
    if trial.message is None or len(trial.message) <= _MOST_MESSAGE:
        return trial
    return trial.model_copy(update={"message": f"{trial.message[: _MOST_MESSAGE - 1]}…"})
