"""`spec.tuning`: which fields of the job are tried with which values, how they are searched for, and when that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from headway_api import metrics
from headway_api.base import (
    DnsName,
    Entrypoint,
    FreeForm,
    Rule,
    Section,
    Uri,
    at_most_one,
    exactly_one,
)
from headway_api.metrics import Better
from headway_api.objectives import MODEL_BYTES, Constraints, Objective, Objectives
from headway_api.parameters import RANGES, Parameters
from headway_api.pods import Workers
from headway_api.schedulers import CHANGED_WHILE_TRAINED, Scheduler
from headway_api.search import LEARNING, Search
from headway_api.training import MetricName

MAX_TRIALS = 10_000
MAX_SEEDS, MAX_EARLIER, MAX_PER_WORKER = 10, 5, 16
TUNED_OF_DATA = ("data.scale", "data.forecast.history", "data.forecast.every")
"""Of `data`, what trials may change, beside what columns hold and whether they are learnt from: the rest changes which
rows they are compared by."""
COLUMNS = "data.columns."
"""What the paths of fields of columns begin with."""


class TuningBudget(Section):
    """What all trials together may take; no further one is begun then, and those that run are stopped."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Finished epochs of all trials together."""
    seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds since the first trial began, over all attempts, without the time between attempts."""
    gpu_hours: Annotated[float, Field(gt=0.0, le=100_000_000.0)] | None = None
    """Hours that trials were trained for, each times the GPUs of its worker pods; of all attempts, with what was done
    again after a loss. A GPU is one of `workers.resources.gpu`."""


class StopWhen(Section):
    """What ends the search before its last trial; those that run are stopped."""

    value: float | None = None
    """A trial reached this value of the metric, or a better one."""
    no_improvement_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    """So many trials in a row have ended without a better value than the best before."""


_PATHS = (
    "parameters are fields of model and training, as training.optimizer.lr is, of data.columns, and"
    f" {', '.join(TUNED_OF_DATA)}: take out what is none of these"
)
_GRID = "a grid has values that are written one by one: write grid or choice, or another search.name"
_UNCHANGED = (
    "pbt changes values in the middle of a trial, which can be done with "
    f"{', '.join(CHANGED_WHILE_TRAINED[:-1])} and {CHANGED_WHILE_TRAINED[-1]}: take the others out, or write another"
    " scheduler.name"
)
_FIRST_VALUES = ("random", "grid")
_NO_GRID = "grid is for search.name grid: write choice, or set search.name to grid"


def is_tunable(path: str) -> bool:
    """Whether trials may change a field, if there is one of this path."""
    return path.startswith(("model.", "training.", COLUMNS)) or path in TUNED_OF_DATA


def _fields_of_trials(tuning: Tuning) -> bool:
    for path in tuning.parameters:
        if not is_tunable(path):
            raise PydanticCustomError("rule", "{reason}", {"reason": _PATHS, "path": ("parameters", path)})
    return True


def _no_form(forms: tuple[str, ...], reason: str) -> Callable[[Tuning], bool]:
    def holds(tuning: Tuning) -> bool:
        for path, parameter in tuning.parameters.items():
            form = next((form for form in forms if form in parameter.forms), None)
            if form is not None:
                raise PydanticCustomError("rule", "{reason}", {"reason": reason, "path": ("parameters", path, form)})
        return True

    return holds


def _changed_while_trained(tuning: Tuning) -> bool:
    other = next((path for path in tuning.parameters if path not in CHANGED_WHILE_TRAINED), None)
    if tuning.scheduler.name == "pbt" and other is not None:
        raise PydanticCustomError("rule", "{reason}", {"reason": _UNCHANGED, "path": ("parameters", other)})
    return True


_only_lists = _no_form(RANGES, _GRID)
_no_grid = _no_form(("grid",), _NO_GRID)


class EarlierStudy(Section):
    """A finished search of another run."""

    rules = (exactly_one("job", "uri", of="place"),)

    job: DnsName | None = None
    """Another job, in the same namespace and below the same storage: its newest finished run.

    Under `headway run`, a folder beside the run's own output folder.
    """
    uri: Uri | None = None
    """The folder of a finished run: a local path, or a URI that the credentials of `storage` open."""


class Tuning(Section):
    """Trials of the job with other values of some fields; the model of the best one is kept. Or a function of the
    user's own that runs a `ray.tune.Tuner`."""

    rules = (
        Rule(
            cel="has(self.entrypoint) || (has(self.parameters) && self.parameters.size() > 0)",
            message="set parameters, the fields whose values are tried, or entrypoint, a function that runs a"
            " ray.tune.Tuner of your own",
            holds=lambda tuning: tuning.entrypoint is not None or bool(tuning.parameters),
            field="parameters",
        ),
        Rule(
            cel="has(self.entrypoint) || !has(self.arguments) || dyn(self.arguments).size() == 0",
            message="arguments are handed to entrypoint: set entrypoint, or take arguments out",
            holds=lambda tuning: tuning.entrypoint is not None or not tuning.arguments,
            field="arguments",
        ),
        Rule(
            cel="!has(self.parameters) || self.parameters.all(path,"
            " path.startsWith('model.') || path.startsWith('training.')"
            f" || path.startsWith('{COLUMNS}') || path in {list(TUNED_OF_DATA)})",
            message=_PATHS,
            holds=_fields_of_trials,
            field="parameters",
        ),
        Rule(
            cel="self.search.name != 'grid' || !has(self.parameters) || self.parameters.all(path,"
            " !has(self.parameters[path].uniform) &&"
            " !has(self.parameters[path].logUniform) && !has(self.parameters[path].int) &&"
            " !has(self.parameters[path].logInt))",
            message=_GRID,
            holds=lambda tuning: tuning.search.name != "grid" or _only_lists(tuning),
            field="parameters",
        ),
        Rule(
            cel="self.search.name == 'grid' || !has(self.parameters) || self.parameters.all(path,"
            " !has(dyn(self.parameters[path]).grid))",
            message=_NO_GRID,
            holds=lambda tuning: tuning.search.name == "grid" or _no_grid(tuning),
            field="parameters",
        ),
        Rule(
            cel="self.scheduler.name != 'pbt' || !has(self.parameters) || self.parameters.all(path, path in"
            f" {list(CHANGED_WHILE_TRAINED)})",
            message=_UNCHANGED,
            holds=_changed_while_trained,
            field="parameters",
        ),
        Rule(
            cel=f"self.scheduler.name != 'pbt' || self.search.name in {list(_FIRST_VALUES)}",
            message="pbt begins with values that are drawn or listed, and changes them by itself: set search.name to"
            f" {' or '.join(_FIRST_VALUES)}",
            holds=lambda tuning: tuning.scheduler.name != "pbt" or tuning.search.name in _FIRST_VALUES,
            field="search",
        ),
        Rule(
            cel=f"!has(self.warmStart) || self.search.name in {list(LEARNING)}",
            message=f"earlier trials are for searchers that learn from them, {' and '.join(LEARNING)}: take warmStart"
            " out, or write another search.name",
            holds=lambda tuning: tuning.warm_start is None or tuning.search.name in LEARNING,
            field="warmStart",
        ),
        Rule(
            cel="self.scheduler.name != 'pbt' || self.seeds == 1",
            message="trials of pbt take over from each other, and none can be repeated by itself: take seeds out, or"
            " write another scheduler.name",
            holds=lambda tuning: tuning.scheduler.name != "pbt" or tuning.seeds == 1,
            field="seeds",
        ),
        Rule(
            cel="self.scheduler.name != 'pbt' || self.final == 'best'",
            message="pbt changes values while trials are trained, and the last ones alone train another model: take"
            " final out, or write another scheduler.name",
            holds=lambda tuning: tuning.scheduler.name != "pbt" or tuning.final == "best",
            field="final",
        ),
        Rule(
            cel="self.trialsPerWorker == 1 || self.workersPerTrial == 1",
            message="trialsPerWorker lets trials share a worker, and workersPerTrial gives each trial several: take one"
            " of the two out",
            holds=lambda tuning: tuning.trials_per_worker == 1 or tuning.workers_per_trial == 1,
            field="trialsPerWorker",
        ),
        at_most_one("metric", "objectives", why="the metrics of objectives are what trials are compared by"),
        at_most_one("mode", "objectives", why="each objective has a mode of its own"),
    )

    entrypoint: Entrypoint | None = None
    """`module:function`: a function that runs a `ray.tune.Tuner` of its own on the job's workers, in place of trials of
    the fields below; these are then its own business, but for workersPerTrial.
    """
    arguments: FreeForm = Field(default_factory=dict)
    """Handed to `entrypoint` as its one argument, a dict."""
    parameters: Parameters = Field(default_factory=dict)
    """By the path of a field under `model`, `training` or, of `data`, `scale`, `forecast` and `columns`: the values
    to try."""
    metric: MetricName | None = None
    """What is made better, a metric of the validation part; `training.checkpoint.metric` if absent.

    The checkpoint that is kept of a trial follows it, too. Of a `training.entrypoint`, a name that it reports.
    """
    mode: Better | None = None
    """Whether smaller or larger is better; as the metric has it, if absent."""
    objectives: Objectives | None = None
    """In place of `metric`: several, none of which is to be had without loss in the others.

    Of the trials that no other one is better than in all of them, the job's model is that of the best by the first, of
    equal ones by the second. The first one of the validation part chooses the checkpoint that is kept of a trial.
    """
    constraints: Constraints | None = None
    """What a trial has to keep to: one that does not is worse than all that do, the more so the further it is off."""
    search: Search = Search()
    """How parameters are chosen."""
    scheduler: Scheduler = Scheduler()
    """What stops trials early, or changes their values."""
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    """How many trials; for `grid` all combinations if absent, else 20. With `pbt`, the population."""
    max_concurrent: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many trials run at once; as many as `workers.replicas` suffices for, with `trialsPerWorker` on each, if
    absent."""
    workers_per_trial: Annotated[int, Field(ge=1, le=1000)] = 1
    """The worker pods of each trial, out of `workers.replicas`.

    With an `entrypoint`: how many a trial takes with all that it starts, its own process included.
    """
    trials_per_worker: Annotated[int, Field(ge=1, le=MAX_PER_WORKER)] = 1
    """How many trials share each worker pod, with its cores, memory and GPUs: for trials too small to fill one."""
    budget: TuningBudget = TuningBudget()
    """What all trials together may take."""
    stop_when: StopWhen = StopWhen()
    """What ends the search early."""
    warm_start: (
        Annotated[
            list[EarlierStudy],
            Field(min_length=1, max_length=MAX_EARLIER, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Finished searches whose trials the searcher learns from before the first one of this one.

    Of the same metric, and with all parameters as they are here; others are left out, and counted.
    """
    seeds: Annotated[int, Field(ge=1, le=MAX_SEEDS)] = 1
    """How often a promising trial is trained, each time with another seed: one that is better than the best so far.

    It becomes the best if the mean of its values is better. Repeats are no `trials`, but a part of the budget.
    """
    final: Literal["best", "retrain"] = "best"
    """`best`: the model of the best trial is kept. `retrain`: once more trained, on the training and validation rows.

    With the best trial's parameters, and for as many epochs as after which it was best, without early stopping.
    """

    @property
    def compared(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """The metrics of all objectives and constraints, each with its place below `tuning`."""
        for index, objective in enumerate(self.objectives or ()):
            yield objective.metric, ("objectives", index)
        for index, constraint in enumerate(self.constraints or ()):
            yield constraint.metric, ("constraints", index)

    def workers_of_one(self, workers: Workers) -> Workers:
        """What each trial has of the job's workers: whole pods, or its part of one, as a pod of its own would be."""
        if self.trials_per_worker > 1:
            return workers.shared_by(self.trials_per_worker)
        return self.workers_of_final(workers)

    def workers_of_final(self, workers: Workers) -> Workers:
        """What a model that is trained once more after the trials has of the job's workers: whole pods."""
        return workers.model_copy(update={"replicas": self.workers_per_trial})

    def at_once(self, workers: Workers) -> int:
        """How many trials the job's workers suffice for at once."""
        return workers.replicas * self.trials_per_worker // self.workers_per_trial

    @property
    def chooser(self) -> Objective | None:
        """The metric that chooses the checkpoint of each trial, and the direction of it that is written; none where
        `training.checkpoint` has it."""
        if self.objectives is not None:
            return next((one for one in self.objectives if one.metric != MODEL_BYTES), None)
        return Objective(metric=self.metric, mode=self.mode) if self.metric is not None else None

    def better(self, metric: str) -> Better:
        """Whether smaller or larger is better of a metric that is tuned by."""
        mode = self.mode
        if self.objectives is not None:
            mode = next((one.mode for one in self.objectives if one.metric == metric), None)
        return mode or metrics.better(metric) or "min"
