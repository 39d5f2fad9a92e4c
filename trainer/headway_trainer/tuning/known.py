"""Of very many trials, those that a searcher learns from: a proposal must not take longer with each trial. Pure."""

from __future__ import annotations

import bisect
from collections import deque


class Known:
    """The trials that run, and of those that ended the best and the newest, each half of what is kept."""

    def __init__(self, most: int) -> None:
        """most: how many trials that ended are kept."""
        self._half = most // 2
        self._running: set[int] = set()
        self._best: list[tuple[tuple[float, ...], int]] = []
        self._newest: deque[int] = deque(maxlen=most - self._half)

    def begun(self, trial: int) -> None:
        """A trial has begun."""
        self._running.add(trial)

    def ended(self, trial: int, rank: tuple[float, ...] | None) -> None:
        """A trial has ended. rank: less is better; none where it has none, and is not learned from."""
        self._running.discard(trial)
        if rank is None:
            return
        bisect.insort(self._best, (rank, trial))
        # What is no longer among the best was once new, and may be so still.
        del self._best[self._half :]
        self._newest.append(trial)

    def numbers(self) -> list[int]:
        """The trials that are kept, in the order of their numbers."""
        return sorted(self._running.union(self._newest, (trial for _, trial in self._best)))
