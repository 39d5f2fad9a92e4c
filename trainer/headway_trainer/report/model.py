"""`result.json`: all that is known of a finished run. Its schema is published as docs/reference/result.schema.json.

python -m headway_trainer.report.model > docs/reference/result.schema.json
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field, JsonValue

from headway_api.base import StatusSection
from headway_api.metrics import Better, Task
from headway_api.status import CheckpointStatus
from headway_api.status_words import Time
from headway_trainer.data.info import DataInfo
from headway_trainer.data.profile import Profile
from headway_trainer.export.record import Export
from headway_trainer.report.tuning_model import TuningResult

RESULT_VERSION = 1
SCHEMA_ID = "https://headway.dev/schemas/result.schema.json"

MetricValues = dict[str, float | None]
"""Metrics by name; null for one that is not a finite number."""


class DataSummary(StatusSection):
    """The data, as far as the result tells of it."""

    task: Task
    """What is learnt."""
    rows: dict[str, int]
    """Rows of train, validation and test."""
    input_shape: list[int]
    """The shape of one row."""
    classes: list[str] | None = None
    """The class names in the order of their labels; null for other tasks than classification."""
    class_balance: dict[str, dict[str, int]] | None = None
    """Rows of each class in each part; null for other tasks than classification."""
    content_hash: str
    """sha256 over the source's content."""
    scaling: str
    """How features were scaled."""
    profile: Profile = Profile(rows=0)
    """What the source holds, what was made of each column, and what people should know."""

    @staticmethod
    def of(info: DataInfo) -> DataSummary:
        """The summary of prepared data."""
        return DataSummary(
            task=info.task,
            rows=info.rows,
            input_shape=list(info.input_shape),
            classes=info.classes,
            class_balance=info.class_balance,
            content_hash=info.content_hash,
            scaling=info.scaling.method,
            profile=info.profile,
        )


class ModelSummary(StatusSection):
    """The model."""

    name: str | None = None
    """Its name in the registry."""
    entrypoint: str | None = None
    """The user's own function."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Its options, as the spec gave them."""
    parameters: int | None = None
    """Trainable parameters."""


class EpochRecord(StatusSection):
    """One pass over the training part."""

    epoch: int
    """Counted from 1."""
    step: int
    """Optimiser steps done at its end."""
    train: MetricValues = Field(default_factory=dict)
    """Metrics of the training part."""
    validation: MetricValues = Field(default_factory=dict)
    """Metrics of the validation part."""
    learning_rate: float | None = None
    """The learning rate at its end."""
    seconds: float | None = None
    """How long it took."""


class KeptModel(StatusSection):
    """Which of the models that training went through is the one that was kept."""

    checkpoint: str
    """The name of the checkpoint that it was taken from."""
    step: int
    """Optimiser steps that were done when the model had these weights."""
    epoch: int | None = None
    """The pass that they end; null where it is not known any more."""
    metric: str
    """The metric that chose it, as `split/name`."""
    better: Better
    """Whether the lowest or the highest value was chosen."""
    value: float | None = None
    """Its value; null where no epoch had a finite one, and the newest was kept."""


class TrainingSummary(StatusSection):
    """How the model was fitted."""

    entrypoint: str | None = None
    """The user's own training function, or the one that ran a `ray.tune.Tuner`."""
    epochs_run: int | None = 0
    """Passes over the training part; null for a training function of the user's own, which counts as it likes, and for
    a fit by scikit-learn or XGBoost."""
    steps: int | None = 0
    """Optimiser steps. Of a training function of the user's own, those that it reported, or rank 0's where it began
    from nothing; else null."""
    iterations: int | None = None
    """Trees of a forest, or iterations of gradient boosting, over all targets; of XGBoost those that were done, also
    where early stopping kept fewer. 0 for a linear model, null where the training loop or a function of the user's own
    trained."""
    reports: int | None = None
    """How often a training function of the user's own reported in the last attempt; null for the built-in loop."""
    early_stopped: bool = False
    """Whether early stopping ended it."""
    device: str = "cpu"
    """What it ran on: `cpu`, or the GPU's name."""
    threads: int = 1
    """Threads that each training process computed with on the CPU."""
    precision_asked: str = "fp32"
    """The precision in the spec."""
    precision_used: str = "fp32"
    """The precision that the device trained in."""
    resumed_from_step: int | None = None
    """The step that the last attempt started from; null for a fresh start."""
    first_step_time: str | None = None
    """When the last attempt's first optimiser step was done: RFC 3339, UTC, milliseconds."""
    kept: KeptModel | None = None
    """Where the model that was kept comes from; null for a training function of the user's own."""
    history: list[EpochRecord] = Field(default_factory=list)
    """Epoch by epoch, over all attempts; of XGBoost iteration by iteration, each in place of an epoch. Of more than
    2000 every second, fourth, eighth and so on."""


