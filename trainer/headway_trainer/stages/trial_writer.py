"""Writes each trial's `result.json` beside the trials, not in their way: the next one begins meanwhile."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from headway_trainer.errors import StorageError
from headway_trainer.report.trial_files import TRIALS_FOLDER, TrialFile, file_of
from headway_trainer.storage import Store

MOST_WAITING = 1000
"""Files that wait to be written; trials wait for a storage that is that far behind."""
CLOSE_SECONDS = 10.0
log = logging.getLogger("headway.tuning")


class TrialWriter:
    """One write for each trial, by a thread of its own; what a kill has left out, the next attempt writes."""

    def __init__(self, store: Store, fence: Callable[[], None]) -> None:
        """store: the folder of the job's run. fence: raises StorageError where a newer attempt has taken its place."""
        self._store, self._fence = store, fence
        self._waiting: queue.Queue[TrialFile | None] = queue.Queue(MOST_WAITING)
        self._failed: list[TrialFile] = []
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def written(self) -> set[int]:
        """The numbers of the trials that have their file. Raises StorageError."""
        return {int(name) for name in self._store.list(TRIALS_FOLDER) if name.isdigit()}

    def add(self, trial: TrialFile) -> None:
        """Have a trial's file written. Returns at once, but where MOST_WAITING others wait.

        Raises what has ended the thread that writes: no fault of the storage, of which `finish` tells.
        """
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="headway-trial-results", daemon=True)
            self._thread.start()
        self._waiting.put(trial)

    def finish(self) -> None:
        """Wait until all are written. Raises StorageError where one cannot be."""
        self._end(None)
        self._raise()
        for trial in self._failed:
            self._write(trial)

    def close(self) -> None:
        """Write what waits, for CLOSE_SECONDS: for a run that ends with an error. The rest is the next attempt's."""
        self._end(CLOSE_SECONDS)

    def _end(self, seconds: float | None) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(seconds)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (trial := self._waiting.get()) is not None:
            try:
                if self._error is None:
                    self._write(trial)
            except StorageError as error:
                log.warning("the result of trial %d was not written yet: %s", trial.number, error)
                self._failed.append(trial)
            except BaseException as error:
                self._error = error

    def _write(self, trial: TrialFile) -> None:
        self._fence()
        self._store.write(file_of(trial.number), f"{trial.model_dump_json(indent=2)}\n".encode())
