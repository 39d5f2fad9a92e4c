"""Where a value lies on an axis: numbers, their logarithms, or words side by side. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from pydantic import JsonValue

MOST_PLACES = 12
"""Words on an axis; the rarer ones share the last place."""
MOST_LABEL = 16
"""Characters of a label."""
OTHERS = "others"
MOST = 1e300
"""No number of a search is greater; those that floats hardly hold are none."""
_TICKS = 5
_LOG_RATIO = 100.0
"""From the least to the greatest value, from which on values are shown by their logarithm."""
_APART = 0.07
"""Between two ticks."""
_FENCE = 3.0
"""Quartile distances beyond the quartile, beyond which a value is drawn at the edge (Tukey's outer fence)."""
_FEWEST_FENCED = 8
_ROOM = 0.04
"""Of the whole, beyond the best and the worst value, so that these do not lie on the frame."""
_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Axis:
    """An axis from 0 to 1."""

    name: str
    kind: Literal["linear", "log", "words"]
    low: float
    high: float
    ticks: Sequence[tuple[float, str]] = ()
    """Places, and what stands there."""
    words: Sequence[str] = ()

    def place(self, value: JsonValue) -> float | None:
        """Where a value is, from 0 to 1; beyond an end, at it. None for one that the axis cannot have."""
        if self.kind == "words":
            found = word(value)
            index = self.words.index(found) if found in self.words else len(self.words) - 1
            return (index + 0.5) / len(self.words)
        number = finite(value)
        if number is None or (self.kind == "log" and number <= 0):
            return None
        low, high = (math.log(self.low), math.log(self.high)) if self.kind == "log" else (self.low, self.high)
        at = math.log(number) if self.kind == "log" else number
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def beyond(self, value: JsonValue) -> bool:
        """Whether a value is drawn at the edge, as it is further away."""
        number = finite(value)
        return self.kind != "words" and number is not None and not self.low <= number <= self.high


def axis(name: str, values: Iterable[JsonValue], *, log: bool | None = False) -> Axis:
    """The axis of a parameter. values: those that trials have. log: whether by their logarithm; None where nobody has
    said: then by that where the greatest is a hundred times the least."""
    there = list(values)
    numbers = [finite(value) for value in there]
    if there and all(number is not None for number in numbers):
        return of_numbers(name, [number for number in numbers if number is not None], log=log)
    counts: dict[str, int] = {}
    for value in there:
        counts[word(value)] = counts.get(word(value), 0) + 1
    words = list(counts)
    if len(words) > MOST_PLACES:
        words = [*sorted(words, key=lambda one: -counts[one])[: MOST_PLACES - 1], OTHERS]
    words = words or [OTHERS]
    ticks = [((place + 0.5) / len(words), cut(one)) for place, one in enumerate(words)]
    return Axis(name, "words", 0.0, 1.0, ticks, words)


def of_numbers(name: str, numbers: Sequence[float], *, log: bool | None = False) -> Axis:
    """The axis of numbers, at least one, each as `finite` gives it. log: as of `axis`."""
    low, high = min(numbers), max(numbers)
    if low > 0 and high > low and (log or (log is None and high / low >= _LOG_RATIO)):
        found = Axis(name, "log", low, high)
        return replace(found, ticks=_own_ticks(found, numbers) or _log_ticks(low, high))
    if low == high:
        half = abs(low) * 0.05 or 0.5
        low, high = low - half, high + half
    found = Axis(name, "linear", low, high)
    return replace(found, ticks=_own_ticks(found, numbers) or _linear_ticks(low, high))


def _own_ticks(found: Axis, numbers: Sequence[float]) -> list[tuple[float, str]]:
    """The values themselves, where they are few and apart."""
    own = sorted(set(numbers)) if len(numbers) > _TICKS else []
    places = [place for each in own[: _TICKS + 2] if (place := found.place(each)) is not None]
    apart = all(after - before >= _APART for before, after in pairwise(places))
    if not 1 < len(own) <= _TICKS + 1 or not apart:
        return []
    return [(place, _number(each)) for each, place in zip(own, places, strict=True)]


def of_values(name: str, numbers: Sequence[float], *, smaller: bool) -> Axis:
    """The axis of what trials are compared by, in which a few diverged trials do not press all others together.

    smaller: whether smaller values are better.
    """
    ordered = sorted(numbers)
    if len(ordered) >= _FEWEST_FENCED:
        first, third = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
        reach = _FENCE * (third - first)
        if reach > 0:
            if smaller and ordered[-1] > third + reach:
                ordered = [each for each in ordered if each <= third + reach]
            elif not smaller and ordered[0] < first - reach:
                ordered = [each for each in ordered if each >= first - reach]
    room = _ROOM * (ordered[-1] - ordered[0])
    return of_numbers(name, [ordered[0] - room, *ordered, ordered[-1] + room])


def finite(value: JsonValue) -> float | None:
    """A number whose distance from others a float holds; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) <= MOST else None


def word(value: JsonValue) -> str:
    """A value as a word: texts as they are, all else as JSON has it."""
    return value if isinstance(value, str) else told(value)


def told(value: JsonValue) -> str:
    """A value for people: six digits of a number."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str, most: int = MOST_LABEL) -> str:
    """A label, not too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 0.0
    step = next((each * power for each in _STEPS if each * power >= rough), 10 * power)
    if step <= 0 or not math.isfinite(step):
        return [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > 2 * _TICKS:  # low and high are so near each other that their difference is noise
        return [(0.0, f"{low:.6g}"), (1.0, f"{high:.6g}")]
    return [((each * step - low) / (high - low), _number(each * step)) for each in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(found) < 2:  # noqa: PLR2004 - an axis is told by two
        found = [each * 10.0**power for power in powers for each in _STEPS if low <= each * 10.0**power <= high]
    if len(found) < 2:  # noqa: PLR2004 - an axis is told by two
        found = [low, high]
    every = -(-len(found) // (_TICKS + 1))
    span = math.log(high) - math.log(low)
    return [((math.log(each) - math.log(low)) / span, _number(each)) for each in found[::every]]


def _number(value: float) -> str:
    told = f"{0.0 if abs(value) < 1e-300 else value:.6g}"  # noqa: PLR2004 - what is left of a difference
    return told.replace("e-0", "e-").replace("e+0", "e")
