"""The values that a search chooses from, `spec.tuning.parameters`, in an order in which conditions hold. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from headway_api import trials
from headway_api.parameters import FloatRange, LogIntRange, LogRange, Parameter, SteppedRange
from headway_trainer.tuning.trial import Parameters


@dataclass(frozen=True)
class Numbers:
    """Numbers from low to high, both included."""

    low: float
    high: float
    log: bool = False
    """Whether they are drawn evenly over their logarithm."""
    whole: bool = False
    step: int = 1
    """Of whole numbers: the distance between two; high is one of them."""

    @property
    def count(self) -> int | None:
        """How many there are; none of real ones."""
        return (int(self.high) - int(self.low)) // self.step + 1 if self.whole else None

    def holds(self, value: JsonValue) -> bool:
        """Whether a value is one of these numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.whole or (isinstance(value, int) and (value - int(self.low)) % self.step == 0)

    def at(self, place: float) -> float:
        """The number at a place from 0 to 1; each whole number has as much room as any other."""
        low, high = self._edges
        value = low * (1 - place) + high * place
        return self.nearest(math.exp(value) if self.log else value)

    def place(self, value: float) -> float:
        """Where a number lies, from 0 to 1."""
        low, high = self._edges
        # By halves, as the distance of two numbers may be more than a number can be.
        width = high / 2 - low / 2
        place = ((math.log(value) if self.log else value) / 2 - low / 2) / width if width > 0 else 0.0
        return min(max(place, 0.0), 1.0)

    @property
    def _edges(self) -> tuple[float, float]:
        """Where 0 and 1 lie: the outer ones of whole numbers have room around them."""
        margin = self.step / 2 if self.whole else 0.0
        low, high = self.low - margin, self.high + margin
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def nearest(self, value: float) -> float:
        """The number of these that is nearest: a logarithm and back may leave their bounds by a rounding error."""
        if not self.whole:
            return min(max(float(value), self.low), self.high)
        low = int(self.low)
        return min(max(low + round((value - low) / self.step) * self.step, low), int(self.high))


@dataclass(frozen=True)
class Choices:
    """Values without an order, all of them different."""

    values: Sequence[JsonValue]

    def holds(self, value: JsonValue) -> bool:
        """Whether it is one of them; `1`, `1.0` and `true` are different values."""
        return self.index(value) is not None

    def index(self, value: JsonValue) -> int | None:
        """Which one it is, counted from 0; none where it is none of them."""
        text = json.dumps(value)
        return next((index for index, own in enumerate(self.values) if json.dumps(own) == text), None)


@dataclass(frozen=True)
class Dimension:
    """A parameter."""

    path: str
    values: Numbers | Choices
    parameter: Parameter

    def applies(self, parameters: Parameters) -> bool:
        """Whether it has a value beside those of the parameters that come before it."""
        return trials.applies(self.parameter, parameters)


class Space:
    """All parameters, each after those that it depends on."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self.dimensions = tuple(
            Dimension(path, _values(parameters[path]), parameters[path]) for path in trials.ordered(parameters)
        )

    def fault(self, parameters: Parameters) -> str | None:
        """Why these are not the parameters of a trial, as the end of a sentence; none if they are."""
        known = {dimension.path for dimension in self.dimensions}
        if unknown := sorted(parameters.keys() - known):
            return f"{unknown[0]} is no parameter"
        for dimension in self.dimensions:
            path = dimension.path
            if dimension.applies(parameters) != (path in parameters):
                return f"{path} has a value and does not apply" if path in parameters else f"{path} has no value"
            if path in parameters and not dimension.values.holds(parameters[path]):
                return f"{path} cannot be {json.dumps(parameters[path])}"
        return None


def _values(parameter: Parameter) -> Numbers | Choices:
    match parameter.range:
        case SteppedRange(min=low, max=high, step=step):
            return Numbers(low, low + (high - low) // step * step, whole=True, step=step)
        case LogIntRange(min=low, max=high):
            return Numbers(low, high, log=True, whole=True)
        case LogRange(min=low, max=high):
            return Numbers(float(low), float(high), log=True)
        case FloatRange(min=low, max=high):
            return Numbers(float(low), float(high))
        case _:
            return Choices(parameter.listed or [])
