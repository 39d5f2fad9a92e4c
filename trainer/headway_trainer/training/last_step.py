"""The last step that is known of, kept on the storage, so that a next attempt can say how many steps were lost."""

from __future__ import annotations

import time

from headway_api.base import StatusSection
from headway_trainer.errors import NotFound
from headway_trainer.publish import PROGRESS_FILE
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainProgress

KEEP_SECONDS = 10.0


class LastStep(StatusSection):
    """What is kept."""

    attempt: int
    """The attempt that did the step."""
    step: int
    """Optimiser steps done since the first attempt."""


class StepKeeper:
    """Writes the step of this attempt, and knows that of the attempt before."""

    def __init__(self, store: Store, attempt: int) -> None:
        self._store, self._attempt = store, attempt
        self._before = self._read()
        self._kept = 0.0
        self._last: int | None = None

    def lost(self, progress: TrainProgress) -> int | None:
        """Steps that have to be done again; none for a fresh start of the first attempt."""
        if self._before is None:
            return None
        return max(0, self._before - (progress.resumed_from_step or 0))

    def keep(self, step: int) -> None:
        """Write the step, every few seconds."""
        if step == self._last or time.monotonic() - self._kept < KEEP_SECONDS:
            return
        self._last, self._kept = step, time.monotonic()
        self._store.write(PROGRESS_FILE, LastStep(attempt=self._attempt, step=step).model_dump_json().encode())

    def _read(self) -> int | None:
        try:
            last = LastStep.model_validate_json(self._store.read(PROGRESS_FILE))
        except (NotFound, ValueError):
            return None
        return last.step if last.attempt < self._attempt else None
