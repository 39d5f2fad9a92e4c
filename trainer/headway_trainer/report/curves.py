"""The metric of trials over their epochs, thinned out to what a log, a result and a plot bear. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headway_trainer.report.model import EpochRecord
from headway_trainer.report.trial_records import TrialRecord
from headway_trainer.report.tuning_model import TrialCurve
from headway_trainer.tuning.events import Point

MOST_CURVES = 150
"""Trials whose curves a result has: more lines than this show nothing in a plot."""
_MOST_POINTS, _FEWEST_POINTS, _POINTS_OF_ALL = 50, 8, 100_000
"""Of one trial, and of all trials of a search together, in its log."""
_SIGNS = 6


def points_each(trials: int) -> int:
    """How many points of each trial are kept where there may be so many trials."""
    return max(_FEWEST_POINTS, min(_MOST_POINTS, _POINTS_OF_ALL // max(1, trials)))


def curve_of(history: Iterable[EpochRecord], metric: str) -> list[Point]:
    """The metric, as `part/name`, by epoch; of epochs that have it."""
    part, _, name = metric.partition("/")
    values = ((one.epoch, one.train if part == "train" else one.validation) for one in history)
    return [(epoch, of_part[name]) for epoch, of_part in values if name in of_part]


def thin(points: Sequence[Point], most: int, best: float | None = None) -> list[Point]:
    """At most so many of the points, two or more, with six digits: the first, the last, the first with the value
    `best`, and others evenly."""
    count = len(points)
    if count <= most:
        chosen = list(range(count))
    else:
        chosen = [round(place * (count - 1) / (most - 1)) for place in range(most)]
        peak = next((index for index, (_, value) in enumerate(points) if value == best), None)
        if peak is not None and best is not None and peak not in chosen:
            # In place of the point next to it; the first and the last stay.
            nearest = min(range(1, most - 1), key=lambda place: abs(chosen[place] - peak), default=None)
            if nearest is not None:
                chosen[nearest] = peak
    return [(points[index][0], _rounded(points[index][1])) for index in chosen]


def curves_of(records: Sequence[TrialRecord], best: int | None, most: int = MOST_CURVES) -> list[TrialCurve]:
    """The curves of at most so many trials, by number: the best one's, and others evenly over their numbers."""
    there = [one for one in records if one.curve]
    step = max(1.0, len(there) / most)
    chosen = {int(place * step) for place in range(min(most, len(there)))}
    leader = next((index for index, one in enumerate(there) if one.number == best), None)
    if leader is not None and leader not in chosen:
        chosen = (chosen - {max(chosen)}) | {leader}
    picked = [there[index] for index in sorted(chosen)]
    return [TrialCurve(number=one.number, state=one.state, points=one.curve) for one in picked]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_SIGNS}g}")
