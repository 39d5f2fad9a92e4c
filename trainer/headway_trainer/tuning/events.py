"""What happens in a study, as it is logged: the log is the study's state, and replaying it gives the same study."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from headway_api.base import StatusSection

Point = tuple[int, float | None]
"""An epoch, counted from 1, and the metric's value after it; none where it was no finite number."""
TrialState = Literal["running", "completed", "stopped", "failed"]
"""`stopped`: by the scheduler, a budget or stopWhen; its value counts. `failed`: it has none."""


class Asked(StatusSection):
    """A trial begins."""

    do: Literal["ask"] = "ask"
    trial: int
    """Counted from 1."""
    parameters: dict[str, JsonValue]
    """By path; of conditional ones those that apply."""
    at: float = 0.0
    """Seconds since the first trial began, over all attempts, without the time between attempts."""


class EarlierTrial(StatusSection):
    """A trial of an earlier study."""

    parameters: dict[str, JsonValue]
    """By path."""
    value: float
    """Of the metric."""


class EarlierSource(StatusSection):
    """An earlier study, as it was found."""

    what: str
    """Which one it is, in words."""
    taken: int
    """Its trials that are learnt from."""
    skipped: int
    """Those that are not: without a value after all their epochs, or with parameters of another space."""


class WarmStarted(StatusSection):
    """What the searcher knows from earlier studies, before the first trial (`tuning.warmStart`). All of it stands here:
    the folders that it comes from may be gone by the next attempt."""

    do: Literal["warm"] = "warm"
    trials: list[EarlierTrial]
    """In the order in which they are learnt from."""
    sources: list[EarlierSource]
    """Where they come from."""
    at: float = 0.0
    """As of Asked."""


class Repeated(StatusSection):
    """A trial that has ended is trained again, with another seed (`tuning.seeds`)."""

    do: Literal["repeat"] = "repeat"
    trial: int
    """Its number."""
    repeat: int
    """Which of its trainings it is: counted from 2, as the trial's own is the first."""
    seed: int
    """In place of `spec.seed`."""
    at: float = 0.0
    """As of Asked."""


class Reported(StatusSection):
    """A trial has finished an epoch after which the scheduler judges it."""

    do: Literal["report"] = "report"
    trial: int
    repeat: int = 1
    """Which of its trainings: 1 is its own."""
    epoch: int
    """Counted from 1."""
    value: float | None
    """Of the metric that chooses the trial's checkpoint; none where it was no finite number."""
    goes_on: bool
    """Whether the next epoch begins: the scheduler's verdict, and false once a budget or stopWhen ends the search."""
    at: float = 0.0
    """As of Asked."""


class Ended(StatusSection):
    """A training of a trial has ended: its own, or with another seed."""

    do: Literal["end"] = "end"
    trial: int
    repeat: int = 1
    """Which of its trainings: 1 is its own."""
    state: Literal["completed", "stopped", "failed"]
    value: float | None = None
    """The best value of the metric over its epochs; of cross-validation inside the trial, the mean over the folds; of
    several objectives the first one's, of the model that is kept."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Of all objectives and constraints, by metric: of the model that is kept of it; empty without any."""
    violation: float = 0.0
    """How far it is from keeping the constraints: the study sets it."""
    epochs: int = 0
    """Epochs that it finished; of all its folds together."""
    best_epoch: int | None = None
    """The epoch, counted from 1, whose model is kept of it; none where there is no such."""
    folds: list[float | None] = Field(default_factory=list)
    """Each fold's value, in order; none for no finite number. Empty where the trial has no folds."""
    seconds: float = 0.0
    """For how long it ran in this attempt."""
    cause: str | None = None
    """Why it failed: `UserError`, `NotANumber`, ..."""
    message: str | None = None
    """A sentence for people."""
    curve: list[Point] = Field(default_factory=list)
    """The metric over its epochs, thinned out."""
    repeats: int = 0
    """Of its own training: how many with other seeds follow before the trial has ended; the study sets it."""
    at: float = 0.0
    """As of Asked; the study sets it."""


class Move(StatusSection):
    """A trial goes on from another one's checkpoint, with other parameters."""

    trial: int
    """The trial that goes on."""
    source: int
    """The trial whose checkpoint it goes on from."""
    parameters: dict[str, JsonValue]
    """Its own, from here on; by path."""


class Generation(StatusSection):
    """All trials of a population have come to the same epoch, and some have taken over from others."""

    do: Literal["generation"] = "generation"
    epoch: int
    """Counted from 1."""
    moves: list[Move]
    """By the trial that goes on. Those checkpoints were copied before this was logged: to copy them again does no harm,
    and a copy that was promised and not made could not be told from one that was."""
    at: float = 0.0
    """As of Asked; the study sets it."""


class Used(StatusSection):
    """How much GPU time the trials have taken so far. Logged only where a budget is about it."""

    do: Literal["use"] = "use"
    gpu_seconds: float
    """Over all attempts: of each trial the seconds that it was trained for, times the GPUs that it held."""
    at: float = 0.0
    """As of Asked."""


Event = Annotated[Asked | WarmStarted | Repeated | Reported | Ended | Generation | Used, Field(discriminator="do")]
