"""What is recorded of a run's course, and of its children's. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from headway_api.base import StatusSection
from headway_api.tracking import Tracking
from headway_api.wording import printable, shortened
from headway_trainer.event_log import Events

FOLDER = "tracking"
MOST_VALUES = 64
"""Numbers of a point."""
MOST_NAME = 250
"""Characters of the name of a number, a parameter or a tag."""
MOST_STEP = 2**63 - 1
"""What TensorBoard's files and MLflow's database have room for; what comes after it is not recorded."""
State = Literal["completed", "stopped", "failed", "interrupted"]
"""`stopped`: a trial that was no longer worth it. `interrupted`: the next attempt goes on."""


class Began(StatusSection):
    """A run begins: the job's own, in each attempt, or a child."""

    do: Literal["begin"] = "begin"
    scope: str
    """Of the job's own it is empty."""
    name: str
    """For people."""
    identity: str
    """What tells the job's run from all others."""
    parameters: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    tracking: Tracking | None = None
    """Of the job's own run, who is told of it: for whoever tells it later."""
    at: float
    """Seconds since 1970, as of all events."""


class Point(StatusSection):
    """Numbers at a step of a run."""

    do: Literal["point"] = "point"
    scope: str
    step: int
    values: dict[str, float]
    within: bool = False
    """Whether they are of steps inside an epoch: one of several points of it."""
    at: float


class Ended(StatusSection):
    """A run has ended; the job's own may go on in another attempt."""

    do: Literal["end"] = "end"
    scope: str
    state: State
    values: dict[str, float] = Field(default_factory=dict)
    """What is told at its end, such as metrics of the test part."""
    tags: dict[str, str] = Field(default_factory=dict)
    at: float


Event = Annotated[Began | Point | Ended, Field(discriminator="do")]


class Record(Events[Event]):
    """The record of a run on its storage."""

    folder, what, whose = FOLDER, "a record", "what trackers are told"
    adapter: TypeAdapter[Event] = TypeAdapter(Event)


def written(text: str) -> str:
    """A text that every tracker's database and people's terminals take: control characters, which PostgreSQL refuses,
    and halves of pairs of surrogates are written by their numbers. Lines stay lines."""
    return text if text.isprintable() else "\n".join(map(printable, text.splitlines()))


def named(name: str) -> str:
    """The name of a number or a parameter as it is recorded: names that begin alike stay different where it is cut."""
    return shortened(printable(name), MOST_NAME)


def bounded(values: Mapping[str, float | None]) -> dict[str, float]:
    """The finite ones of so many numbers as a point may have: the first."""
    finite = ((named(name), one) for name, one in values.items() if _is_finite(one))
    return {name: float(one) for name, one in islice(finite, MOST_VALUES) if one is not None}


def _is_finite(value: float | None) -> bool:
    try:
        return value is not None and math.isfinite(value)
    except OverflowError:  # a whole number that no float is as large as
        return False
