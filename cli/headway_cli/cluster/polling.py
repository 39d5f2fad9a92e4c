"""Looking again and again, through outages of the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from headway_cli.cluster.errors import TimedOutError, UnreachedError

Found = TypeVar("Found")
PATIENCE_SECONDS = 600.0
"""How long a cluster may not be reached until we give up."""


@dataclass(frozen=True)
class Trouble:
    """The cluster was not reached this time."""

    error: UnreachedError
    seconds: float
    """For how long so far."""

    def __str__(self) -> str:
        return f"the cluster was not reached for {self.seconds:.0f} s"


class Clock:
    """Time, of which tests have another."""

    def now(self) -> datetime:
        """The time of day."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def looked(
    look: Callable[[], Found], every: float, clock: Clock, within: float | None = None
) -> Iterator[Found | Trouble]:
    """What is found, every so many seconds.

    The first look has to succeed; later the cluster may be away for PATIENCE_SECONDS. Raises what `look` raises, and
    TimedOutError after `within` seconds, at the end of which it looks once more.
    """
    began = clock.monotonic()
    lost: float | None = None
    first = True
    while True:
        try:
            found: Found | Trouble = look()
            lost = None
        except UnreachedError as error:
            at = clock.monotonic()
            lost = at if lost is None else lost
            if first or at - lost > PATIENCE_SECONDS:
                raise
            found = Trouble(error, at - lost)
        first = False
        yield found
        if within is None:
            clock.sleep(every)
            continue
        left = within - (clock.monotonic() - began)
        if left <= 0:
            raise TimedOutError(f"it has not come to that within {within:g} s")
        clock.sleep(min(every, left))


@dataclass
class Once(Generic[Found]):
    """Tells what has changed since it was asked last."""

    last: Found | None = None

    def changed(self, value: Found) -> bool:
        """Whether the value is another one than last time."""
        if value == self.last:
            return False
        self.last = value
        return True