class Metrics(StatusSection):
    """The final metrics of the model that was kept."""

    train: MetricValues = Field(default_factory=dict)
    """On the training part; of a large one, on the rows that `message` tells of."""
    validation: MetricValues = Field(default_factory=dict)
    """On the validation part."""
    test: MetricValues = Field(default_factory=dict)
    """On the test part, which nothing has seen before."""
    baseline: MetricValues = Field(default_factory=dict)
    """On the test part, of always saying the most frequent class of the training part, or its mean; of a forecast, of
    the better one in `naive`."""
    naive: dict[str, MetricValues] = Field(default_factory=dict)
    """On the test part, of forecasts that need no model: `lastValue` says the last known value for all steps,
    `seasonalNaive` what was a season before."""
    by_horizon: dict[str, dict[str, list[float | None]]] = Field(default_factory=dict)
    """Of a forecast, the mean absolute error of each step ahead, in the target's units: by part and by target."""
    reported: MetricValues = Field(default_factory=dict)
    """What a training function of the user's own reported last, by its own names."""
    by_target: dict[str, dict[str, MetricValues]] = Field(default_factory=dict)
    """The metrics of each of several targets, by part and by target."""


class Confusion(StatusSection):
    """Two classes that were confused."""

    actual: int
    """The class of the rows, as its index in data.classes."""
    predicted: int
    """The class that they were taken for."""
    rows: int
    """How many."""


class FoldResult(StatusSection):
    """A fold of a cross-validation."""

    name: str
    """Its name: `fold-1` and so on."""
    rows: dict[str, int]
    """Its rows of train and validation."""
    epochs_run: int = 0
    """Passes over its training rows."""
    steps: int = 0
    """Optimiser steps."""
    early_stopped: bool = False
    """Whether early stopping ended it."""
    best_epoch: int | None = None
    """The pass that ends with the model that was judged, which `training.checkpoint.metric` chose; null for none."""
    metrics: MetricValues = Field(default_factory=dict)
    """On its validation rows, which its model was not trained on."""


class CrossValidation(StatusSection):
    """How models that are trained like the one that is kept do on rows that they were not trained on."""

    folds: list[FoldResult]
    """Each fold."""
    mean: MetricValues = Field(default_factory=dict)
    """The mean of each metric over the folds; null where a fold has none."""
    standard_deviation: MetricValues = Field(default_factory=dict)
    """The standard deviation (n - 1) of each metric over the folds; null where a fold has none."""


class GateResult(StatusSection):
    """A gate, and how the model did at it."""

    name: str
    """The gate's name."""
    metric: str
    """The metric, as `part/name`."""
    value: float | None
    """The model's value; null where there is none, which passes no gate."""
    min: float | None = None
    """The least value that is good enough."""
    max: float | None = None
    """The greatest value that is good enough."""
    against: str | None = None
    """What it was compared with, in words; null where it was not."""
    against_value: float | None = None
    """The value that this had."""
    min_delta: float | None = None
    """How much better than this the model's value must be."""
    passed: bool
    """Whether the model passed."""


