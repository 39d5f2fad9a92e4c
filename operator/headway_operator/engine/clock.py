"""The API server's time, as its answers tell it: what decisions are made by and its timestamps are compared with.

The clock of this machine may be minutes off, and may jump. A steady clock gives the seconds that pass; the Date header
of each answer says, within a second, what time it is.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

RESOLUTION = 1.0
"""A Date header has whole seconds, rounded down."""
DRIFT = 2e-4
"""How many seconds a second two clocks may drift apart: what is known grows old."""
LONGEST_ANSWER_SECONDS = 5.0
"""An answer that took longer says too little."""


class ServerClock:
    """Seconds since the epoch by the API server's clock; by this machine's until it has answered."""

    def __init__(self, steady: Callable[[], float], wall: Callable[[], float]) -> None:
        self._steady = steady
        now = steady()
        self._offset = wall() - now
        """To be added to the steady clock."""
        self._least = self._most = self._offset
        self._learned_at: float | None = None
        self._last = "", 0.0
        """The newest Date header, and what it means: many answers come within a second."""

    def __call__(self) -> float:
        """Now."""
        return self._steady() + self._offset

    @property
    def known(self) -> bool:
        """Whether an answer has told the time."""
        return self._learned_at is not None

    def learn(self, date: str | None, sent: float, received: float) -> None:
        """An answer has come. `sent` and `received` are times of the steady clock, date its Date header."""
        if not date or received - sent > LONGEST_ANSWER_SECONDS:
            return
        if date != self._last[0]:
            try:
                self._last = date, parsedate_to_datetime(date).timestamp()
            except (ValueError, TypeError, OverflowError):
                return
        said = self._last[1]
        least, most = said - received, said + RESOLUTION - sent
        if self._learned_at is not None:
            aged = DRIFT * (received - self._learned_at)
            narrower = max(least, self._least - aged), min(most, self._most + aged)
            # Where they contradict each other, the server's clock has jumped, or another server answers.
            least, most = narrower if narrower[0] <= narrower[1] else (least, most)
        self._least, self._most, self._learned_at = least, most, received
        self._offset = min(max(self._offset, least), most)
