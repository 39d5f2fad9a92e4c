"""Counting words of any amount of text in bounded memory. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MOST_COUNTED = 1_000_000
"""Different words, or ways to write them, that are counted at once."""


class BoundedCounts:
    """How often each word was there: exactly while there are few different ones, else a little less.

    Beyond `most` different words each count is lowered by that of the word in the middle, and what comes to 0 is
    forgotten: the algorithm of Misra and Gries (Finding repeated elements, 1982), many words at once. Each time at
    least `most / 2` words lose as much, so no count is below the true one by more than `2 * total / most`, of all words
    that came, and none is above it. Equal texts give equal counts, whatever the machine.
    """

    def __init__(self, most: int = MOST_COUNTED) -> None:
        self.counts: Counter[str] = Counter()
        self._most = most

    def add(self, words: Iterable[str]) -> None:
        """Count each of these words once more."""
        self.counts.update(words)
        if len(self.counts) > self._most:
            self._lower()

    def _lower(self) -> None:
        by = sorted(self.counts.values(), reverse=True)[self._most // 2]
        kept = {word: count - by for word, count in self.counts.items() if count > by}
        self.counts.clear()
        self.counts.update(kept)