class Artifact(StatusSection):
    """A file that the run left in its folder."""

    name: str
    """What it is: `model`, `onnx`, `model-info`, `signature`, `reference`, `trials`, `report`, `plot`."""
    path: str
    """Where it is, relative to the run's folder."""
    sha256: str
    """Its digest."""
    size_bytes: int
    """Its size."""


class Environment(StatusSection):
    """What it ran with."""

    python: str = ""
    """The version of Python."""
    torch: str = ""
    """The version of PyTorch."""
    ray: str = ""
    """The version of Ray."""
    headway: str = ""
    """The version of Headway."""
    code_commit: str | None = None
    """The commit of the user's code, where it came from git."""


class TimeSpent(StatusSection):
    """Where the time of a run went, as its drivers saw it (docs/explanation/clocks.md): until this was written."""

    attempts: int
    """How many attempts there were."""
    counted: int
    """How many of them have left what they counted, this one among them."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Of those attempts, by what they went into."""
    between_seconds: float = 0.0
    """From what an attempt has counted last to the beginning of the next one, by the clocks of their nodes: suspended,
    queued, starting, and what went unnoted at an attempt's end."""
    validating_seconds: float | None = None
    """Of the productive seconds, those that were seen to go into validation: passes that are over within a quarter of a
    second are not. Null where nothing is known, as of a training function of the user's own."""
    waiting_for_rows_seconds: float | None = None
    """Of the productive seconds, those for which the first training process waited for rows; null as above."""
    goodput: float | None = None
    """The share of `seconds` that was productive, from 0 to 1; null where nothing was counted."""
    steps_again: int = 0
    """Steps that were lost and done again, as far as is known."""


class RunResult(StatusSection):
    """The result of a run."""

    version: int = RESULT_VERSION
    """The version of this format."""
    job: str
    """The job's name."""
    namespace: str | None = None
    """The job's namespace."""
    uid: str | None = None
    """The job's uid; null outside a cluster."""
    outcome: Literal["Succeeded", "Failed", "Interrupted"]
    """How it ended."""
    message: str = ""
    """A sentence for people, where it did not succeed."""
    seed: int
    """What everything random was seeded with."""
    world_size: int
    """How many processes trained, on all workers together."""
    processes: int = 1
    """How many of them on each worker."""
    attempt: int = 1
    """The attempt that finished it, counted from 1."""
    started: Time
    """When this attempt began."""
    finished: Time
    """When it ended."""
    duration_seconds: float
    """How long it took."""
    time: TimeSpent | None = None
    """Where the time went; null with trials or folds, several of which are trained at a time."""
    data: DataSummary | None = None
    """The data; null for a training function that brings its own."""
    model: ModelSummary | None = None
    """The model; null for a training function that brings its own."""
    training: TrainingSummary = TrainingSummary()
    """The training."""
    metrics: Metrics = Metrics()
    """The final metrics."""
    export: Export | None = None
    """What came of the export to model.onnx, without its signature, which model.json has; null where `export.formats`
    does not ask for it, or nothing knows the model, as after a training function of the user's own."""
    gates: list[GateResult] = Field(default_factory=list)
    """How the model did at each gate of `spec.evaluation`."""
    cross_validation: CrossValidation | None = None
    """The folds of `data.split.folds`; null without them."""
    tuning: TuningResult | None = None
    """The trials of `spec.tuning`; null without it."""
    confusion_matrix: list[list[int]] | None = None
    """Test rows of one class (first index) predicted as another (second index), in the order of data.classes; null for
    more than 200 classes."""
    confusions: list[Confusion] = Field(default_factory=list)
    """In its place, for more than 200 classes: the most frequent confusions of test rows, at most 1000."""
    checkpoint: CheckpointStatus | None = None
    """The checkpoint that the model comes from."""
    artifacts: list[Artifact] = Field(default_factory=list)
    """The files."""
    environment: Environment = Environment()
    """What it ran with."""


def result_schema() -> str:
    """The JSON schema of `result.json`, as it is published."""
    schema = RunResult.model_json_schema(by_alias=True, mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}
    return json.dumps(document, indent=2) + "\n"
