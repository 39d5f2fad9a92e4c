"""The values that a search chooses from, `spec.tuning.parameters`, in an order in which conditions hold. Pure."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from headway_api.tuning import FloatRange, LogIntRange, LogRange, Parameter, SteppedRange, Tuning
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
        return self._nearest(math.exp(value) if self.log else value)

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

    def _nearest(self, value: float) -> float:
        """The number in these bounds that is nearest: a logarithm and back may leave them by a rounding error."""
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
    when: Mapping[str, Sequence[JsonValue]]
    """It applies where each of these parameters applies, too, and has one of these values."""

    def applies(self, parameters: Parameters) -> bool:
        """Whether it has a value beside those of the parameters that come before it."""
        return all(
            path in parameters and any(_equal(parameters[path], value) for value in values)
            for path, values in self.when.items()
        )


class Space:
    """All parameters: each after those that it depends on, and else by their paths, as a mapping has no order."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        """Raises ValueError where conditions go round in a circle or name no parameter."""
        waiting = {
            path: Dimension(path, _values(parameter), parameter.when) for path, parameter in sorted(parameters.items())
        }
        ordered: dict[str, Dimension] = {}
        while waiting:
            ready = [path for path, dimension in waiting.items() if dimension.when.keys() <= ordered.keys()]
            if not ready:
                raise ValueError(f"the conditions of {', '.join(waiting)} name each other, or no parameter")
            ordered.update((path, waiting.pop(path)) for path in ready)
        self.dimensions = tuple(ordered.values())

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

    def combinations(self) -> Iterator[dict[str, JsonValue]]:
        """All combinations of values, each once; the values of the last parameter change fastest.

        Raises ValueError where a parameter is a range.
        """
        return self._combinations(0, {})

    def _combinations(self, begin: int, chosen: dict[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
        if begin == len(self.dimensions):
            yield dict(chosen)
            return
        dimension = self.dimensions[begin]
        if not dimension.applies(chosen):
            yield from self._combinations(begin + 1, chosen)
            return
        if isinstance(dimension.values, Numbers):
            raise ValueError(f"{dimension.path} is a range, of which there are not all values: use grid or choice")
        for value in dimension.values.values:
            yield from self._combinations(begin + 1, {**chosen, dimension.path: value})


def planned_trials(tuning: Tuning, *, default: int, most: int) -> int:
    """How many trials a search has where nothing ends it early: no more than there are combinations, and than most."""
    if tuning.search.name != "grid":
        return min(tuning.trials or default, most)
    limit = min(tuning.trials or most, most)
    return sum(1 for _ in itertools.islice(Space(tuning.parameters).combinations(), limit))


def _values(parameter: Parameter) -> Numbers | Choices:
    match parameter.uniform or parameter.log_uniform or parameter.int_ or parameter.log_int:
        case SteppedRange(min=low, max=high, step=step):
            return Numbers(low, low + (high - low) // step * step, whole=True, step=step)
        case LogIntRange(min=low, max=high):
            return Numbers(low, high, log=True, whole=True)
        case LogRange(min=low, max=high):
            return Numbers(float(low), float(high), log=True)
        case FloatRange(min=low, max=high):
            return Numbers(float(low), float(high))
        case _:
            return Choices(cast("list[JsonValue]", parameter.choice or parameter.grid or []))


def _equal(value: JsonValue, wanted: JsonValue) -> bool:
    """Whether they are the same, `1` and `1.0` being so; to Python, `True` were `1`, too."""
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted
