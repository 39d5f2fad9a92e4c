"""Clocks that differ: each machine of a world has its own, minutes off, faster or slower, and may be set anew."""

from __future__ import annotations

import random

FASTEST = 1e-4
"""So much faster or slower a clock may run."""
LONGEST_JUMP = 600.0


class Clock:
    """What time it is, as one machine sees it."""

    def __init__(self, epoch: float, offset: float = 0.0, drift: float = 0.0) -> None:
        self._epoch = epoch
        self._offset = offset
        self._drift = drift

    def at(self, now: float) -> float:
        """What it shows."""
        return now + self._offset + self._drift * (now - self._epoch)

    def set_by(self, seconds: float) -> None:
        """Somebody sets it."""
        self._offset += seconds


class Clocks:
    """The clocks of a world, of which none is off by more than so many seconds."""

    def __init__(self, epoch: float, most: float, seed: int) -> None:
        self._epoch = epoch
        self._most = most
        self._chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it

    def another(self) -> Clock:
        """The clock of one more machine."""
        if not self._most:
            return Clock(self._epoch)
        offset = self._chance.uniform(-self._most, self._most)
        return Clock(self._epoch, offset, self._chance.uniform(-FASTEST, FASTEST))
