"""`spec.tuning`: which fields of the job are tried with which values, how they are searched for, and when that ends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api import metrics
from headway_api.base import Rule, Section, exactly_one, formed
from headway_api.metrics import Better
from headway_api.training import MetricName

Number = int | float
Scalar = bool | int | float | Annotated[str, Field(max_length=256)]
MAX_PARAMETERS, MAX_CHOICES, MAX_TRIALS = 64, 256, 10_000
Path = Annotated[
    str,
    formed(
        r"^[a-z][A-Za-z0-9]*(\.[A-Za-z_][A-Za-z0-9_]*){1,7}$",
        "must be the path of a field in spec, for example training.optimizer.lr",
        max_length=128,
    ),
]
"""A field of `spec` by its path."""


class FloatRange(Section):
    """Real numbers from `min` to `max`, both included."""

    rules = (
        Rule(
            cel="dyn(self.min) < dyn(self.max)",
            message="min must be below max",
            holds=lambda bounds: bounds.min < bounds.max,
            field="min",
        ),
    )

    min: Number
    """The least value."""
    max: Number
    """The greatest value."""


class LogRange(FloatRange):
    """Positive real numbers from `min` to `max`, drawn evenly over their logarithm."""

    min: Annotated[Number, Field(gt=0)]
    """The least value."""


class IntRange(Section):
    """Whole numbers from `min` to `max`, both included."""

    rules = (
        Rule(
            cel="self.min < self.max",
            message="min must be below max",
            holds=lambda bounds: bounds.min < bounds.max,
            field="min",
        ),
    )

    min: Annotated[int, Field(ge=-(2**53), le=2**53)]
    """The least value."""
    max: Annotated[int, Field(ge=-(2**53), le=2**53)]
    """The greatest value."""


class SteppedRange(IntRange):
    """Whole numbers `min`, `min + step`, ... up to `max`."""

    step: Annotated[int, Field(ge=1, le=2**53)] = 1
    """The distance between two values."""


class LogIntRange(IntRange):
    """Positive whole numbers from `min` to `max`, drawn evenly over their logarithm."""

    min: Annotated[int, Field(ge=1, le=2**53)]
    """The least value."""


Values = Annotated[list[Scalar | list[Scalar]], Field(min_length=1, max_length=MAX_CHOICES)]


class Parameter(Section):
    """The values of one field: exactly one of these forms."""

    rules = (exactly_one("uniform", "logUniform", "int", "logInt", "choice", "grid", of="the forms of values"),)

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
    when: dict[Path, Annotated[list[Scalar], Field(min_length=1, max_length=MAX_CHOICES)]] = Field(
        default_factory=dict, max_length=8
    )
    """Only where these other parameters have one of these values: `{training.optimizer.name: [sgd]}`."""


class Search(Section):
    """How the parameters of the next trial are chosen."""

    name: Literal["grid", "random", "tpe", "gp", "cmaes"] = "tpe"
    """`grid`: all combinations of `grid` and `choice` values. `random`: drawn. `tpe`: Tree-structured Parzen Estimator
    (Bergstra et al., 2011). `gp`: Gaussian process. `cmaes`: CMA-ES (Hansen, 2016), for numbers alone."""
    startup_trials: Annotated[int, Field(ge=1, le=1000)] = 10
    """Trials that `tpe` and `gp` draw at random before they learn from what is known."""


class Scheduler(Section):
    """What stops a trial before its last epoch, by its metric beside that of other trials."""

    rules = (
        Rule(
            cel="self.name != 'none' || (self.graceEpochs == 1 && self.reductionFactor == 3)",
            message="graceEpochs and reductionFactor are for a scheduler: set name, or take them out",
            holds=lambda one: one.name != "none" or (one.grace_epochs == 1 and one.reduction_factor == 3),  # noqa: PLR2004
            field="name",
        ),
    )

    name: Literal["none", "median", "asha", "hyperband"] = "none"
    """`median`: stops what is below the median of the running averages (Golovin et al., 2017).

    `asha`: asynchronous successive halving (Li et al., 2020). `hyperband`: several of it, with other grace epochs each
    (Li et al., 2018).
    """
    grace_epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """No trial is stopped before so many epochs."""
    reduction_factor: Annotated[int, Field(ge=2, le=100)] = 3
    """Of `asha` and `hyperband`: about one trial in so many goes on from each rung to the next.

    The next rung is so many times as many epochs.
    """


class TuningBudget(Section):
    """What all trials together may take; no further one is begun then, and those that run are stopped."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Finished epochs of all trials together."""
    seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds since the first trial began, over all attempts, without the time between attempts."""


class StopWhen(Section):
    """What ends the search before its last trial; those that run are stopped."""

    value: float | None = None
    """A trial reached this value of the metric, or a better one."""
    no_improvement_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    """So many trials in a row have ended without a better value than the best before."""


class Tuning(Section):
    """Trials of the job with other values of some fields; the model of the best one is kept."""

    parameters: Annotated[dict[Path, Parameter], Field(min_length=1, max_length=MAX_PARAMETERS)]
    """By the path of a field under `model` or `training`: the values to try."""
    metric: MetricName | None = None
    """What is made better, a metric of the validation part; `training.checkpoint.metric` if absent."""
    mode: Better | None = None
    """Whether smaller or larger is better; as the metric has it, if absent."""
    search: Search = Search()
    """How parameters are chosen."""
    scheduler: Scheduler = Scheduler()
    """What stops trials early."""
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    """How many trials; for `grid` all combinations if absent, else 20."""
    max_concurrent: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many trials run at once; as many as `workers.replicas` suffices for, if absent."""
    workers_per_trial: Annotated[int, Field(ge=1, le=1000)] = 1
    """The worker pods of each trial, out of `workers.replicas`."""
    budget: TuningBudget = TuningBudget()
    """What all trials together may take."""
    stop_when: StopWhen = StopWhen()
    """What ends the search early."""

    def better(self, metric: str) -> Better:
        """Whether smaller or larger is better of the metric that is tuned by."""
        return self.mode or metrics.better(metric) or "min"
