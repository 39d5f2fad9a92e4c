"""What `result.json` tells of a search for better parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from headway_api.base import StatusSection
from headway_api.metrics import Better
from headway_api.objectives import MODEL_BYTES
from headway_trainer.tuning.events import EarlierSource, Point, TrialState

ParameterForm = Literal["uniform", "logUniform", "int", "logInt", "choice", "grid"]
"""The forms of `spec.tuning.parameters`."""


class RepeatResult(StatusSection):
    """A trial's parameters trained once more, with another seed (`tuning.seeds`)."""

    repeat: int
    """Which training of the trial it is: counted from 2, as the trial's own is the first."""
    seed: int
    """What stood in the place of `spec.seed`."""
    state: TrialState
    """As of TrialResult."""
    value: float | None = None
    """The best value of the metric over its epochs; null for none."""
    epochs: int = 0
    """Epochs that it finished."""
    best_epoch: int | None = None
    """As of TrialResult."""
    seconds: float = 0.0
    """For how long it ran, in the attempt that it ended in."""
    cause: str | None = None
    """Why it failed."""
    message: str | None = None
    """A sentence for people."""


class TrialResult(StatusSection):
    """A trial of a search for better parameters."""

    number: int
    """Counted from 1, in the order in which trials began."""
    parameters: dict[str, JsonValue]
    """Its values, by the path of their field in spec; of conditional ones those that applied."""
    state: TrialState
    """`completed`: it had all its epochs. `stopped`: by the scheduler, a budget or stopWhen. `failed`: it has no value.
    `running`: it has not ended."""
    value: float | None = None
    """The best value of the metric over its epochs, or the mean over its folds; null for none. Of a trial that was
    repeated, the mean over its seeds: of `ownValue` and the values of those `repeats` that had all their epochs."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Of all objectives and constraints by metric, of the model that is kept of it; empty without any."""
    violation: float = 0.0
    """How far it is from keeping the constraints, all together, each as a part of its bound; 0 where it keeps them."""
    own_value: float | None = None
    """Of a trial that was repeated, its own value, with the job's seed, which is that of its model; else null."""
    deviation: float | None = None
    """Of a trial that was repeated, the standard deviation (n - 1) of these values; else null."""
    repeats: list[RepeatResult] = Field(default_factory=list)
    """The same parameters with other seeds, where the trial was promising; `epochs` and `seconds` are without them."""
    epochs: int = 0
    """Epochs that it finished; of all its folds together."""
    best_epoch: int | None = None
    """The epoch whose model is kept of it, counted from 1; null where it has no epochs, or no value."""
    folds: list[float | None] = Field(default_factory=list)
    """With `data.split.folds`, each fold's value, in order; null for no finite number. Empty without."""
    seconds: float = 0.0
    """For how long it ran, in the attempt that it ended in."""
    cause: str | None = None
    """Why it failed: `UserError`, `NotANumber` and so on."""
    message: str | None = None
    """A sentence for people."""


class TrialCurve(StatusSection):
    """The metric of a trial over its epochs."""

    number: int
    """The trial's."""
    state: TrialState
    """How it ended."""
    points: list[Point]
    """Epochs, counted from 1, each with the value after it, or null; of many epochs some, with six digits."""


class ScheduledValues(StatusSection):
    """Epochs that a model was trained for with the same values."""

    first: int
    """The first of the epochs, counted from 1."""
    last: int
    """The last of them."""
    trial: int
    """The trial that they were done in."""
    parameters: dict[str, JsonValue]
    """The values, by path."""


class Retrained(StatusSection):
    """The training that followed a search, with its best trial's parameters, on training and validation rows."""

    rows: int
    """Rows of the training and the validation part together."""
    epochs: int | None
    """For how many epochs: those after which the best trial was best; null for a model without epochs."""


class TunedObjective(StatusSection):
    """One of the metrics that trials were compared by."""

    metric: str
    """As `part/name`; `model/bytes` is the size of a trial's model."""
    better: Better
    """Whether smaller or larger values are."""


