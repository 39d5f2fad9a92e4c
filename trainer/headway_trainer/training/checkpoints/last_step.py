"""The last step that is known of: how many steps were lost when training goes on from a checkpoint.

It is kept on the storage every few seconds, so that the next attempt can say it, too; and a checkpoint that was begun,
even one that is damaged, tells of its step. Best effort: what came after the last of these is not counted.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from headway_api.base import StatusSection
from headway_trainer.errors import StorageError
from headway_trainer.publish import PROGRESS_FILE
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import TrainProgress

KEEP_SECONDS = 10.0
CLOSE_SECONDS = 5.0


class LastStep(StatusSection):
    """What is kept."""

    attempt: int
    """The attempt that did the step."""
    step: int
    """Optimiser steps done since the first attempt."""


class StepKeeper:
    """Knows the last step before training went on from a checkpoint, and keeps that of this attempt."""

    def __init__(self, store: Store, attempt: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._attempt, self._clock = store, attempt, clock
        self._before = self._read()
        self._newest: TrainProgress | None = None
        self._kept_at: float | None = None
        self._due: queue.SimpleQueue[LastStep | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def take(self, progress: TrainProgress) -> int | None:
        """Take the newest progress in; the steps that have to be done again, none if nothing went before."""
        if self._newest is not None and progress.resumed_from_step != self._newest.resumed_from_step:
            # The group of workers was started again, within this attempt.
            self._before = self._newest.step
        self._newest = progress
        if self._kept_at is None or self._clock() - self._kept_at >= KEEP_SECONDS:
            self._kept_at = self._clock()
            self._have_kept(LastStep(attempt=self._attempt, step=progress.step))
        return None if self._before is None else max(0, self._before - (progress.resumed_from_step or 0))

    def close(self) -> None:
        """Keep no more; a storage that does not answer is not waited for. To be closed again changes nothing."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._due.put(None)
            thread.join(CLOSE_SECONDS)

    def _have_kept(self, last: LastStep) -> None:
        """Nobody waits for the storage: the driver has to hear and to tell of other things meanwhile."""
        if self._closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="headway-last-step", daemon=True)
            self._thread.start()
        self._due.put(last)

    def _keep(self) -> None:
        while (last := self._due.get()) is not None:
            # Without patience: the next one comes soon.
            with contextlib.suppress(StorageError), self._store.open_output(PROGRESS_FILE) as stream:
                stream.write(last.model_dump_json().encode())

    def _read(self) -> int | None:
        known: list[int] = []
        with contextlib.suppress(StorageError, ValueError):
            known.append(LastStep.model_validate_json(self._store.read(PROGRESS_FILE)).step)
        with contextlib.suppress(StorageError):
            begun = Checkpoints(self._store, self._attempt).reached()
            known += [] if begun is None else [begun]
        return max(known, default=None)
