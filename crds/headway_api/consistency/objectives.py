"""Trials that are compared by several metrics, or have constraints: which metrics, and what goes together with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api import trials
from headway_api.base import BrokenRule
from headway_api.catalogue import of_another_package
from headway_api.consistency.facts import has_part, own_loop, searched
from headway_api.consistency.known import OWN, Known
from headway_api.consistency.metrics import named_wrongly, without_part
from headway_api.consistency.trial_metrics import another_checkpoint, metric_of, not_computed, tuned, worst_for_best
from headway_api.metrics import Metric
from headway_api.model import estimator_of
from headway_api.objectives import MODEL_BYTES
from headway_api.training import Training
from headway_api.tuning import Tuning
from headway_api.wording import shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_HERE = ("tuning",)
_SIZE = Metric(frozenset(), "min", least=1.0)
"""What is known of MODEL_BYTES."""
_BY_ONE_VALUE = ("tpe", "gp", "cmaes")
"""Searchers that learn from one value of a trial."""
_WITHOUT_CONSTRAINTS = ("gp", "cmaes")


def _compared(spec: TrainingJobSpec) -> Tuning | None:
    """What is tuned by objectives or under constraints, if anything is."""
    tuning = tuned(spec)
    return tuning if tuning is not None and (tuning.objectives or tuning.constraints) else None


def metrics_of_no_trial(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Metrics that trials do not have, or that say nothing of rows they have not been trained on."""
    tuning = _compared(spec)
    if tuning is None:
        return
    if spec.data is not None and not has_part(spec.data, "validation"):
        if tuning.objectives is not None:  # else it is told of the metric
            yield BrokenRule(
                "trials are compared by the validation part, which is empty: set data.split.validation above 0",
                (*_HERE, "objectives"),
            )
        return
    for metric, place in tuning.compared:
        said = _unfit(spec, tuning, metric, known)
        if said is not None:
            yield BrokenRule(said, (*_HERE, *place, "metric"))


def _unfit(spec: TrainingJobSpec, tuning: Tuning, metric: str, known: Known) -> str | None:
    if metric == MODEL_BYTES:
        return None
    part, slash, name = metric.partition("/")
    if not slash:
        return without_part(part)
    if part == "model":
        return f"{shown(metric)} is no metric: write {MODEL_BYTES}, or one of the validation part"
    said = named_wrongly(spec, part, name, known, watched=True)
    if said is None and part != "validation":
        said = (
            f"{metric} is of rows that trials have been trained on, and they are compared by others: write"
            f" validation/{name}"
        )
    return said or not_computed(spec, name, known) or _not_each_epoch(spec, tuning, metric, known)


def _not_each_epoch(spec: TrainingJobSpec, tuning: Tuning, metric: str, known: Known) -> str | None:
    """Why a metric is not there when an epoch ends. An estimator, which has none, is judged by all in the end."""
    if estimator_of(spec.model, known.models) is not None:
        return None
    training, chooser, name = spec.training or Training(), metric_of(spec, tuning), metric.rpartition("/")[2]
    stopping = training.early_stopping
    entry = known.metrics.get(name)
    cheap = not of_another_package(name) and (entry is None or entry.each_epoch)
    if cheap or metric == chooser or (stopping is not None and stopping.metric == metric):
        return None
    first = "the first of objectives" if tuning.objectives is not None else "tuning.metric"
    return (
        f"{name} is computed after an epoch only where it chooses the checkpoint, and {chooser} does: make it {first},"
        " or take it out"
    )


