"""Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020).

In its stopping form: a trial that comes to a rung goes on or ends at once, by what has come to that rung before it, so
no trial waits for another and none is taken up again.
"""

from __future__ import annotations

import bisect
from collections import defaultdict


class Asha:
    """Of the trials that came to a rung, itself among them, one in `reduction` goes on; the best so far always does."""

    def __init__(self, grace: int, reduction: int) -> None:
        """grace: the epochs of the first rung. reduction: by how much each rung has more epochs than the one before."""
        self._grace, self._reduction = grace, reduction
        self._losses: defaultdict[int, list[float]] = defaultdict(list)

    def judged_at(self, trial: int, epochs: int) -> frozenset[int]:  # noqa: ARG002 - as of Scheduler
        """The rungs that lie before its last epoch."""
        found, rung = set[int](), self._grace
        while rung < epochs:
            found.add(rung)
            rung *= self._reduction
        return frozenset(found)

    def judge(self, trial: int, epoch: int, loss: float) -> bool:
        """Whether it is among the best at this rung; of equal ones the earlier are better. Elsewhere it goes on."""
        if epoch not in self.judged_at(trial, epoch + 1):
            return True
        losses = self._losses[epoch]
        rank = bisect.bisect_right(losses, loss)
        losses.insert(rank, loss)
        return rank < max(1, len(losses) // self._reduction)
