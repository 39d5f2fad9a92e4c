"""A curve in one line of a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headway_cli.cluster.samples import Point, Series, drawable, short
from headway_cli.cluster.times import brief, grouped

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~+=*#"
"""For terminals that have no blocks."""
MOST_SIGNS = 40
FIRST = ("train/loss", "validation/loss", "step/loss")
"""What is drawn where nobody has said."""


def chosen(series: Series, wanted: str) -> str:
    """The name of the curve to draw; "" where there is none. wanted: "" for the one that says most."""
    if wanted:
        return key if series.get(key := short(wanted)) else ""
    there = [name for name in series if any(drawable(value) is not None for _, value in series[name])]
    return next((name for name in (*FIRST, *sorted(there)) if name in there), "")


def line(name: str, points: Sequence[Point], *, plain: bool) -> str:
    """A curve, from its first to its newest value. points: at least one, with a value. plain: by ASCII alone."""
    shown = [value for _, value in evenly(points, MOST_SIGNS)]
    there = [value for _, each in points if (value := drawable(each)) is not None]
    drawn = spark(shown, PLAIN if plain else BLOCKS)
    ends = f"{brief(str(there[0]))} to {brief(str(there[-1]))}" if len(there) > 1 else brief(str(there[0]))
    return f"{name}  {drawn}  {ends}, at step {grouped(points[-1][0])}"


def spark(values: Sequence[float | None], signs: str) -> str:
    """A sign for each value, from the least to the greatest; a space where there is none."""
    places = [drawable(value) for value in values]
    there = [value for value in places if value is not None]
    low, high = (min(there), max(there)) if there else (0.0, 0.0)
    span = high - low
    return "".join(
        " "
        if value is None
        else signs[min(int((value - low) / span * len(signs)), len(signs) - 1) if span > 0 else len(signs) // 2 - 1]
        for value in places
    )


def evenly(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many of the points, the first and the newest among them."""
    if len(points) <= most:
        return list(points)
    return [points[place * (len(points) - 1) // (most - 1)] for place in range(most)]