class TunedConstraint(StatusSection):
    """What a metric of a trial had to keep to."""

    metric: str
    """As of an objective."""
    min: float | None = None
    """The least value."""
    max: float | None = None
    """The greatest value."""


class TuningResult(StatusSection):
    """The search for better parameters. The model is that of its best trial, or trained anew: see `retrained`.

    Values are of the models of trials, which were trained on the training part, and are on the validation part.
    """

    metric: str
    """What was made better, as `part/name`."""
    better: Better
    """Whether smaller or larger values are."""
    objectives: list[TunedObjective] = Field(default_factory=list)
    """All of them where there are several; else empty."""
    constraints: list[TunedConstraint] = Field(default_factory=list)
    """What trials had to keep to."""
    front: list[int] = Field(default_factory=list)
    """With several objectives: the numbers of the trials that keep all constraints and that none is better than in one
    objective and worse in none, the best by the first objective first; of more than 100, so many, evenly spaced."""
    front_trials: int = 0
    """How many there are."""
    parameters: dict[str, ParameterForm] = Field(default_factory=dict)
    """By the path of its field in spec, how a parameter's values were given; empty after a `tuning.entrypoint`, where
    parameters are named as in the trials' config, nested ones joined by `/`."""
    search: str
    """How parameters were chosen: `tpe` and so on; after a `tuning.entrypoint` the class that chose them."""
    scheduler: str = "none"
    """What stopped trials early, or changed their values: `asha` and so on; after a `tuning.entrypoint` its class."""
    ended: str
    """Why no further trial was begun, in words."""
    earlier: list[EarlierSource] = Field(default_factory=list)
    """The earlier studies that the searcher began with (`tuning.warmStart`); their trials are none of this one's."""
    seeds: int = 1
    """With how many seeds a trial was trained that was better than the best before it (`tuning.seeds`)."""
    counts: dict[TrialState, int]
    """The trials of each state; repeats are none."""
    epochs: int
    """Finished epochs of all trials together, with their repeats."""
    seconds: float
    """For how long trials ran, all together: of those side by side, each counts."""
    gpu_hours: float | None = None
    """The GPU hours of all trials, over all attempts; null without `budget.gpuHours`."""
    best: int | None = None
    """The number of the best trial; null where none has a value."""
    retrained: Retrained | None = None
    """How the model was trained once the best parameters were known (`final: retrain`): then `metrics` and `training`
    are of that model, and of no trial. Null where the model is the best trial's."""
    takeovers: int = 0
    """How often a trial of a population (`pbt`) went on from another one's checkpoint."""
    schedule: list[ScheduledValues] = Field(default_factory=list)
    """Of a population: what the best trial's model was trained with, epoch by epoch, before it took over in another
    trial; of many changes the newest 200. Empty where its values never changed."""
    reported: dict[str, float | None] = Field(default_factory=dict)
    """What the best trial of a `tuning.entrypoint` reported last, by its own names; empty for other searches."""
    importances: dict[str, float] = Field(default_factory=dict)
    """Of what single parameters explain of the differences between the trials' ranks, the share of each (fANOVA: Hutter
    et al., 2014), the greatest first; none for a conditional parameter, or where there are too few trials to tell."""
    trials: list[TrialResult]
    """By number. Of more than 1000, or of very long values, some: those that were better than all before them, some
    that failed, and the best. trials.jsonl has all."""
    curves: list[TrialCurve] = Field(default_factory=list)
    """The metric over the epochs of trials, by number; of more than 150 trials the best one, and others evenly. Empty
    where trials have no epochs."""

    @property
    def watched(self) -> tuple[str, Better]:
        """What the curves are of, and whether smaller or larger values are better."""
        first = next((one for one in self.objectives if one.metric != MODEL_BYTES), None)
        return (self.metric, self.better) if first is None else (first.metric, first.better)
