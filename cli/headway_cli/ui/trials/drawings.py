"""The drawings of a search, in units of their viewBox: what goes where, but no markup. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from headway_cli.ui.trials.axes import Axis, axis, cut, of_values, told
from headway_cli.ui.trials.search import Search, Trial, chosen, fifths

MOST_POINTS = 1000
"""Of a scatter plot."""
MOST_LINES = 250
"""Of parallel coordinates."""
MOST_AXES = 9
"""Parameters that get an axis."""
WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 14, 50
WIDE, TALL = 1120, 340
_NUMBER = "number"
_JITTER = 0.6
"""Of a word's place on an axis, that its points are spread over."""
_GOLDEN = 0.6180339887498949
_MOST_TITLE = 5
"""Parameters that a mark's title names."""
_SPARK_WIDTH, _SPARK_HEIGHT = 96.0, 24.0


@dataclass(frozen=True)
class Tick:
    """A tick of an axis."""

    at: str
    label: str


@dataclass(frozen=True)
class Mark:
    """A trial in a drawing."""

    number: int
    kind: str
    """`best`, or `fifth-1` to `fifth-5`."""
    title: str
    x: str = ""
    y: str = ""
    points: str = ""
    """Of parallel coordinates: its line."""


@dataclass(frozen=True)
class Scatter:
    """Trials by a parameter, or by their number, and a metric."""

    x: str
    y: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    marks: Sequence[Mark]
    """The best last, so that it is above the others."""
    total: int
    """How many trials have both values."""
    beyond: int = 0
    """How many are drawn at the edge, as they are further away."""
    steps: str = ""
    """By number: the line of the best value so far."""


@dataclass(frozen=True)
class Column:
    """An axis of parallel coordinates."""

    name: str
    short: str
    at: str
    ticks: Sequence[Tick]
    missing: bool
    """Whether there are trials without that parameter, whose lines pass below the axis."""


@dataclass(frozen=True)
class Parallel:
    """Trials as lines over all parameters, and what they are compared by."""

    columns: Sequence[Column]
    marks: Sequence[Mark]
    total: int
    left_out: Sequence[str] = field(default_factory=tuple)
    """Parameters for which there is no room."""


def scatter(search: Search, parameter: str | None, metric: str) -> Scatter | None:
    """Trials by a parameter (None for their number) and a metric; None where no trial has both."""
    trials = [one for one in search.valued if one.measured(metric) is not None]
    if parameter is not None:
        trials = [one for one in trials if parameter in one.parameters]
    if not trials:
        return None

    def given(one: Trial) -> JsonValue:
        return one.number if parameter is None else one.parameters[parameter]

    smaller = metric in search.smaller
    along = axis(parameter or _NUMBER, map(given, trials), log=search.by_logarithm(parameter))
    measured = [value for one in trials if (value := one.measured(metric)) is not None]
    up = of_values(metric, measured, smaller=smaller)
    kinds = _kinds(search)
    marks = []
    for one in chosen(trials, MOST_POINTS):
        x, y = along.place(given(one)), up.place(one.measured(metric))
        if x is not None and y is not None:
            at = _units(_x(x + _spread(one, along))), _units(_y(y))
            marks.append(Mark(one.number, kinds[one.number], titled(search, one), *at))
    return Scatter(
        x="trial" if parameter is None else parameter,
        y=metric,
        x_ticks=[Tick(_units(_x(place)), label) for place, label in along.ticks],
        y_ticks=[Tick(_units(_y(place)), label) for place, label in up.ticks],
        marks=marks[::-1],
        total=len(trials),
        beyond=sum(up.beyond(value) for value in measured),
        steps=_so_far(trials, along, up, metric, smaller=smaller) if parameter is None else "",
    )


def _kinds(search: Search) -> dict[int, str]:
    """By number, how a trial is drawn."""
    valued = search.valued
    found = {number: f"fifth-{fifth}" for number, fifth in fifths(valued).items()}
    return found | {one.number: "best" for one in valued[:1]}


