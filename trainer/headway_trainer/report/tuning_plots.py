"""Plots of a search for better parameters as PNG bytes: the same result gives the same bytes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import JsonValue

from headway_api.metrics import Better
from headway_trainer.report.plots import figure_of, png, short
from headway_trainer.report.trials import best_first, improvements
from headway_trainer.report.tuning import best_trial, form_of, parameter_names, value_told
from headway_trainer.report.tuning_model import ParameterForm, TrialResult, TuningResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_SLICES = 12
_SLICES_A_ROW = 3
_MOST_AXES = 8
_MOST_LINES = 200
_MOST_CATEGORIES = 20
"""More values than this cannot be read as labels."""
_WIDE_SPREAD = 3.0
"""Values are cut where the worst tenth takes more than so many times the room of all others."""
_DECADES = 100.0
"""An axis of a logarithm has ticks at powers of ten where its ends are so far apart."""
_BELOW = -0.14
"""Where a line crosses the axis of a parameter that did not apply."""
BEST_COLOUR = "#d62728"
SHOWN_COLOUR = "#1f77b4"


def best_plot(result: TuningResult) -> bytes | None:
    """Each trial's value, and the best so far, by the order in which trials began; none where no trial has a value."""
    valued = [one for one in result.trials if one.value is not None]
    if not valued:
        return None
    figure = figure_of(7.0, 4.0)
    axes = figure.add_subplot()
    limits = Limits.of([_value(one) for one in valued], result.better)
    for state, face in (("completed", SHOWN_COLOUR), ("stopped", "none"), ("running", "none")):
        chosen = [one for one in valued if one.state == state]
        places = [one.number for one in chosen]
        _points(
            axes, places, chosen, limits, s=22, facecolors=face, edgecolors=SHOWN_COLOUR, linewidths=0.9, label=state
        )
    failed = [one.number for one in result.trials if one.state == "failed"]
    if failed:
        feet = axes.get_xaxis_transform()
        axes.scatter(failed, [0.02] * len(failed), s=24, marker="x", color="black", transform=feet, label="failed")
    leaders = improvements(result.trials, result.better, result.objectives)
    places = [*(one.number for one in leaders), max(one.number for one in result.trials)]
    heights = [limits.within(_value(one)) for one in [*leaders, leaders[-1]]]
    axes.step(places, heights, where="post", color=BEST_COLOUR, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(short(result.metric, 40))
    axes.set_title("Trials in the order in which they began")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    return png(figure)


def slices_plot(result: TuningResult) -> bytes | None:
    """The trials' values by each parameter; none where no trial has a value."""
    valued = best_first(result.trials, result.better, result.objectives)
    names = _names(result, valued)[:_MOST_SLICES]
    if not names:
        return None
    columns = min(_SLICES_A_ROW, math.ceil(math.sqrt(len(names))) if len(names) > 2 else len(names))  # noqa: PLR2004
    rows = math.ceil(len(names) / columns)
    figure = figure_of(3.6 * columns, 2.9 * rows)
    limits = Limits.of([_value(one) for one in valued], result.better)
    figure.suptitle("Trials by each parameter: the darker, the later; the star is the best one", fontsize=10)
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        _slice(axes, name, valued, result, limits)
        if place % columns == 0:
            axes.set_ylabel(short(result.metric, 28))
    return png(figure)


def parallel_plot(result: TuningResult) -> bytes | None:
    """Each trial as a line through its parameters to its value, the best ones on top; none for fewer than two axes or
    trials that have them."""
    valued = best_first(result.trials, result.better, result.objectives)
    names = _names(result, valued)[:_MOST_AXES]
    if len(valued) < 2 or not names:  # noqa: PLR2004 - one line shows nothing
        return None
    scales = [_scale([one.parameters.get(name) for one in valued], name, result) for name in names]
    limits = Limits.of([_value(one) for one in valued], result.better)
    figure = figure_of(1.6 * (len(names) + 1) + 1.0, 4.2)
    axes = figure.add_subplot()
    shown = valued[:_MOST_LINES]
    for rank, one in reversed(list(enumerate(shown))):
        heights = [scale.height(one.parameters.get(name)) for scale, name in zip(scales, names, strict=True)]
        heights.append(limits.share(_value(one)))
        best = one.number == result.best
        colour = BEST_COLOUR if best else _colour(rank / (len(shown) - 1))
        axes.plot(
            range(len(heights)), heights, color=colour, alpha=1.0 if best else 0.7, linewidth=2.2 if best else 0.9
        )
    _parallel_labels(axes, scales, limits)
    axes.set_xticks(range(len(names) + 1), [_stacked(name) for name in [*names, result.metric]], fontsize=8)
    axes.set_yticks([])
    axes.set_title("Trials: the darker, the better; the best one is red", fontsize=10)
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    return png(figure)


@dataclass(frozen=True)
class Scale:
    """Where the values of a parameter are on an axis."""

    categories: Sequence[str] = ()
    """Of a choice, its values that trials have; none for numbers."""
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    partial: bool = False
    """Whether some trials have no value."""

    @staticmethod
    def of(values: Sequence[JsonValue], form: ParameterForm) -> Scale:
        """The scale of the trials' values, None where the parameter did not apply."""
        there = [value for value in values if value is not None]
        partial = len(there) < len(values)
        if form in {"choice", "grid"}:
            return Scale(categories=_categories(there), partial=partial)
        numbers = [float(value) for value in there if isinstance(value, int | float)]
        return Scale(low=min(numbers), high=max(numbers), log=form in {"logUniform", "logInt"}, partial=partial)

    def place(self, value: JsonValue) -> float:
        """Where a value is: a number itself, a category's index."""
        return float(self.categories.index(value_told(value))) if self.categories else float(cast("float", value))

    def height(self, value: JsonValue) -> float:
        """Where a value is between the ends of the axis, from 0 to 1; below it, where there is none."""
        if value is None:
            return _BELOW
        place, low, high = self.place(value), self.low, self.high
        if self.categories:
            low, high = 0.0, len(self.categories) - 1.0
        if low == high:
            return 0.5
        return math.log(place / low) / math.log(high / low) if self.log else (place - low) / (high - low)

    def labels(self) -> list[tuple[float, str]]:
        """What is written on the axis, and at which height."""
        none = [(_BELOW, "none")] if self.partial else []
        if not self.categories:
            return [*none, (self.height(self.low), f"{self.low:.3g}"), (self.height(self.high), f"{self.high:.3g}")]
        shown = self.categories if len(self.categories) <= _MOST_CATEGORIES else ()
        most = max(1, len(shown) - 1)
        return [*none, *((index / most if len(shown) > 1 else 0.5, short(one, 14)) for index, one in enumerate(shown))]


@dataclass(frozen=True)
class Limits:
    """The range of the metric that is drawn: where few values are far worse than all others, that of the others."""

    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float], better: Better) -> Limits:
        """The range for these values."""
        ranked = sorted(values, reverse=better == "max")
        best, worst = ranked[0], ranked[-1]
        most = ranked[math.ceil(0.9 * len(ranked)) - 1]
        if abs(worst - best) > _WIDE_SPREAD * abs(most - best) > 0:
            worst = most
        low, high = min(best, worst), max(best, worst)
        return Limits(low, high) if low < high else Limits(low - 0.5, high + 0.5)

    def within(self, value: float) -> float:
        """The value, or the end that it is beyond."""
        return min(max(value, self.low), self.high)

    def markers(self, values: Sequence[float]) -> dict[str, list[int]]:
        """The indices of the values by the sign they are drawn with: a triangle for those beyond an end."""
        found: dict[str, list[int]] = {}
        for index, value in enumerate(values):
            marker = "v" if value < self.low else "^" if value > self.high else "o"
            found.setdefault(marker, []).append(index)
        return found

    def share(self, value: float) -> float:
        """Where a value is in the range, from 0 to 1."""
        return (self.within(value) - self.low) / (self.high - self.low)


