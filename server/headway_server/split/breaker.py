"""Stops handing over while a candidate fails again and again. Pure: the clock is the caller's.

closed: requests are handed over. open: none is, for some seconds, twice as long each time. half open: one at a time is,
and its outcome closes the breaker or opens it anew.
"""

from __future__ import annotations

FAILURES = 5
"""In a row, which open it."""
FIRST_SECONDS = 5.0
"""For which it is open at first."""
MOST_SECONDS = 30.0
"""For which it is open at most."""


class Breaker:
    """Of one candidate."""

    def __init__(self) -> None:
        self.opened = 0
        """How often it opened."""
        self._failures = 0
        self._until: float | None = None
        """When one may be tried again; None while it is closed."""
        self._seconds = FIRST_SECONDS
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether requests are not simply handed over."""
        return self._until is not None

    def allows(self, now: float) -> bool:
        """Whether a request may be handed over now."""
        return self._until is None or (now >= self._until and not self._probing)

    def begin(self) -> bool:
        """A request is handed over, which `allows` allowed. Whether it is a probe."""
        if self._until is None:
            return False
        self._probing = True
        return True

    def succeeded(self, *, probe: bool) -> None:
        """The candidate answered. An answer to what was sent before it opened does not close it."""
        if self._until is None:
            self._failures = 0
        elif probe:
            self._failures, self._until, self._seconds, self._probing = 0, None, FIRST_SECONDS, False

    def failed(self, now: float, *, probe: bool) -> None:
        """The candidate did not answer."""
        if self._until is None:
            self._failures += 1
            if self._failures >= FAILURES:
                self._open(now)
        elif probe:
            self._seconds = min(2 * self._seconds, MOST_SECONDS)
            self._open(now)

    def gave_up(self, *, probe: bool) -> None:
        """Nothing was learned: the client has left, or its request was at fault."""
        if probe:
            self._probing = False

    def _open(self, now: float) -> None:
        self._until, self._probing = now + self._seconds, False
        self.opened += 1
