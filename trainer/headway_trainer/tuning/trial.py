"""A trial as the study knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from headway_trainer.tuning.events import Ended, TrialState
from headway_trainer.tuning.objectives import Outcome

Parameters = Mapping[str, JsonValue]
"""Values by the paths of their fields in `spec`."""


@dataclass(slots=True)
class Trial:
    """A trial, or one of its repeats with other seeds; the study alone changes it."""

    number: int
    """Counted from 1."""
    parameters: Parameters
    """Of conditional parameters those that apply."""
    state: TrialState = "running"
    value: float | None = None
    """The best value of the metric over its epochs, once it has ended; none where there was no finite number. Of a
    trial with repeats the mean of theirs and its own, once all have ended."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of all objectives and constraints, once it has ended; empty where one metric says it all."""
    outcome: Outcome | None = None
    """What it is ranked by, once it has ended with a value."""
    deviation: float | None = None
    """The standard deviation of these; none without repeats."""
    whole: bool = False
    """Whether it has repeats, and all of them have had all their epochs."""
    repeat: int = 1
    """Which of the trial's trainings it is: 1 is the trial itself."""
    ended: Ended | None = None
    """How its own training has ended."""
    repeats: list[Trial] = field(default_factory=list)
    """Those with other seeds that have begun, from the second on."""
    awaits: int = 0
    """How many of them there are to be."""
    epochs: int = 0
    """Epochs that it has finished: while it runs, the last one that it has reported."""
    best_epoch: int | None = None
    """The epoch that its value is of, counted from 1; none while it runs, and where it has no epochs."""
    reports: dict[int, float | None] = field(default_factory=dict)
    """The metric's value by the epoch after which it was reported; none where it was no finite number. A trial that has
    taken over from another one has that one's."""
    told_to_stop: int | None = None
    """The epoch after which it was told to stop."""
    seconds: float = 0.0
    """For how long it ran in the attempt in which it ended."""
    cause: str | None = None
    """Why it failed."""
    message: str | None = None
    """The same, as a sentence."""

    def reached(self, sign: float) -> float | None:
        """The best value so far: while it runs, of those that it has reported; none where it has none.

        sign: 1 where less is better, else -1.
        """
        if self.state != "running":
            return self.value
        return min((one for one in self.reports.values() if one is not None), key=lambda one: sign * one, default=None)
