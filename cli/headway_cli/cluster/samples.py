"""The metrics of jobs as they were seen while somebody looked: curves of what is not on the storage yet. Pure."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping

from headway_api.wording import shortened
from headway_cli.cluster.fields import Object, number, text, texts

Point = tuple[float, float | None]
"""A step, and a value; None where it is no finite number."""
Series = dict[str, list[Point]]
MOST_JOBS = 64
MOST_SERIES = 16
MOST_POINTS = 2000
"""Of a series: more than a plot can show."""
MOST_NAME = 100
MOST_VALUE = 1e300
"""No value is greater: the distance of two of them is a number, too, or a drawing has no scale."""


class Samples:
    """By the uid of a job; the jobs that nobody has looked at for longest are forgotten first. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Series] = OrderedDict()

    def see(self, job: Object) -> None:
        """What the status of a job tells now."""
        uid, step = text(job, "metadata", "uid"), drawable(number(job, "status", "progress", "step"))
        if uid and step is not None:
            told = texts(job, "status", "progress", "metrics")
            self.add(uid, step, {name: drawable(_value(value)) for name, value in told.items()})

    def add(self, uid: str, step: float, metrics: Mapping[str, float | None]) -> None:
        """What a job has told at a step. One that is seen again with a smaller step has begun again from there."""
        with self._lock:
            series = self._jobs.setdefault(uid, {})
            self._jobs.move_to_end(uid)
            while len(self._jobs) > MOST_JOBS:
                self._jobs.popitem(last=False)
            for name, value in metrics.items():
                if (key := short(name)) in series or len(series) < MOST_SERIES:
                    series[key] = _with(series.get(key, []), (step, value))

    def of(self, uid: str) -> Series:
        """All that was seen of a job."""
        with self._lock:
            return {name: list(points) for name, points in self._jobs.get(uid, {}).items()}


def short(name: str) -> str:
    """The name of a curve, of at most MOST_NAME characters: two that begin alike stay two."""
    return shortened(name, MOST_NAME)


def drawable(value: float | None) -> float | None:
    """A number that can be drawn; None for others, and for none."""
    return float(value) if value is not None and abs(value) <= MOST_VALUE else None


def joined(kept: Series, seen: Series) -> Series:
    """What a storage has, and behind its last step what was seen since."""
    found: Series = {}
    for name in list(dict.fromkeys([*kept, *seen])):
        points = kept.get(name, [])
        last = points[-1][0] if points else -math.inf
        found[name] = thinned([*points, *(point for point in seen.get(name, []) if point[0] > last)])
    return found


def thinned(points: list[Point]) -> list[Point]:
    """At most MOST_POINTS, evenly taken; the newest is among them."""
    stride = -(-len(points) // MOST_POINTS) if points else 1
    return points[::-1][::stride][::-1]


def _with(points: list[Point], point: Point) -> list[Point]:
    kept = [each for each in points if each[0] < point[0]] if points and points[-1][0] >= point[0] else points
    kept.append(point)
    return kept[::2] if len(kept) > MOST_POINTS else kept


def _value(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None
