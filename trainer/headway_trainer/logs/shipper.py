"""Puts what sources print on the job's storage, in a thread of its own. Nobody ever waits for the storage.

A source's lines are there within PERIOD_SECONDS and what a write takes, also after the end of this process by SIGKILL.
A storage that is slow or away costs lines, which are counted where they are missing, and neither time nor memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from headway_api import wire
from headway_trainer.logs.parts import Part, Parts
from headway_trainer.logs.sources import Source

if TYPE_CHECKING:
    from headway_trainer.storage import Store

PERIOD_SECONDS = 5.0
"""How long a line may wait to be put on the storage."""
FIRST_SECONDS = 8.0
"""How long the first one may: what writes takes time to import, which a start has better use for."""
RETRY_SECONDS = 60.0
"""The longest pause after writes that failed."""
TIDY_SECONDS = 600.0
"""How often old files make room."""
CLOSE_SECONDS = 4.0
"""How long the last lines may take on their way."""
LOST_LINES = "Lines of output are missing in the logs, as the storage was slow or away: the logs say where."
"""For people, where any are."""
SOURCES = 256
"""Sources of one process; the lines of others are counted as lost."""

log = logging.getLogger("headway.logs")


def of_attempt(run: wire.RunFile, own: Source, secret_dir: str | None, *, tidies: bool = False) -> Shipper:
    """What keeps the lines of a process of this attempt. tidies: whether it also deletes the logs of old attempts."""

    def open_store() -> Store:
        from headway_trainer.storage import Store  # a worker's main process has nothing else for it

        return Store.open(run.storage_uri, secret_dir)

    def tidy(store: Store, attempt: int) -> None:
        from headway_trainer.logs import retention

        if tidies:
            retention.tidy(store, attempt)

    return Shipper(own, open_store, run.attempt, tidy=tidy)


class Shipper:
    """Keeps the lines of sources in an attempt's folder on the storage."""

    def __init__(
        self,
        own: Source,
        open_store: Callable[[], Store],
        attempt: int,
        *,
        tidy: Callable[[Store, int], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """own: whose lines are those that nobody else's are. open_store: opens the job's folder; it is called in the
        thread, once there is a line to keep. tidy: is called there, too, every TIDY_SECONDS, with what was opened."""
        self.own, self._attempt = own, attempt
        self.on_lost: Callable[[int], None] = lambda _: None
        """Is told, in the thread, how many lines the storage has not taken in time, when there are more."""
        self._open, self._tidy, self._clock = open_store, tidy, clock
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._parts: dict[Source, Parts] = {}
        self._since: float | None = None
        """When the oldest line came that nobody has tried to keep."""
        self._failures = 0
        self._not_before = 0.0
        self._refused = self._told_lost = 0
        self._tidied_at: float | None = None
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-logs", daemon=True)

    def start(self) -> None:
        """Begin to keep what was and will be added."""
        self._thread.start()

    def add(self, source: Source | None, lines: Iterable[str]) -> None:
        """Take lines in, without their ends; it returns at once. No source: they are this process' own."""
        source = source or self.own
        with self._lock:
            if source not in self._parts and len(self._parts) >= SOURCES:
                self._refused += len(list(lines))
                return
            parts = self._parts.setdefault(source, Parts())
            parts.add(lines)
            wake = self._since is None or parts.has_full
            if self._since is None:
                self._since = self._clock()
        if wake:
            self._changed.set()

    def close(self) -> None:
        """Put what is left on the storage, unless that takes longer than CLOSE_SECONDS."""
        self._closing.set()
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)

    @property
    def lost(self) -> int:
        """Lines that the storage did not take in time."""
        with self._lock:
            return self._refused + sum(parts.lost for parts in self._parts.values())

    def pause(self) -> float | None:
        """Seconds until there is something to do; none where there is nothing."""
        with self._lock:
            if self._since is None:
                return None
            full = any(parts.has_full for parts in self._parts.values())
            due = 0.0 if full else self._since + (FIRST_SECONDS if self._store is None else PERIOD_SECONDS)
            return max(0.0, max(due, self._not_before) - self._clock())

    def ship(self) -> bool:
        """Write all that the storage does not have; whether it took everything."""
        with self._lock:
            self._since = None
            due = [(source, parts) for source, parts in self._parts.items() if parts.is_due]
        try:
            self._store = self._store or self._open()
            folder = self._store.child(wire.logs_dir(self._attempt))
            for source, parts in due:
                self._write_all(folder, source, parts)
        except Exception as error:  # whatever ails the storage, training goes on
            self._failed(error)
            return False
        self._failures = 0
        if (lost := self.lost) > self._told_lost:
            log.warning("%d lines of output were not kept: the storage did not take them in time", lost)
            self._told_lost = lost
            self.on_lost(lost)
        return True

    def _write_all(self, folder: Store, source: Source, parts: Parts) -> None:
        while True:
            with self._lock:
                part = parts.take()
            if part is None:
                return
            self._write(folder, source, parts, part)
            if not part.full:
                return

    def _write(self, folder: Store, source: Source, parts: Parts, part: Part) -> None:
        try:
            # Without patience: the next try comes soon.
            with folder.open_output(source.file(part.number)) as stream:
                stream.write(part.data)
        except BaseException:
            with self._lock:
                parts.failed(part)
            raise
        with self._lock:
            expired = parts.written(part)
        for number in expired:
            folder.delete(source.file(number))

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._since = self._clock() if self._since is None else self._since
            self._failures += 1
            self._not_before = self._clock() + min(RETRY_SECONDS, PERIOD_SECONDS * 2 ** (self._failures - 1))
        if self._failures == 1:
            log.warning("logs are not kept on the storage until it can be written again: %s", error)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait(self.pause())
            self._changed.clear()
            if not self._closing.is_set() and self.pause() == 0.0 and self.ship():
                self._tidy_up()
        self.ship()

    def _tidy_up(self) -> None:
        now = self._clock()
        if self._store is None or (self._tidied_at is not None and now - self._tidied_at < TIDY_SECONDS):
            return
        self._tidied_at = now
        try:
            self._tidy(self._store, self._attempt)
        except Exception as error:  # they can stay a little longer
            log.warning("old logs were left where they are: %s", error)
