"""`spec.training`: how the model is fitted; or the user's own training function in its place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api import metrics
from headway_api.base import Entrypoint, FreeForm, Rule, Section, at_most_one, formed
from headway_api.metrics import Better

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Precision = Literal["fp32", "bf16", "fp16"]
MetricName = Annotated[
    str,
    formed(
        r"^[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z][A-Za-z0-9_.-]*)?$",
        "must be a metric as split/name, for example validation/loss",
        max_length=128,
    ),
]
"""A metric as `split/name`, for example `validation/loss`."""


class Optimizer(Section):
    """The optimiser."""

    name: Literal["adamw", "sgd"] = "adamw"
    """`torch.optim.AdamW` or `torch.optim.SGD`."""
    lr: Positive = 0.001
    """The learning rate, before the schedule."""
    weight_decay: NotNegative = 0.0
    """The weight decay."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """The momentum; for `sgd` only."""


class Schedule(Section):
    """How the learning rate moves over the optimiser steps of the whole run."""

    name: Literal["constant", "cosine"] = "constant"
    """`cosine` falls to zero over the run's steps (Loshchilov and Hutter, 2017, without restarts)."""
    warmup_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Optimiser steps over which the learning rate rises linearly from zero."""


class Clip(Section):
    """Gradient clipping."""

    norm: Positive
    """The largest allowed norm of all gradients together."""


class _Watching(Section):
    """What looks at a metric."""

    metric: MetricName = "validation/loss"
    """The metric."""
    mode: Better | None = None
    """Whether smaller or larger is better; as the metric has it, if absent."""

    @property
    def better(self) -> Better:
        """Whether smaller or larger is better: what the user says, or else what the metric has.

        A spec that was judged names one of the two; of one that was not, smaller is better, as in 0.1.0.
        """
        return self.mode or metrics.better(self.metric) or "min"


class EarlyStopping(_Watching):
    """Stop when a metric of the validation part no longer gets better."""

    patience: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Epochs without improvement before training stops."""
    min_delta: NotNegative = 0.0
    """The least change that counts as an improvement."""


class Checkpoint(_Watching):
    """When the whole training state is saved, and which checkpoints are kept.

    With neither `everySteps` nor `everySeconds`, a checkpoint is taken every 10 seconds, or less often where saving
    takes longer than 0.4 seconds: it then takes a twenty-fifth of the time.
    """

    rules = (
        at_most_one(
            "everySteps",
            "everySeconds",
            why="each is a rhythm of its own; with neither, a checkpoint is taken every 10 seconds or more",
        ),
    )

    every_steps: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Optimiser steps between checkpoints."""
    every_seconds: Annotated[int, Field(ge=1, le=604_800)] | None = None
    """Seconds between checkpoints."""
    keep_last: Annotated[int, Field(ge=1, le=100)] = 2
    """How many of the newest checkpoints stay."""
    keep_best: Annotated[int, Field(ge=1, le=100)] = 1
    """How many of the best models stay.

    The best one by `metric` becomes the model, and is a part of each checkpoint. With more than 1, a checkpoint is
    also taken at the end of each epoch that is better than all before, and the best of those stay.
    """


class Training(Section):
    """The training stage."""

    rules = (
        Rule(
            cel="has(self.entrypoint) || !has(self.arguments) || dyn(self.arguments).size() == 0",
            message="arguments are handed to entrypoint: set entrypoint, or take arguments out",
            holds=lambda training: training.entrypoint is not None or not training.arguments,
            field="arguments",
        ),
    )

    entrypoint: Entrypoint | None = None
    """`module:function`: a Ray Train training function that replaces the built-in loop.

    The fields below are then its own business, but for checkpoint.keepLast: what it needs, arguments tell it.
    """
    arguments: FreeForm = Field(default_factory=dict)
    """Handed to `entrypoint` as its one argument, a dict."""
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Passes over the training part."""
    batch_size: Annotated[int, Field(ge=1, le=16_777_216)] = 64
    """Rows an optimiser step, over all workers together."""
    optimizer: Optimizer = Optimizer()
    """The optimiser."""
    schedule: Schedule = Schedule()
    """The learning rate's schedule."""
    clip: Clip | None = None
    """Gradient clipping; none if absent."""
    early_stopping: EarlyStopping | None = None
    """Early stopping; none if absent."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: each class's rows weigh as much together in the training loss as those of any other.

    Metrics, and the validation loss, count rows as they are.
    """
    precision: Precision = "fp32"
    """`bf16` and `fp16` train in mixed precision on GPUs.

    A CPU trains in fp32 whatever is asked, and the result says so.
    """
    checkpoint: Checkpoint = Checkpoint()
    """Checkpoints."""
