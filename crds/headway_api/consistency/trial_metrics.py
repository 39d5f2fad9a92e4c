"""How trials are compared and stopped: metrics, schedulers, budgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.facts import has_part, own_loop, searched
from headway_api.consistency.known import OWN, Known
from headway_api.consistency.metrics import named_wrongly, without_part
from headway_api.metrics import Better, Metric
from headway_api.model import estimator_of
from headway_api.training import Checkpoint, Training
from headway_api.tuning import Tuning
from headway_api.wording import shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_HERE = ("tuning",)


def tuned(spec: TrainingJobSpec) -> Tuning | None:
    """What is tuned of the built-in loop; of a training function of the user's own see `own_trials`."""
    return spec.tuning if not own_loop(spec) else None


def metric_of(spec: TrainingJobSpec, tuning: Tuning) -> str:
    """What chooses the checkpoint of each trial, and without objectives is what they are compared by: `part/name`."""
    chooser = tuning.chooser
    return chooser.metric if chooser is not None else (spec.training or Training()).checkpoint.metric


def metric_of_no_trial(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A metric that trials do not have, or that says nothing of rows they have not been trained on."""
    tuning = tuned(spec)
    if tuning is None or tuning.objectives is not None:
        return
    part, slash, name = metric_of(spec, tuning).partition("/")
    said = named_wrongly(spec, part, name, known, watched=True) if slash else without_part(part)
    if said is not None and tuning.metric is None:
        return  # it is told where the checkpoint's metric is written
    said = said or _without_rows(spec, tuning) or not_computed(spec, name, known)
    said = said or (another_checkpoint(spec, tuning.metric) if tuning.metric is not None else None)
    if said is not None:
        yield BrokenRule(said, (*_HERE, "metric"))


def _without_rows(spec: TrainingJobSpec, tuning: Tuning) -> str | None:
    metric = metric_of(spec, tuning)
    if spec.data is not None and not has_part(spec.data, "validation"):
        return "trials are compared by the validation part, which is empty: set data.split.validation above 0"
    if metric.startswith("validation/"):
        return None
    meant = f"validation/{metric.partition('/')[2]}"
    if tuning.metric is None:
        return (
            f"is missing, and training.checkpoint.metric is {metric}, but trials are compared by rows that they have"
            f" not been trained on: write {meant} there"
        )
    return f"{metric} is of rows that trials have been trained on, and they are compared by others: write {meant}"


def not_computed(spec: TrainingJobSpec, name: str, known: Known) -> str | None:
    """Why an estimator's trial has no metric of this name; None where it has."""
    chosen = spec.evaluation.metrics
    if estimator_of(spec.model, known.models) is None or chosen is None or name in (*chosen, "loss"):
        return None
    return f"{name} is not computed, as evaluation.metrics does not name it: add it there"


def another_checkpoint(spec: TrainingJobSpec, metric: str) -> str | None:
    """That a trial's checkpoint is chosen by a metric, and the spec names another for it; None where it does not."""
    checkpoint = (spec.training or Training()).checkpoint
    if checkpoint.metric in (metric, Checkpoint().metric):
        return None
    return (
        f"{metric} chooses the checkpoint that is kept of a trial, and training.checkpoint.metric says"
        f" {checkpoint.metric}: write the same in both, or take one out"
    )


def direction_of_trials(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A direction that keeps the worst trial."""
    tuning = tuned(spec)
    if tuning is None or tuning.mode is None:
        return
    metric = metric_of(spec, tuning)
    said = worst_for_best(known.metrics.get(metric.rpartition("/")[2]), metric, tuning.mode)
    if said is not None:
        yield BrokenRule(said, (*_HERE, "mode"))


def worst_for_best(entry: Metric | None, metric: str, mode: Better) -> str | None:
    """That a direction is the wrong one for a metric; None where it is not, or nobody knows it here."""
    better = entry.better if entry is not None else None
    if better is None or better == mode:
        return None
    more = "more" if better == "max" else "less"
    return f"{mode} would take the worst for the best, as {more} {metric} is better: write {better}, or take mode out"


def epochs_of(spec: TrainingJobSpec, tuning: Tuning) -> tuple[int, int]:
    """The fewest and the most epochs of a trial that nothing stops."""
    parameter = tuning.parameters.get("training.epochs")
    fixed = (spec.training or Training()).epochs
    if parameter is None:
        return fixed, fixed
    bounds = parameter.range
    values = [bounds.min, bounds.max] if bounds is not None else parameter.listed or ()
    found = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if parameter.when:
        found.append(fixed)
    return min(found, default=fixed), max(found, default=fixed)


def scheduler_that_never_judges(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A scheduler that comes too late for each trial."""
    tuning = tuned(spec)
    if tuning is None or tuning.scheduler.name == "none" or estimator_of(spec.model, known.models) is not None:
        return
    scheduler, most = tuning.scheduler, epochs_of(spec, tuning)[1]
    if scheduler.name == "pbt":
        if scheduler.interval_epochs >= most:
            raise_it = "raise training.epochs"
            lower = f"write at most {most - 1}, or {raise_it}" if most > 1 else raise_it
            yield BrokenRule(
                f"after {scheduler.interval_epochs} epochs, the first time that trials are compared, they have all"
                f" their epochs, which are {most}, so none ever takes over: {lower}",
                (*_HERE, "scheduler", "intervalEpochs"),
            )
        return
    if most == 1:
        yield BrokenRule(
            f"{scheduler.name} stops trials before their last epoch, and theirs is the first: raise training.epochs, or"
            " write none",
            (*_HERE, "scheduler", "name"),
        )
    elif scheduler.grace_epochs >= most:
        yield BrokenRule(
            f"{scheduler.grace_epochs} epochs of grace are all that a trial has, which is {most}, so none is ever"
            f" stopped: write at most {most - 1}, or raise training.epochs",
            (*_HERE, "scheduler", "graceEpochs"),
        )


def budget_below_one_trial(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A budget that no trial can be completed with."""
    tuning = tuned(spec)
    if tuning is None or tuning.budget.epochs is None or estimator_of(spec.model, known.models) is not None:
        return
    fewest = epochs_of(spec, tuning)[0]
    if tuning.budget.epochs < fewest:
        yield BrokenRule(
            f"{tuning.budget.epochs} epochs for all trials are fewer than the {fewest} of one, so none could be"
            f" completed: write at least {fewest}, or lower training.epochs",
            (*_HERE, "budget", "epochs"),
        )


def gpu_hours_without_gpus(spec: TrainingJobSpec, _: Known = OWN) -> Iterator[BrokenRule]:
    """A budget of what trials do not have."""
    tuning = searched(spec)
    if tuning is not None and tuning.budget.gpu_hours is not None and spec.workers.resources.gpu == 0:
        yield BrokenRule(
            "trials take no GPU hours, as workers.resources.gpu is 0: write seconds, or give the workers GPUs",
            (*_HERE, "budget", "gpuHours"),
        )


def value_beyond_reach(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A value to stop at that the metric never has, as 95 for an accuracy, or that each trial has."""
    tuning = tuned(spec)
    if tuning is None or tuning.stop_when.value is None or tuning.objectives is not None:
        return
    metric = metric_of(spec, tuning)
    entry = known.metrics.get(metric.rpartition("/")[2])
    said = _beyond(entry, metric, tuning.stop_when.value) if entry is not None else None
    if said is not None:
        yield BrokenRule(f"{shown(tuning.stop_when.value)} is {said}", (*_HERE, "stopWhen", "value"))


def _beyond(entry: Metric, metric: str, value: float) -> str | None:
    most, least = entry.most, entry.least
    if entry.better == "max" and most is not None and value > most:
        share = value / 100
        mend = f"write {share:.10g}" if least == 0 and share <= most else "write less"
        return f"never reached, as {metric} is at most {most:g}: {mend}"
    if entry.better == "min" and least is not None and value < least:
        return f"never reached, as {metric} is at least {least:g}: write more"
    if entry.better == "max" and least is not None and value <= least:
        return f"reached by each trial, as {metric} is at least {least:g}: write more"
    if entry.better == "min" and most is not None and value >= most:
        return f"reached by each trial, as {metric} is at most {most:g}: write less"
    return None


def estimators_without_epochs(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """What is counted in epochs, or divided among workers, where a trial is one fit on one process."""
    tuning, name = tuned(spec), estimator_of(spec.model, known.models)
    if tuning is None or name is None:
        return
    if tuning.scheduler.name != "none":
        yield BrokenRule(
            f"{tuning.scheduler.name} stops trials by their epochs, and {name} is fitted without any: write none",
            (*_HERE, "scheduler", "name"),
        )
    if tuning.budget.epochs is not None:
        yield BrokenRule(
            f"{name} is fitted without epochs: take epochs out, and write seconds or fewer trials",
            (*_HERE, "budget", "epochs"),
        )
    if tuning.workers_per_trial > 1:
        yield BrokenRule(
            f"{tuning.workers_per_trial} workers have no effect, as {name} is fitted in one process: take"
            " workersPerTrial out, so that more trials run at once",
            (*_HERE, "workersPerTrial"),
        )


OF_NAMES = (
    metric_of_no_trial,
    direction_of_trials,
    scheduler_that_never_judges,
    budget_below_one_trial,
    value_beyond_reach,
    estimators_without_epochs,
)
"""Those that what is known of names decides."""
CHECKS = (*OF_NAMES, gpu_hours_without_gpus)
