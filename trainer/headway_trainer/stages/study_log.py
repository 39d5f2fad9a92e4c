"""The log of a run's study, with the GPU time so far where a budget is about it."""

from __future__ import annotations

import logging
import time

from headway_trainer.errors import StorageError
from headway_trainer.run import Run
from headway_trainer.tuning.events import Event
from headway_trainer.tuning.gpu_time import LOGGED_EVERY
from headway_trainer.tuning.log import EventLog
from headway_trainer.tuning.study import Study

log = logging.getLogger("headway.tuning")


class StudyLog:
    """What happens in a study is logged before it is acted on. For one thread at a time."""

    def __init__(self, run: Run) -> None:
        self._log = EventLog(run.store, run.file.attempt)
        self._use_logged = time.monotonic()

    def read(self) -> list[Event]:
        """All that has happened. Raises UserError for a log that cannot be read, and StorageError."""
        return self._log.read()

    def begin(self, event: Event) -> None:
        """Log what comes before the study. Raises StorageError."""
        self._log.append(event)

    def append(self, study: Study, *events: Event) -> None:
        """Log what happened; beside it, where a budget is about it, the GPU time so far. Raises StorageError."""
        used = study.used()
        self._log.append(*([] if used is None else [used]), *events)
        self._use_logged = time.monotonic()

    def append_use(self, study: Study, *, at_once: bool = False) -> None:
        """Log the GPU time now and then, where a budget is about it: what a kill forgets is bounded by that."""
        due = at_once or time.monotonic() - self._use_logged > LOGGED_EVERY
        if study.used() is None or not due:
            return
        try:
            self.append(study)
        except StorageError as error:  # the next event tells it, too
            self._use_logged = time.monotonic()
            log.warning("the GPU time of the trials was not logged: %s", error)