def _spread(one: Trial, along: Axis) -> float:
    """Beside each other, where many trials have the same word; the same for a trial each time."""
    return (one.number * _GOLDEN % 1.0 - 0.5) * _JITTER / len(along.words) if along.kind == "words" else 0.0


def _so_far(trials: Sequence[Trial], along: Axis, up: Axis, metric: str, *, smaller: bool) -> str:
    """The line of the best value so far, as steps."""
    found: list[str] = []
    best: float | None = None
    last = 0.0
    for one in sorted(trials, key=lambda each: each.number):
        value, x = one.measured(metric), along.place(one.number)
        if value is None or x is None or one.violation:
            continue
        last = x
        if best is not None and not (value < best if smaller else value > best):
            continue
        if best is not None:
            found.append(f"{_units(_x(x))},{_units(_y(up.place(best) or 0.0))}")
        best = value
        found.append(f"{_units(_x(x))},{_units(_y(up.place(best) or 0.0))}")
    if best is not None:
        found.append(f"{_units(_x(last))},{_units(_y(up.place(best) or 0.0))}")
    return " ".join(found)


def parallel(search: Search, metric: str) -> Parallel | None:
    """Trials as lines; None where no trial has a value, or none has a parameter."""
    trials = [one for one in search.valued if one.measured(metric) is not None]
    names = list(search.parameters[:MOST_AXES])
    if not trials or not names:
        return None
    axes = [
        axis(name, [one.parameters[name] for one in trials if name in one.parameters], log=search.by_logarithm(name))
        for name in names
    ]
    up = of_values(metric, [value for one in trials if (value := one.measured(metric)) is not None],
                   smaller=metric in search.smaller)  # fmt: skip
    gap = WIDE / (len(axes) + 1)
    places = [gap * (index + 0.5) for index in range(len(axes) + 1)]
    columns = [
        Column(
            name=each.name,
            short=cut(_short(each.name, [*names, metric])),
            at=_units(at),
            ticks=[Tick(_units(_tall(place)), label) for place, label in each.ticks],
            missing=any(each.name not in one.parameters for one in trials) and each is not up,
        )
        for each, at in zip([*axes, up], places, strict=True)
    ]
    kinds, marks = _kinds(search), []
    for one in chosen(trials, MOST_LINES):
        heights = [each.place(one.parameters[each.name]) if each.name in one.parameters else None for each in axes]
        ends = [*heights, up.place(one.measured(metric))]
        line = [f"{_units(at)},{_units(_tall(height))}" for at, height in zip(places, ends, strict=True)]
        marks.append(Mark(one.number, kinds[one.number], titled(search, one), points=" ".join(line)))
    return Parallel(columns, marks[::-1], len(trials), tuple(search.parameters[MOST_AXES:]))


def spark(curve: Sequence[tuple[int, float]], up: Axis, last_epoch: int) -> str:
    """The points of a small curve, of all trials at the same scale; "" where it has fewer than two."""
    if len(curve) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    wide = max(1, last_epoch - 1)
    return " ".join(
        f"{_units((epoch - 1) / wide * _SPARK_WIDTH)},{_units((1 - (up.place(value) or 0.0)) * _SPARK_HEIGHT)}"
        for epoch, value in curve
    )


def titled(search: Search, one: Trial) -> str:
    """A trial in a line: its number, values and some parameters."""
    values = [f"{name} {told(value)}" for name in search.metrics if (value := one.measured(name)) is not None]
    given = [
        f"{_short(name, search.parameters)} {cut(told(one.parameters[name]), 40)}"
        for name in search.parameters[:_MOST_TITLE]
        if name in one.parameters
    ]
    return f"Trial {one.number}: {', '.join([*values, *given])}"


def _short(name: str, names: Sequence[str]) -> str:
    """The last parts of a name that tell it from the others."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        ending = ".".join(parts[-count:])
        if sum(each == ending or each.endswith(f".{ending}") for each in names) <= 1:
            return ending
    return name


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _y(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _tall(place: float | None) -> float:
    """On an axis of parallel coordinates; what has no value passes below."""
    low, high = TALL - 48.0, 44.0
    return TALL - 16.0 if place is None else low - place * (low - high)


def _units(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
