"""Keeps where a run's time goes: told by the Reporter, left on the storage every few seconds for the next attempt.

Best effort, in a thread of its own: nobody waits for the storage, and a count that cannot be read begins again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from pydantic import ValidationError

from headway_trainer.errors import NotFound, StorageError, UserError
from headway_trainer.report.model import TimeSpent
from headway_trainer.report.spent import TIME_FILE, Kept, Spent, told
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainProgress

KEEP_SECONDS = 10.0
CLOSE_SECONDS = 5.0
log = logging.getLogger("headway.time")


class SpentTime:
    """The time of a run up to this attempt. Any thread may tell."""

    def __init__(
        self,
        store: Store,
        attempt: int,
        *,
        fence: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """store: the folder of the run. fence: raises StorageError where a newer attempt has begun."""
        self._store, self._attempt, self._fence, self._clock, self._wall = store, attempt, fence, clock, wall
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        """So that what a slow storage takes last is the newest."""
        self._spent = Spent.begin(_before(store, attempt), attempt, at=clock(), wall=wall())
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-time", daemon=True)

    def start(self) -> None:
        """Begin to keep what is counted."""
        self._thread.start()

    def hear(self, progress: TrainProgress) -> None:
        """Take in what training tells."""
        with self._lock:
            self._spent.hear(progress, self._clock())

    def publishes(self) -> None:
        """Take in that training is over."""
        with self._lock:
            self._spent.publishes(self._clock())

    def ends(self) -> None:
        """The attempt ends without a result: leave for the next one how its time was spent."""
        with self._lock:
            self._spent.ends(self._clock())
        self.close()
        writer = threading.Thread(target=self.keep, name="headway-time-end", daemon=True)
        writer.start()
        writer.join(CLOSE_SECONDS)

    def close(self) -> None:
        """Keep no more; a storage that does not answer is not waited for."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)

    def told(self) -> TimeSpent:
        """As the report has it, up to now."""
        with self._lock:
            return told(self._spent.now(self._clock(), self._wall()), self._attempt)

    def keep(self) -> None:
        """Leave what is counted for the next attempt."""
        with self._writing:
            with self._lock:
                kept = self._spent.now(self._clock(), self._wall())
            with contextlib.suppress(StorageError):
                self._fence()
                self._store.write(TIME_FILE, kept.model_dump_json().encode())

    def _run(self) -> None:
        while not self._closing.wait(KEEP_SECONDS):
            self.keep()


def _before(store: Store, attempt: int) -> Kept | None:
    """What attempts before have counted. An attempt that is there again, as under `headway run`, is one more."""
    try:
        kept = Kept.model_validate_json(store.read(TIME_FILE))
    except NotFound:
        return None
    except (ValidationError, StorageError, UserError) as error:
        log.warning("where the time of attempts before went is not known: %s", error)
        return None
    return kept if kept.attempt <= attempt else None
