"""The median stopping rule (Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017)."""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import dataclass

FEWEST_OTHERS = 3
"""With fewer trials to compare with, none is stopped."""


@dataclass(slots=True)
class _Past:
    """What a trial has reported."""

    total: float = 0.0
    count: int = 0
    best: float = float("inf")


class Median:
    """A trial ends whose best loss so far is above the median of the others' running averages.

    The others are those that have come as far, whether they still run or not.
    """

    def __init__(self, grace: int) -> None:
        """grace: the epochs before which none is stopped."""
        self._grace = grace
        self._pasts: defaultdict[int, _Past] = defaultdict(_Past)
        self._averages: defaultdict[int, list[float]] = defaultdict(list)

    def judged_at(self, trial: int, epochs: int) -> frozenset[int]:  # noqa: ARG002 - as of Scheduler
        """All but its last one: those before the grace has ended are part of the averages."""
        return frozenset(range(1, epochs))

    def judge(self, trial: int, epoch: int, loss: float) -> bool:
        """As of Scheduler."""
        past, others = self._pasts[trial], self._averages[epoch]
        past.total, past.count, past.best = past.total + loss, past.count + 1, min(past.best, loss)
        worse = epoch >= self._grace and len(others) >= FEWEST_OTHERS and past.best > _median(others)
        bisect.insort(others, past.total / past.count)
        return not worse


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
