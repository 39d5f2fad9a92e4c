"""The trials of a job of a cluster, from its storage: read as `headway trials tj/NAME` reads them, and kept small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, at, text
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.run_folders import with_trials
from headway_cli.ui.trials.axes import cut, finite, told
from headway_cli.ui.trials.search import MOST_WORDS, OWN_VALUE, Search, Trial, differing, thinned

if TYPE_CHECKING:
    from pydantic import JsonValue

    from headway_api.metrics import Better
    from headway_cli.found_trials import Found
    from headway_trainer.report.trial_records import TrialRecord
    from headway_trainer.report.tuning_model import TunedObjective

MOST_TRIALS = 20_000
MOST_NUMBER = 1_000_000_000
MOST_METRICS = 16
_LOGARITHMIC = frozenset({"logUniform", "logInt"})
_RANGES = _LOGARITHMIC | {"uniform", "int"}


def read(kubectl: Kubectl, job: Object) -> Search:
    """The trials of a job. Raises ClusterError."""
    try:
        from headway_cli.found_trials import find
        from headway_trainer.errors import StorageError, UserError

        try:
            with with_trials(kubectl, job, by_pod=False) as place:
                return search(find(place), job)
        except (UserError, StorageError) as error:
            raise ClusterError(str(error)) from error
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("headway_"):
            raise  # our own packages are always there: this one is our fault
        raise ClusterError(
            f"trials are read by the Python package {error.name}: pip install 'headway[trainer]'"
        ) from error


def search(found: Found, job: Object) -> Search:
    """What is shown of trials. job: says what they are compared by, where the run has not finished.

    Pure. Raises ClusterError for more trials than a page is for. What a job has written is its own word: a trial as no
    search writes it is left out.
    """
    from headway_trainer.report.trials import best_first, front_of

    if len(found.records) > MOST_TRIALS:
        raise ClusterError(f"there are {len(found.records):,} trials, and these pages are for {MOST_TRIALS:,}")
    metric, better, objectives, constraints = _compared(found, job)
    records = [one for one in found.records if 0 < one.number <= MOST_NUMBER and _is_finite(one)]
    ranked = best_first(records, better, objectives)
    there = {one.number for one in ranked}
    front = frozenset(front_of(records, objectives))
    trials = [_trial(one, front) for one in ranked]
    trials += [_trial(one, front) for one in records if one.number not in there]
    result = found.result
    importances = dict(result.importances) if result is not None else {}
    tuned = at(job, "spec", "tuning", "parameters")
    forms: dict[str, Any] = tuned if isinstance(tuned, dict) else {}
    names = differing(trials)
    metrics = list(dict.fromkeys([*(one.metric for one in objectives), *constraints])) or [metric or OWN_VALUE]
    metrics = metrics[:MOST_METRICS]
    return Search(
        trials=trials,
        metrics=metrics,
        smaller=frozenset(_smaller(metrics, metric, better, objectives)),
        parameters=[name for name in dict.fromkeys([*importances, *forms, *names]) if name in names],
        scales={name: bool(_LOGARITHMIC & _keys(form)) for name, form in forms.items() if _RANGES & _keys(form)},
        importances=importances,
        constrained=bool(constraints),
        ended=result.ended if result is not None else "",
    )


def _compared(found: Found, job: Object) -> tuple[str, Better, Sequence[TunedObjective], list[str]]:
    """The metric trials are compared by, whether smaller is better, all objectives, and the constraints' metrics."""
    from pydantic import ValidationError

    from headway_api import metrics
    from headway_api.tuning import Tuning
    from headway_trainer.report.tuning_model import TunedObjective

    if (result := found.result) is not None:
        return result.metric, result.better, result.objectives, [one.metric for one in result.constraints]
    metric = text(job, "status", "tuning", "metric")
    try:
        tuning = Tuning.model_validate(at(job, "spec", "tuning"))
    except ValidationError:  # a version that is newer than this program
        return metric, metrics.better(metric) or "min", [], []
    objectives = [
        TunedObjective(metric=one.metric, better=tuning.better(one.metric)) for one in tuning.objectives or ()
    ]
    return metric, tuning.better(metric), objectives, [one.metric for one in tuning.constraints or ()]


def _smaller(names: Sequence[str], metric: str, better: Better, objectives: Sequence[TunedObjective]) -> list[str]:
    from headway_api import metrics

    known: dict[str, Better] = {metric or OWN_VALUE: better, **{one.metric: one.better for one in objectives}}
    return [name for name in names if known.get(name, metrics.better(name) or "min") == "min"]


def _trial(one: TrialRecord, front: frozenset[int]) -> Trial:
    curve = one.curve or [(report.epoch, report.value) for report in one.reports]
    return Trial(
        number=one.number,
        state=one.state,
        parameters={name: _short(value) for name, value in one.parameters.items()},
        value=one.value,
        deviation=one.deviation,
        seeds=1 + sum(each.state == "completed" for each in one.repeats),
        metrics=one.metrics,
        violation=one.violation,
        front=one.number in front,
        epochs=one.epochs,
        seconds=one.seconds,
        cause=one.cause or "",
        message=(one.message or "")[:MOST_WORDS],
        curve=thinned(curve),
    )


def _keys(form: object) -> set[str]:
    return set(form) if isinstance(form, dict) else set()


def _is_finite(one: TrialRecord) -> bool:
    numbers = (one.value or 0.0, one.deviation or 0.0, one.violation, one.seconds, *one.metrics.values())
    return all(finite(each) is not None for each in numbers)


def _short(value: JsonValue) -> JsonValue:
    words = told(value)
    return cut(words, MOST_WORDS) if len(words) > MOST_WORDS else value