def objectives_of_no_use(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Objectives that keep the worst, or another checkpoint than the spec names."""
    tuning = tuned(spec)
    if tuning is None or tuning.objectives is None:
        return
    for index, one in enumerate(tuning.objectives):
        here = (*_HERE, "objectives", index)
        if one.mode is not None:
            entry = _SIZE if one.metric == MODEL_BYTES else known.metrics.get(one.metric.rpartition("/")[2])
            said = worst_for_best(entry, one.metric, one.mode)
            if said is not None:
                yield BrokenRule(said, (*here, "mode"))
    chooser = tuning.chooser
    said = another_checkpoint(spec, chooser.metric) if chooser is not None else None
    if said is not None and chooser is not None:
        place = [one.metric for one in tuning.objectives].index(chooser.metric)
        yield BrokenRule(said, (*_HERE, "objectives", place, "metric"))


def searchers_of_one_value(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Searchers that know nothing of objectives or constraints, and nsga2 without objectives."""
    tuning = tuned(spec)
    if tuning is None:
        return
    name, here = tuning.search.name, (*_HERE, "search", "name")
    if name == "nsga2" and tuning.objectives is None:
        yield BrokenRule("nsga2 is for several objectives: write objectives, or another search.name", here)
    elif name in _BY_ONE_VALUE and tuning.objectives is not None:
        yield BrokenRule(
            f"{name} learns from one value of a trial, and objectives are several: write nsga2, random or grid", here
        )
    elif name in _WITHOUT_CONSTRAINTS and tuning.constraints is not None:
        yield BrokenRule(f"{name} knows no constraints: write tpe, random or grid, or take constraints out", here)


def ends_by_one_value(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Schedulers, and ends of the search, that go by one value alone."""
    tuning = _compared(spec)
    if tuning is None:
        return
    several = tuning.objectives is not None
    if tuning.scheduler.name != "none":
        why = "objectives are several" if several else "constraints are judged at a trial's end"
        mend = "metric in place of objectives" if several else "take constraints out"
        yield BrokenRule(
            f"{tuning.scheduler.name} goes by one value after an epoch, and {why}: write none, or {mend}",
            (*_HERE, "scheduler", "name"),
        )
    stop = tuning.stop_when
    if stop.value is not None:
        why = "says nothing of the other objectives" if several else "may be that of a trial that breaks a constraint"
        yield BrokenRule(
            f"a value of one metric {why}: take it out, or write budget or trials", (*_HERE, "stopWhen", "value")
        )
    if stop.no_improvement_trials is not None and several:
        yield BrokenRule(
            "goes by the best trial, and with objectives others make the front better, too: take it out, or write"
            " budget or trials",
            (*_HERE, "stopWhen", "noImprovementTrials"),
        )


def values_over_folds(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Values of one model of each trial, where each fold has a model."""
    tuning = _compared(spec)
    if tuning is not None and spec.has_folds:
        field = "objectives" if tuning.objectives is not None else "constraints"
        yield BrokenRule(
            f"go by the values of one model of each trial, and over folds it has several: take {field} out, or"
            " data.split.folds",
            (*_HERE, field),
        )


def values_of_no_one_model(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Trials whose values are not known: of a function of the user's own, and of earlier searches."""
    tuning = searched(spec)
    if tuning is None or tuning.constraints is None or tuning.objectives is not None:
        return  # beside objectives, the searcher is refused, and the metric that is missing is told
    if own_loop(spec):
        yield BrokenRule(
            "trials of training.entrypoint are compared by the one metric that it reports: take constraints out",
            (*_HERE, "constraints"),
        )
    if tuning.warm_start is not None:
        yield BrokenRule(
            "of earlier trials one value is known, and not whether they keep constraints: take warmStart out",
            (*_HERE, "warmStart"),
        )


def values_over_seeds(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Values of one model of each trial, where repeats have a model each."""
    tuning = _compared(spec)
    if tuning is not None and tuning.seeds > 1:
        field = "objectives" if tuning.objectives is not None else "constraints"
        yield BrokenRule(
            f"repeats of a trial have the mean of one metric, and {field} go by the values of one model: take seeds"
            " out",
            (*_HERE, "seeds"),
        )


def populations_without_descendants(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A generation of nsga2 that all trials are in."""
    tuning = tuned(spec)
    if tuning is None or tuning.search.name != "nsga2":
        return
    many, population = trials.planned(tuning), tuning.search.population
    if many <= population:
        lower = f", or a population of at most {many - 1}" if many > 4 else ""  # noqa: PLR2004 - the least there is
        yield BrokenRule(
            f"{many} trials are the first generation of {population}, which is drawn at random, so none descends from"
            f" others: write more{lower}",
            (*_HERE, "search", "population") if tuning.trials is None else (*_HERE, "trials"),
        )


def constraints_that_say_nothing(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Bounds that each trial keeps to, or none."""
    tuning = tuned(spec)
    for index, one in enumerate((tuning.constraints if tuning is not None else None) or ()):
        entry = _SIZE if one.metric == MODEL_BYTES else known.metrics.get(one.metric.rpartition("/")[2])
        here = (*_HERE, "constraints", index)
        if entry is not None and one.min is not None and (said := _of_min(entry, one.metric, one.min)) is not None:
            yield BrokenRule(f"{shown(one.min)} is {said}", (*here, "min"))
        if entry is not None and one.max is not None and (said := _of_max(entry, one.metric, one.max)) is not None:
            yield BrokenRule(f"{shown(one.max)} is {said}", (*here, "max"))


def _of_min(entry: Metric, metric: str, bound: float) -> str | None:
    least, most = entry.least, entry.most
    if most is not None and bound > most:
        share = bound / 100
        mend = f"write {share:.10g}" if least == 0 and share <= most else "write less"
        return f"never reached, as {metric} is at most {most:g}: {mend}"
    if least is not None and bound <= least:
        return f"always met, as {metric} is at least {least:g}: write more, or take it out"
    return None


def _of_max(entry: Metric, metric: str, bound: float) -> str | None:
    least, most = entry.least, entry.most
    if least is not None and bound < least:
        return f"never met, as {metric} is at least {least:g}: write more"
    if most is not None and bound >= most:
        return f"always met, as {metric} is at most {most:g}: write less, or take it out"
    return None


OF_NAMES = (metrics_of_no_trial, objectives_of_no_use, constraints_that_say_nothing)
"""Those that what is known of names decides."""
CHECKS = (
    *OF_NAMES,
    searchers_of_one_value,
    ends_by_one_value,
    values_over_folds,
    values_over_seeds,
    values_of_no_one_model,
    populations_without_descendants,
)
