"""The plot of trials by two objectives, with their front, as PNG bytes: the same result gives the same bytes. Pure."""

from __future__ import annotations

from typing import Any

from headway_trainer.report.plots import figure_of, png, short
from headway_trainer.report.trials import front_of
from headway_trainer.report.tuning_model import TrialResult, TunedObjective, TuningResult
from headway_trainer.report.tuning_plots import BEST_COLOUR, SHOWN_COLOUR

_BETTER = {"min": "lower is better", "max": "higher is better"}
_FAR, _FARTHEST = 1e2, 1e12
"""An axis is logarithmic where its greatest value is at least so many times its least, and at most."""
_GREATEST = 1e300
"""What is greater is drawn here: an axis has to reach beyond it."""


def front_plot(result: TuningResult) -> bytes | None:
    """Trials by the second objective and the first; none where there are not several, or no trial has values.

    Of more than two objectives, the line is the front of these two, and what else the front holds is marked beside it.
    """
    valued = [one for one in result.trials if one.metrics]
    if len(result.objectives) < 2 or not valued:  # noqa: PLR2004 - a plot has two axes
        return None
    first, second = result.objectives[:2]
    figure = figure_of(7.0, 4.6)
    axes = figure.add_subplot()
    named = frozenset(result.front)

    def draw(chosen: list[TrialResult], label: str, **looks: Any) -> None:
        if chosen:
            places = [[_place(one, each) for one in chosen] for each in (second, first)]
            axes.scatter(*places, label=label, **looks)

    broken = [one for one in valued if one.violation > 0]
    draw(broken, "breaks a constraint", s=24, marker="x", color="grey", linewidths=0.9)
    others = [one for one in valued if one.violation <= 0 and one.number not in named]
    draw(others, "other trials", s=22, facecolors="none", edgecolors=SHOWN_COLOUR, linewidths=0.9)
    draw([one for one in valued if one.number in named], "front", s=30, color=SHOWN_COLOUR, zorder=3)
    best = [one for one in valued if one.number == result.best]
    draw(best, "the job's model", s=130, marker="*", color=BEST_COLOUR, zorder=4)
    line = _line(valued, [first, second])
    axes.step(
        [_place(one, second) for one in line],
        [_place(one, first) for one in line],
        where="post" if second.better == "min" else "pre",
        color=SHOWN_COLOUR,
        linewidth=1.0,
        alpha=0.6,
    )
    for set_scale, each in ((axes.set_xscale, second), (axes.set_yscale, first)):
        values = [_place(one, each) for one in valued]
        if min(values) > 0 and _FAR <= max(values) / min(values) <= _FARTHEST:
            set_scale("log")
    axes.set_xlabel(f"{short(second.metric, 40)}, {_BETTER[second.better]}", fontsize=9)
    axes.set_ylabel(f"{short(first.metric, 40)}, {_BETTER[first.better]}", fontsize=9)
    axes.set_title("Trials by two objectives")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return png(figure)


def _place(trial: TrialResult, objective: TunedObjective) -> float:
    return min(max(trial.metrics[objective.metric], -_GREATEST), _GREATEST)


def _line(trials: list[TrialResult], objectives: list[TunedObjective]) -> list[TrialResult]:
    """The front of two objectives, by the second."""
    found = frozenset(front_of(trials, objectives))
    last = objectives[1].metric
    return sorted((one for one in trials if one.number in found), key=lambda one: (one.metrics[last], one.number))
