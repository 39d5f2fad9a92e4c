"""`spec.tuning`: which fields of the job are tried with which values, how they are searched for, and when that ends."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from headway_api import metrics
from headway_api.base import (
    FREE_FORM_BYTES,
    DnsName,
    Entrypoint,
    FreeForm,
    Preserved,
    Rule,
    Section,
    Uri,
    at_most_one,
    exactly_one,
)
from headway_api.metrics import Better
from headway_api.objectives import MODEL_BYTES, Constraints, Objective, Objectives
from headway_api.pods import Workers
from headway_api.schedulers import CHANGED_WHILE_TRAINED, Scheduler
from headway_api.search import LEARNING, Search
from headway_api.training import MetricName
from headway_api.wording import SHOWN, noun, printable, shown

MAX_PARAMETERS, MAX_CHOICES, MAX_VALUES, MAX_TRIALS = 64, 256, 512, 10_000
MAX_ITEMS, MAX_TEXT = 64, 256
"""What a value may hold: the items of a list, the characters of a text."""
MAX_SEEDS, MAX_EARLIER, MAX_PER_WORKER = 10, 5, 16
TUNED_OF_DATA = ("data.scale", "data.forecast.history", "data.forecast.every")
"""Of `data`, what trials may change, beside what columns hold and whether they are learnt from: the rest changes which
rows they are compared by."""
COLUMNS = "data.columns."
"""What the paths of fields of columns begin with."""
_PATH = re.compile(r"[a-z][A-Za-z0-9]*(\.[A-Za-z_][A-Za-z0-9_]*){1,7}")
_PATH_LENGTH = 128
_PATH_FORM = "must be the path of a field in spec, for example training.optimizer.lr"


def _is_a_path(path: str) -> str:
    if len(path) > _PATH_LENGTH or _PATH.fullmatch(path) is None:
        raise PydanticCustomError("form", "{must}", {"must": _PATH_FORM})
    return path


Path = Annotated[str, AfterValidator(_is_a_path)]
"""A field of `spec` by its path, of at most 128 characters."""


def _refusal(value: JsonValue) -> str | None:
    if value is None or isinstance(value, dict):
        what = "null" if value is None else noun(value)
        return f"{what} is no value of a parameter: write a number, a text, true, false, or a list of these"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{shown(value)} is not allowed: write a finite number"
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{shown(value)} is too long: at most {MAX_TEXT} characters are allowed"
    return None


def _of_a_parameter(value: JsonValue) -> JsonValue:
    refusal = None
    if not isinstance(value, list):
        refusal = _refusal(value)
    elif len(value) > MAX_ITEMS:
        refusal = f"has {len(value)} items: at most {MAX_ITEMS} are allowed"
    elif any(isinstance(item, list) for item in value):
        refusal = "holds a list in a list: write one list of numbers, texts, true or false"
    else:
        refusal = next((said for item in value if (said := _refusal(item)) is not None), None)
    if refusal is not None:
        raise PydanticCustomError("sentence", "{said}", {"said": refusal})
    return value


def _once_each(values: list[JsonValue]) -> list[JsonValue]:
    for text, times in Counter(json.dumps(value, ensure_ascii=False) for value in values).items():
        if times > 1:
            said = f"holds {printable(text[:SHOWN])} more than once: write each value once"
            raise PydanticCustomError("sentence", "{said}", {"said": said})
    return values


Value = Annotated[JsonValue, AfterValidator(_of_a_parameter), Field(json_schema_extra=Preserved)]
"""What a field may be given: a number, a text, a boolean, or a list of them."""
Values = Annotated[list[Value], Field(min_length=1, max_length=MAX_CHOICES), AfterValidator(_once_each)]


def _min_below_max() -> Rule:
    return Rule(
        cel="self.min < self.max",
        message="min must be below max: correct one of the two",
        holds=lambda bounds: bounds.min < bounds.max,
        field="min",
    )


class FloatRange(Section):
    """Real numbers from `min` to `max`, both included."""

    rules = (_min_below_max(),)

    min: float
    """The least value."""
    max: float
    """The greatest value."""


class LogRange(FloatRange):
    """Positive real numbers from `min` to `max`, drawn evenly over their logarithm."""

    min: Annotated[float, Field(gt=0.0)]
    """The least value."""


Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]


class IntRange(Section):
    """Whole numbers from `min` to `max`, both included."""

    rules: ClassVar[tuple[Rule, ...]] = (_min_below_max(),)

    min: Whole
    """The least value."""
    max: Whole
    """The greatest value."""


class SteppedRange(IntRange):
    """Whole numbers `min`, `min + step`, ... up to `max`."""

    rules = (
        *IntRange.rules,
        Rule(
            cel="self.min >= self.max || self.step <= self.max - self.min",
            message="step is greater than max - min, so that min is the only value: write a smaller step",
            holds=lambda bounds: bounds.min >= bounds.max or bounds.step <= bounds.max - bounds.min,
            field="step",
        ),
    )

    step: Annotated[int, Field(ge=1, le=2**53)] = 1
    """The distance between two values."""


class LogIntRange(IntRange):
    """Positive whole numbers from `min` to `max`, drawn evenly over their logarithm."""

    min: Annotated[int, Field(ge=1, le=2**53)]
    """The least value."""


FORMS = ("uniform", "logUniform", "int", "logInt", "choice", "grid")
RANGES = FORMS[:4]
_FIELDS = dict(zip(FORMS, ("uniform", "log_uniform", "int_", "log_int", "choice", "grid"), strict=True))


class Parameter(Section):
    """The values of one field: exactly one of these forms."""

    rules = (
        Rule(
            # In CEL the lists cannot be seen, as their items have no type; how many fields there are can be.
            cel="dyn(self).size() == (has(dyn(self).when) ? 2 : 1)",
            message=f"set exactly one of {', '.join(FORMS)}: they are the forms of a parameter's values",
            holds=lambda one: len(one.forms) == 1,
        ),
    )

    uniform: FloatRange | None = None
    """Real numbers, evenly."""
    log_uniform: LogRange | None = None
    """Positive real numbers, evenly over their logarithm: for a learning rate."""
    int_: SteppedRange | None = Field(default=None, alias="int")
    """Whole numbers, evenly."""
    log_int: LogIntRange | None = None
    """Positive whole numbers, evenly over their logarithm."""
    choice: Values | None = None
    """One of these values, which have no order."""
    grid: Values | None = None
    """Each of these values, in this order: for `search.name: grid`."""
    when: dict[Path, Values] = Field(default_factory=dict, max_length=8)
    """Only where these other parameters have one of these values: `{training.optimizer.name: [sgd]}`."""

    @property
    def forms(self) -> list[str]:
        """The forms that are set, as users write them: exactly one of a parameter that was judged."""
        return [form for form, name in _FIELDS.items() if getattr(self, name) is not None]

    @property
    def range(self) -> FloatRange | IntRange | None:
        """The bounds, where the values are numbers between two."""
        return self.uniform or self.log_uniform or self.int_ or self.log_int

    @property
    def listed(self) -> list[JsonValue] | None:
        """The values, where they are written one by one."""
        return self.choice if self.choice is not None else self.grid


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


def values_written(parameters: Mapping[str, Parameter]) -> int:
    """How many values are written one by one, those of conditions among them: at most MAX_VALUES may be."""
    lists = (values for one in parameters.values() for values in (one.listed or (), *one.when.values()))
    return sum(map(len, lists))


def _of_bearable_size(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    count = values_written(parameters)
    size = len(json.dumps({path: one.model_dump(by_alias=True, exclude_none=True) for path, one in parameters.items()}))
    for many, most, unit in ((count, MAX_VALUES, "values"), (size, FREE_FORM_BYTES, "bytes as JSON")):
        if many > most:
            said = (
                f"have {many} {unit} together: at most {most} are allowed; write fewer, or a range in place of choice"
            )
            raise PydanticCustomError("sentence", "{said}", {"said": said})
    return parameters


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
    parameters: Annotated[
        dict[Path, Parameter],
        Field(max_length=MAX_PARAMETERS),
        AfterValidator(_of_bearable_size),
    ] = Field(default_factory=dict)
    """By the path of a field under `model`, `training` or, of `data`, `scale`, `forecast` and `columns`: the values
    to try."""
    metric: MetricName | None = None
    """What is made better, a metric of the validation part; `training.checkpoint.metric` if absent.

    The checkpoint that is kept of a trial goes by it, too. Of a `training.entrypoint`, a name that it reports.
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