def _categories(values: Sequence[JsonValue]) -> list[str]:
    """The different values in their own order where they have one, and else in that of their texts."""
    once = {value_told(value): value for value in values}
    try:
        return sorted(once, key=lambda told: cast("Any", once[told]))
    except TypeError:
        return sorted(once)


def _names(result: TuningResult, trials: Sequence[TrialResult]) -> list[str]:
    return [name for name in parameter_names(result) if any(name in one.parameters for one in trials)]


def _scale(values: Sequence[JsonValue], name: str, result: TuningResult) -> Scale:
    return Scale.of(values, form_of(result, name, (value for value in values if value is not None)))


def _points(axes: Axes, places: Sequence[float], trials: Sequence[TrialResult], limits: Limits, **looks: Any) -> None:
    """Draw trials at their values; as triangles at the edge those that are beyond it."""
    label, colours = looks.pop("label", None), looks.pop("c", None)
    for marker, chosen in limits.markers([_value(one) for one in trials]).items():
        told = label if marker == "o" or label is None else f"{label}, worse than shown"
        if colours is not None:
            looks["c"] = [colours[index] for index in chosen]
        heights = [limits.within(_value(trials[index])) for index in chosen]
        axes.scatter([places[index] for index in chosen], heights, marker=marker, label=told, **looks)


def _slice(axes: Axes, name: str, valued: Sequence[TrialResult], result: TuningResult, limits: Limits) -> None:
    there = [one for one in valued if name in one.parameters]
    scale = _scale([one.parameters[name] for one in there], name, result)
    places = [scale.place(one.parameters[name]) for one in there]
    last = result.trials[-1].number
    numbers = [one.number for one in there]
    _points(axes, places, there, limits, c=numbers, cmap="Blues", vmin=-last / 2, vmax=last, s=16)
    best = best_trial(result)
    if best is not None and best in there:
        where = there.index(best)
        axes.scatter([places[where]], [limits.within(_value(best))], marker="*", s=110, color=BEST_COLOUR, zorder=3)
    if scale.log:
        axes.set_xscale("log")
        if scale.high / scale.low < _DECADES:
            ticks = [scale.low, math.sqrt(scale.low * scale.high), scale.high]
            axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            axes.minorticks_off()
    if scale.categories:
        labels = [short(one, 12) for one in scale.categories] if len(scale.categories) <= _MOST_CATEGORIES else []
        axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.5, len(scale.categories) - 0.5)
    axes.set_xlabel(short(name, 36), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)


def _parallel_labels(axes: Axes, scales: Sequence[Scale], limits: Limits) -> None:
    ends = [(0.0, f"{limits.low:.4g}"), (1.0, f"{limits.high:.4g}")]
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for index, labels in enumerate([*(scale.labels() for scale in scales), ends]):
        axes.plot([index, index], [0.0, 1.0], color="black", linewidth=0.8)
        for height, label in labels:
            axes.text(index + 0.04, height, label, fontsize=7, va="center", bbox=box)


def _value(trial: TrialResult) -> float:
    return trial.value if trial.value is not None else math.nan


def _colour(share: float) -> str:
    """From dark blue, of the best, to light grey."""
    dark, light = (8, 48, 107), (217, 224, 235)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(dark, light, strict=True))


def _stacked(name: str) -> str:
    """A path in two lines: its last part below what leads there."""
    head, mark, last = name.rpartition("/" if "/" in name else ".")
    return f"{short(head, 18)}{mark}\n{short(last, 18)}" if head else short(last, 18)
