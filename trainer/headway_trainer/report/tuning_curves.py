"""The plot of the trials' metric over their epochs as PNG bytes: the same result gives the same bytes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway_trainer.report.plots import figure_of, png, short
from headway_trainer.report.tuning_model import TrialCurve, TuningResult
from headway_trainer.report.tuning_plots import BEST_COLOUR, SHOWN_COLOUR, Limits
from headway_trainer.tuning.events import TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS: dict[TrialState, tuple[str, str]] = {
    "completed": (SHOWN_COLOUR, "o"),
    "stopped": ("#9aa5b1", "x"),
    "failed": ("black", "v"),
    "running": (SHOWN_COLOUR, ">"),
}
"""By state: the colour of a trial's line, and the sign at its end."""
_FEW_LINES = 30
_FAR = 1e150
"""Differences of larger values may be infinite."""
Line = list[tuple[int, float]]


def curves_plot(result: TuningResult) -> bytes | None:
    """The metric of each trial over its epochs, with a sign where it ended; none where no trial has a value of one.

    Where few values are far worse than all others, lines leave the plot at the edge.
    """
    known = [(one, line) for one in result.curves if (line := _line(one))]
    if not known:
        return None
    metric, better = result.watched
    figure = figure_of(7.0, 4.2)
    axes = figure.add_subplot()
    limits = Limits.of([value for _, line in known for _, value in line], better)
    lines = [(one, [(epoch, _near(value, limits)) for epoch, value in line]) for one, line in known]
    faint = 0.7 if len(lines) <= _FEW_LINES else 0.35
    for state, (colour, marker) in _LOOKS.items():
        chosen = [line for one, line in lines if one.state == state and one.number != result.best]
        for index, line in enumerate(chosen):
            label = f"{state}, where it ended" if index == 0 else None
            _draw(axes, line, limits, (colour, marker), alpha=faint, label=label)
    best = next((line for one, line in lines if one.number == result.best), None)
    if best is not None:
        axes.plot(
            *zip(*best, strict=True), color=BEST_COLOUR, linewidth=2.2, zorder=4, label=f"best, trial {result.best}"
        )
        least = min if better == "min" else max
        epoch, value = least(best, key=lambda point: point[1])
        axes.scatter([epoch], [value], marker="*", s=110, color=BEST_COLOUR, zorder=5)
    room = 0.04 * (limits.high - limits.low)
    axes.set_ylim(limits.low - room, limits.high + room)
    axes.set_xlabel("epoch")
    axes.set_ylabel(short(metric, 40))
    total = sum(result.counts.values())
    axes.set_title("Trials over their epochs" + (f": {len(lines)} of {total:,}" if len(lines) < total else ""))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return png(figure)


def _draw(axes: Axes, line: Line, limits: Limits, looks: tuple[str, str], *, alpha: float, label: str | None) -> None:
    colour, marker = looks
    axes.plot(*zip(*line, strict=True), color=colour, linewidth=0.9, alpha=alpha)
    epoch, value = line[-1]
    axes.scatter(
        [epoch], [limits.within(value)], marker=marker, s=16, color=colour, alpha=min(1.0, alpha + 0.3), label=label
    )


def _near(value: float, limits: Limits) -> float:
    """The value, or one beyond the edge of the plot in its direction: what is drawn may not be astronomically far."""
    span = limits.high - limits.low
    return min(max(value, limits.low - span), limits.high + span)


def _line(curve: TrialCurve) -> Line:
    return [(epoch, min(max(value, -_FAR), _FAR)) for epoch, value in curve.points if value is not None]
