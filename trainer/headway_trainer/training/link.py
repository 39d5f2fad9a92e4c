"""What the training function and the driver tell each other while it runs: progress up, requests down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from pydantic import Field

from headway_api.base import StatusSection
from headway_api.metrics import Better
from headway_api.status import CheckpointStatus
from headway_api.training import Precision
from headway_trainer.export.record import Export
from headway_trainer.report.model import Confusion, EpochRecord, KeptModel


class Request(IntEnum):
    """What the driver asks of the loop."""

    NONE = 0
    CHECKPOINT = 1
    """Take a checkpoint after the running step, and go on."""
    STOP = 2
    """Take a checkpoint after the running step, and end."""


class Answer(IntEnum):
    """What the driver says to a trial that has told its metric."""

    GO_ON = 0
    PRUNE = 1
    """Others were better: take a checkpoint, and end."""
    STOP = 2
    """Nothing, as the run is asked to stop: take a checkpoint, end, and ask again in the next attempt."""


class Question(StatusSection):
    """A trial asks whether it goes on."""

    epoch: int
    """The epoch that has ended, counted from 1."""
    value: float | None
    """Of the metric by which trials are compared, after that epoch; none where it is no finite number."""


@dataclass(frozen=True)
class Compared:
    """How a trial is compared with others while it is trained."""

    at: frozenset[int]
    """The epochs, counted from 1, after which it asks whether it goes on."""
    goes_on: Callable[[Question], bool]
    """The driver's answer."""
    until: int | None = None
    """The epoch, counted from 1, after which it takes a checkpoint and ends for now; none if it has all its epochs."""
    metric: str | None = None
    """Of a training function of the user's own: the name of what trials are compared by, as it reports it. Its reports
    are its epochs."""
    better: Better = "min"
    """Whether smaller or larger values of it are better."""
    values: dict[int, float | None] = field(default_factory=dict)
    """Of such a function: the metric by report, as far as is known; it is added to while it is trained."""


PART = "step"
"""What the names of numbers begin with that are those of steps inside an epoch, as `train` is of an epoch."""


class Measured(StatusSection):
    """Numbers at a step."""

    step: int | None
    """Optimiser steps since the first attempt; of a function that reports none, its epochs; none where it reports
    neither: it is the one after the last."""
    values: dict[str, float]
    """By name, as `part/metric`; those that are finite numbers."""
    within: bool = False
    """Whether they are of some steps inside an epoch."""


class TrainProgress(StatusSection):
    """How far the loop is. Rank 0 tells it of all."""

    stage: str = "Training"
    """Training or Evaluating."""
    epoch: int = 0
    """The running pass, counted from 1."""
    epochs: int = 0
    """The planned passes."""
    step: int = 0
    """Optimiser steps done since the first attempt; for a training function that reports none, its reports; for an
    estimator, its iterations."""
    counts_reports: bool = False
    """Whether step counts reports."""
    done: int = 0
    """Planned steps that are done."""
    planned: int = 0
    """All planned steps."""
    timed: bool = True
    """Whether training stands still where no step comes; not while an estimator fits that cannot count its own."""
    judged: int = 0
    """Batches that rank 0 has judged in validation passes since this group of workers began."""
    samples_per_second: float | None = None
    """Rows a second over all workers."""
    steps_per_second: float | None = None
    """Optimiser steps a second."""
    checkpoint_seconds: float = 0.0
    """Seconds for which training stood still for checkpoints, since this group of workers began."""
    data_seconds: float | None = None
    """Seconds for which the steps of rank 0 have waited for their rows, since this group of workers began; none where
    that is not known, as of a training function of the user's own."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """The newest value of each metric, as `split/name`; those that are finite numbers."""
    not_finite: list[str] = Field(default_factory=list)
    """The metrics whose newest value is none: JSON has no NaN and no infinity."""
    measured: list[Measured] = Field(default_factory=list)
    """Of each finished pass, or report, that the driver has not heard of, and of steps inside a pass: oldest first."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint."""
    resumed_from_step: int | None = None
    """The step that this group of workers started from; none for a fresh start."""
    notes: list[str] = Field(default_factory=list)
    """What people should know."""


class Judged(StatusSection):
    """How good the model that was kept is."""

    metrics: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The final metrics by split and name; none for one that is no finite number."""
    naive: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """Of a forecast, the metrics on the test part of those that need no model, by their names."""
    by_horizon: dict[str, dict[str, list[float | None]]] = Field(default_factory=dict)
    """Of a forecast, the mean absolute error of each step ahead, by split and target."""
    by_target: dict[str, dict[str, dict[str, float | None]]] = Field(default_factory=dict)
    """Those of each of several targets, by split, target and name."""
    confusion_matrix: list[list[int]] | None = None
    """Of the test part."""
    confusions: list[Confusion] = Field(default_factory=list)
    """Of the test part, where there are too many classes for a matrix."""
    notes: list[str] = Field(default_factory=list)
    """What people should know."""
    warnings: list[str] = Field(default_factory=list)
    """What they should know before they use the model: the job's status has it, too."""


class TrainEnd(Judged):
    """How the training function ended. Rank 0 returns it; it has to be JSON."""

    finished: bool
    """False where it was asked to stop."""
    step: int = 0
    """Optimiser steps done since the first attempt."""
    epochs_run: int = 0
    """Finished passes."""
    reports: int | None = None
    """How often a training function of the user's own reported; none for the built-in loop."""
    iterations: int | None = None
    """The iterations of an estimator's fit, 0 where it has none to count; none for the loop and for own functions."""
    own_steps: int | None = None
    """The optimiser steps of a training function of the user's own, where they are known."""
    early_stopped: bool = False
    """Whether early stopping ended it."""
    pruned: bool = False
    """Whether it was a trial that was ended because others were better."""
    device: str = "cpu"
    """What it ran on: `cpu`, or the GPU's name."""
    precision_used: Precision = "fp32"
    """The precision that the device trained in."""
    parameters: int | None = None
    """Trainable parameters of the model."""
    resumed_from_step: int | None = None
    """The step that this group of workers started from."""
    first_step_time: str | None = None
    """When the first optimiser step of this group of workers was done: RFC 3339, UTC, milliseconds."""
    history: list[EpochRecord] = Field(default_factory=list)
    """The finished passes."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint; after an evaluation, the one that the model comes from."""
    chosen: str | None = None
    """The folder of the checkpoint that the model comes from."""
    kept: KeptModel | None = None
    """Where the model that was kept comes from."""
    export: Export | None = None
    """What came of the export of the model; none where nothing knows the model, as after a user's own function."""


class Link(Protocol):
    """The loop's side. tell and request return at once; ask waits."""

    def tell(self, progress: TrainProgress) -> None:
        """Hand progress to the driver; a newer one replaces one that is not out yet."""

    def request(self) -> Request:
        """What the driver asks for now."""

    def heard(self) -> int:
        """The newest step with numbers that the driver has heard of; -1 for none."""

    def ask(self, question: Question) -> Answer:
        """Ask whether a trial goes on, and wait for the answer."""

    def close(self) -> None:
        """Send what is left."""


class Silence:
    """The link of every rank but the first."""

    def tell(self, progress: TrainProgress) -> None:
        """Rank 0 tells."""

    def request(self) -> Request:
        """Rank 0 asks."""
        return Request.NONE

    def heard(self) -> int:
        """Rank 0 tells of what was not heard."""
        return -1

    def ask(self, question: Question) -> Answer:  # noqa: ARG002 - rank 0 does
        """Rank 0 asks, and says to the others what was answered."""
        return Answer.GO_ON

    def close(self) -> None:
        """Nothing is left."""
