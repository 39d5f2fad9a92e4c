"""A thread that writes lines, so that no request ever waits for a disk: what it cannot keep up with is dropped."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)
MOST_WAITING = 1000
"""Lines that wait to be written."""
MOST_WAITING_BYTES = 16 * 1024 * 1024
"""What they hold in memory."""
_MOST_AT_ONCE = 1024 * 1024
"""Bytes of lines that are written together, about."""
_PERIOD_SECONDS = 0.5
_REST_SECONDS = 10.0
"""After a failure, for which nothing is written: a full disk is not asked again and again."""
_CLOSE_SECONDS = 5.0


class Sink(Protocol):
    """Takes lines."""

    def write(self, lines: bytes) -> None:
        """Write whole lines, or none of them. Raises OSError."""

    def close(self) -> None:
        """Nothing comes any more."""


class StandardOutput:
    """Lines of the process's own output."""

    def write(self, lines: bytes) -> None:
        """Write whole lines."""
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """It is not ours to close."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    kind: str
    size: int
    line: Callable[[], bytes]


class Writer:
    """`offer` belongs to one thread, the event loop's. count: is told of lines, by kind and what became of them."""

    def __init__(
        self, sink: Sink, count: Callable[[str, str, int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sink = sink
        self._count = count
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        # Each is written by one thread alone, so that no lock is needed.
        self._offered = self._taken = 0
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._failing_until: float | None = None

    @property
    def failing(self) -> bool:
        """Whether nothing is written for a while, as that has just failed."""
        until = self._failing_until
        return until is not None and self._clock() < until

    def has_room(self, lines: int, size: int) -> bool:
        """Whether so many lines, of so many bytes together, would be taken now."""
        waiting = self._offered - self._taken
        return len(self._queue) + lines <= MOST_WAITING and waiting + size <= MOST_WAITING_BYTES

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._work, name="records", daemon=True)
        self._thread.start()

    def offer(self, kind: str, size: int, line: Callable[[], bytes]) -> bool:
        """Take a line to be made and written later; False, and it is counted, where there is no room for it.

        size: bytes that it holds until then. line: is called by the thread.
        """
        if not self.has_room(1, size):
            self._count(kind, "dropped", 1)
            return False
        self._offered += size
        self._queue.append(_Waiting(kind, size, line))
        if len(self._queue) >= MOST_WAITING // 4:
            self._wake.set()
        return True

    def close(self) -> None:
        """Write what waits, and end; a disk that hangs is not waited for."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _work(self) -> None:
        while not self._ending:
            self._wake.wait(_PERIOD_SECONDS)
            self._wake.clear()
            self.write_waiting()
        self.write_waiting()
        with contextlib.suppress(OSError):
            self._sink.close()

    def write_waiting(self) -> None:
        """Write all that waits now: the thread's work, once."""
        while self._queue:
            self._write_some()

    def _write_some(self) -> None:
        """Of what waits so much that its lines, which are longer than what they are made of, take little memory."""
        counts: dict[str, int] = {}
        made: list[bytes] = []
        size = 0
        while self._queue and size < _MOST_AT_ONCE:
            one = self._queue.popleft()
            try:
                made.append(one.line())
                size += len(made[-1])
                counts[one.kind] = counts.get(one.kind, 0) + 1
            except Exception:
                logger.exception("a record could not be made")
                self._count(one.kind, "failed", 1)
            self._taken += one.size
        became = "written" if not made or self._written(b"".join(made)) else "failed"
        for kind, count in counts.items():
            self._count(kind, became, count)

    def _written(self, lines: bytes) -> bool:
        if self.failing:
            return False
        try:
            self._sink.write(lines)
        except OSError as error:
            self._failing_until = self._clock() + _REST_SECONDS
            logger.error("records cannot be written, those of the next %.0f s are lost: %s", _REST_SECONDS, error)
            return False
        self._failing_until = None
        return True
