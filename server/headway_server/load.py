"""How busy a server is: what an autoscaler goes by. Pure but for the clock that it is given."""

from __future__ import annotations

from collections.abc import Callable


class Load:
    """Requests of one process since it began."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.asked = 0
        """Requests that came, whatever became of them: without probes."""
        self._clock = clock
        self._in_flight = 0
        self._seconds = 0.0
        self._since = clock()

    def begin(self) -> None:
        """One more is in flight."""
        self._add(1)

    def end(self) -> None:
        """One fewer is."""
        self._add(-1)

    def _add(self, one: int) -> None:
        now = self._clock()
        self._seconds += self._in_flight * (now - self._since)
        self._since = now
        self._in_flight += one

    def seconds(self) -> float:
        """Of all requests, added up until now: what it grows by in a second is how many were in flight, on average."""
        self._add(0)
        return self._seconds
