"""Series over six hours, and how promtool reads them."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

STEP = 30
HOURS = 6
UNTIL = 1_796_040_000
"""The moment of the pictures, in seconds since the epoch: noon of 30 November 2026, UTC."""
SINCE = UNTIL - HOURS * 3600
TIMES = range(SINCE, UNTIL + 1, STEP)
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""The bounds of the operator's histograms."""
SPREAD = 0.6
"""Of what histograms observe, around its middle, on a logarithmic scale."""
LARGE = 1e5
"""From here on numbers are written with all their digits."""
Labels = Mapping[str, str]
Value = Callable[[float], float | None]
"""A number by the hours since the beginning; None: there is none."""


def steady(value: float) -> Value:
    """Always the same."""
    return lambda _: value


def wave(name: str, hour: float, spread: float = 0.05) -> float:
    """About 1: the same for the same name and time."""
    phase = zlib.crc32(name.encode()) % 628 / 100
    noise = random.Random(f"{name}{hour:.4f}").uniform(-1, 1)  # noqa: S311 - no secret
    return 1 + spread * (0.6 * math.sin(hour * 2.1 + phase) + 0.4 * noise)


def about(value: float, name: str, spread: float = 0.05) -> Value:
    """Up and down around a value."""
    return lambda hour: value * wave(name, hour, spread)


def after(begin: float, value: Value, end: float = math.inf) -> Value:
    """Nothing before an hour, and from another on."""
    return lambda hour: value(hour) if begin <= hour < end else None


def within(begin: float, end: float, then: float, otherwise: float = 0.0) -> Value:
    """One value for a while, another before and afterwards."""
    return lambda hour: then if begin <= hour < end else otherwise


def scaled(value: Value, factor: float) -> Value:
    """A part of it."""

    def told(hour: float) -> float | None:
        found = value(hour)
        return None if found is None else found * factor

    return told


def once_in(hours: float, at: float = 0.4) -> Value:
    """The rate of something that happens once in so many hours."""
    return lambda hour: 1 / STEP if (hour + at) % hours < STEP / 3600 else 0.0


@dataclass
class History:
    """Series, each with its values at all times."""

    series: dict[str, list[tuple[Labels, list[float | None]]]] = field(default_factory=dict)

    def gauge(self, name: str, labels: Labels, value: Value) -> None:
        """A series by its value."""
        rows = self.series.setdefault(name, [])
        rows.append((labels, [value((time - SINCE) / 3600) for time in TIMES]))

    def counter(self, name: str, labels: Labels, rate: Value) -> None:
        """A series by its growth per second; where that is None, it is not there."""
        total = 0.0

        def value(hour: float) -> float | None:
            nonlocal total
            grows = rate(hour)
            total += (grows or 0.0) * STEP
            return None if grows is None else total

        self.gauge(name, labels, value)

    def histogram(
        self, name: str, labels: Labels, rate: Value, middle: float, *, bounds: tuple[float, ...] = SHORT
    ) -> None:
        """A histogram of so many observations per second, spread around a value."""
        for bound in bounds:
            share = 0.5 * (1 + math.erf(math.log(bound / middle) / SPREAD / math.sqrt(2)))
            self.counter(f"{name}_bucket", {**labels, "le": str(float(bound))}, scaled(rate, share))
        self.counter(f"{name}_bucket", {**labels, "le": "+Inf"}, rate)
        self.counter(f"{name}_count", labels, rate)
        self.counter(f"{name}_sum", labels, scaled(rate, middle * 1.2))

    def text(self) -> Iterator[str]:
        """OpenMetrics, where every series is of no known type, so that buckets need not stand side by side."""
        for name, rows in sorted(self.series.items()):
            yield f"# TYPE {name} unknown\n"
            for labels, values in rows:
                told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
                for time, value in zip(TIMES, values, strict=True):
                    if value is not None:
                        number = f"{value:.1f}" if abs(value) > LARGE else f"{value:.6g}"
                        yield f"{name}{{{told}}} {number} {time}\n"
        yield "# EOF\n"
