"""Words that a judge writes again and again, so that who reads them knows that somebody still says them. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import ValidationError

from headway_api.drift_wire import DriftWord
from headway_api.rollout_wire import Load

W = TypeVar("W", Load, DriftWord)


class Beating(Generic[W]):
    """Numbers the words under one key, and knows which of them was written last."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._beat = 0
        self._offered: W | None = None
        self.written: W | None = None
        """The last word; None if there is none."""
        self.written_at = float("-inf")

    def begin(self, beat: int) -> None:
        """What was written before this process has this number."""
        self._beat = max(self._beat, beat)

    def forget(self) -> None:
        """The next word is the first one."""
        self.written, self.written_at = None, float("-inf")

    def drop(self) -> None:
        """What was due before, and was not written, is not due any more."""
        self._offered = None

    def offer(self, word: W, told_by: str | None) -> dict[str, str]:
        """What is to be written now."""
        self._beat += 1
        self._offered = word
        told = word.model_copy(update={"beat": self._beat, "told_by": told_by})
        return {self._key: told.model_dump_json(exclude_none=True)}

    def wrote(self, now: float) -> None:
        """What was offered last is written."""
        if self._offered is not None:
            self.written, self.written_at, self._offered = self._offered, now, None


def misread(key: str, what: str, error: ValidationError) -> str:
    """Why what stands under a key could not be read."""
    place = ".".join(str(part) for part in error.errors()[0]["loc"])
    return f"{key} is no {what}: {error.error_count()} errors, the first at {place}"
