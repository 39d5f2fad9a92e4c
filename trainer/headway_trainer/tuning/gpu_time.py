"""How much GPU time the trials of an attempt take: `tuning.budget.gpuHours`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGED_EVERY = 60.0
"""Seconds: an attempt that is killed forgets at most so much of each GPU's time."""


class GpuTime:
    """Adds up seconds times GPUs, over what is trained side by side. For several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: in seconds."""
        self._clock, self._lock = clock, threading.Lock()
        self._seconds, self._held, self._since = 0.0, 0.0, clock()

    @contextmanager
    def held(self, gpus: float) -> Iterator[None]:
        """So many GPUs are held within this."""
        self._hold(gpus)
        try:
            yield
        finally:
            self._hold(-gpus)

    def seconds(self) -> float:
        """GPU seconds so far."""
        with self._lock:
            return self._seconds + self._held * (self._clock() - self._since)

    def _hold(self, more: float) -> None:
        with self._lock:
            now = self._clock()
            self._seconds, self._since = self._seconds + self._held * (now - self._since), now
            self._held += more
