"""What the process that runs a user's own `ray.tune.Tuner` tells the driver: JSON lines. It runs the user's code, so
the driver believes nothing of them but that they have this form. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from headway_api.base import StatusSection
from headway_api.metrics import Better
from headway_api.parameters import MAX_PARAMETERS
from headway_api.tuning import MAX_TRIALS

LINE_BYTES = 256 * 2**10
"""A longer line is none of ours."""
MOST_TEXT = 500
"""Characters of a sentence, and of a value that is no number."""
MOST_NAME = 128
"""Characters of the name of a parameter or metric."""
MOST_METRICS = 128
State = Literal["running", "waiting", "completed", "stopped", "failed"]
"""`waiting`: it has begun, and its place is another trial's for now."""
Number = Annotated[int, Field(ge=1, le=MAX_TRIALS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=MOST_NAME)]


class Plan(StatusSection):
    """`Tuner.fit` begins."""

    do: Literal["plan"] = "plan"
    planned: int | None = None
    """How many trials there are to be; none where nobody knows."""
    metric: Name = ""
    """What trials are compared by; empty where the Tuner names nothing."""
    mode: Better = "min"
    search: Name = ""
    """The class of what proposes trials."""
    scheduler: Name = ""
    """The class of what stops them."""
    resumed: bool = False
    """Whether trials of an attempt before go on."""


class TrialTold(StatusSection):
    """A trial, as it is now."""

    do: Literal["trial"] = "trial"
    number: Number
    state: State
    parameters: Annotated[dict[Name, JsonValue], Field(max_length=MAX_PARAMETERS)]
    """Its config, nested keys joined by `/`."""
    value: Finite | None = None
    """The metric's best value over its reports."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """Its reports, as Ray Tune counts them (`training_iteration`)."""
    seconds: Annotated[Finite, Field(ge=0)] = 0.0
    """For how long it ran."""
    at: Finite = 0.0
    """Seconds since `Tuner.fit` began in this attempt."""
    cause: Annotated[str, Field(max_length=MOST_NAME)] | None = None
    message: Annotated[str, Field(max_length=MOST_TEXT)] | None = None
    reported: Annotated[dict[Name, Finite], Field(max_length=MOST_METRICS)] = Field(default_factory=dict)
    """The numbers of its last report."""
    report: ReportTold | None = None
    """The report that is the reason for this message."""


class ReportTold(StatusSection):
    """A report of a trial."""

    epoch: Annotated[int, Field(ge=0)]
    """Which of its reports it is, as Ray Tune counts them."""
    value: Finite | None
    """Of the metric; none where it is no finite number."""
    goes_on: bool
    """Whether the trial was told to go on."""


class Fitted(StatusSection):
    """`Tuner.fit` has ended, and the user's function goes on."""

    do: Literal["fitted"] = "fitted"


class Over(StatusSection):
    """The last word."""

    do: Literal["over"] = "over"
    how: Literal["done", "stopped", "user", "memory", "storage", "fault"]
    """`user`: an error of the user's. `fault`: one of Headway's."""
    message: str = ""


Message = Annotated[Plan | TrialTold | Fitted | Over, Field(discriminator="do")]
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


def read(line: bytes) -> Message | None:
    """The message of a line; none where it has none."""
    if len(line) > LINE_BYTES:
        return None
    try:
        return _MESSAGE.validate_json(line)
    except ValidationError:
        return None


def parameters_of(config: Mapping[Any, Any]) -> dict[str, JsonValue]:
    """The config of a trial as JSON of bounded size: nested keys joined by `/`, what JSON has not as its text."""
    found: dict[str, JsonValue] = {}
    _flatten(config, "", found)
    return found


def numbers_of(result: Mapping[Any, Any], without: frozenset[str]) -> dict[str, float]:
    """The finite numbers of a report by name, at most MOST_METRICS. without: names that are not the user's."""
    found: dict[str, float] = {}
    for key, value in result.items():
        name = str(key)
        number = number_of(value)
        if number is not None and name.partition("/")[0] not in without and len(found) < MOST_METRICS:
            found[name[:MOST_NAME]] = number
    return found


def number_of(value: object) -> float | None:
    """A finite number; none for anything else."""
    if value is None or isinstance(value, bool | str | bytes):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _flatten(config: Mapping[Any, Any], above: str, found: dict[str, JsonValue]) -> None:
    for key, value in config.items():
        if len(found) >= MAX_PARAMETERS:
            return
        name = f"{above}{key}"[:MOST_NAME]
        if isinstance(value, Mapping) and value:
            _flatten(value, f"{name}/", found)
        else:
            found[name] = _value(value)


def _value(value: object) -> JsonValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if not isinstance(value, int) and (number := number_of(value)) is not None:
        return int(number) if hasattr(value, "dtype") and "int" in str(value.dtype) else number
    if isinstance(value, list | tuple) and len(text := _json(value)) <= MOST_TEXT:
        told: JsonValue = json.loads(text)
        return told
    text = str(value)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def _json(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(str(value))
