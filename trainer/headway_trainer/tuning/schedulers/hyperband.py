"""Hyperband (Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 2018).

As Li et al. have it in the paper of ASHA: each bracket is asynchronous successive halving.
"""

from __future__ import annotations

import math

from headway_trainer.tuning.schedulers.asha import Asha


class Hyperband:
    """Brackets of successive halving: the first stops after `grace` epochs, the last stops none.

    How soon it is safe to stop trials differs from problem to problem; each bracket takes another guess.
    """

    def __init__(self, grace: int, reduction: int, epochs: int) -> None:
        """epochs: the most that a trial has; the others as of Asha."""
        count = 1
        while grace * reduction**count <= epochs:
            count += 1
        self._brackets = [Asha(grace * reduction**index, reduction) for index in range(count)]
        self._turns = _turns([math.ceil(count / (left + 1) * reduction**left) for left in reversed(range(count))])

    def bracket(self, trial: int) -> int:
        """The bracket of a trial, counted from 0, the one that stops earliest."""
        return self._turns[(trial - 1) % len(self._turns)]

    def judged_at(self, trial: int, epochs: int) -> frozenset[int]:
        """The rungs of its bracket."""
        return self._brackets[self.bracket(trial)].judged_at(trial, epochs)

    def judge(self, trial: int, epoch: int, loss: float) -> bool:
        """As of Asha, beside the trials of its bracket alone."""
        return self._brackets[self.bracket(trial)].judge(trial, epoch, loss)


def _turns(sizes: list[int]) -> list[int]:
    """A round of trials: each bracket as often as its size says, spread over the round."""
    places = [((turn + 0.5) / size, bracket) for bracket, size in enumerate(sizes) for turn in range(size)]
    return [bracket for _, bracket in sorted(places)]
