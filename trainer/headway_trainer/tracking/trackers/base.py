"""What a tracker is: something that is told of runs, in the order of what is recorded of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from headway_api.base import StatusSection
from headway_api.wording import printable
from headway_trainer.tracking.credentials import concealed
from headway_trainer.tracking.events import Began, Ended, Point
from headway_trainer.tracking.parameters import MOST_TEXT

_MOST_SAID = 10_000


class DownError(Exception):
    """The tracker does not answer, or not as it should: it is told again later."""


class RefusedError(Exception):
    """The tracker will never take this: it is left out, and counted."""


class BrokenError(Exception):
    """The tracker cannot be told of this run at all, as it is set up. The message says what to change."""


def shown(text: str) -> str:
    """What a client or a server has said, without credentials and in one line of bounded length in which nothing can
    steer a terminal."""
    line = printable(" ".join(concealed(text[:_MOST_SAID]).split()))
    return line if len(line) <= MOST_TEXT else f"{line[: MOST_TEXT - 1]}…"


class Known(StatusSection):
    """A run as a tracker knows it."""

    id: str = Field(max_length=256)
    """By which the tracker knows it."""
    step: int = -1
    """The newest step that it has."""
    done: bool = False
    """Whether its end is told."""


class Tracker(Protocol):
    """Told in one thread, one call at a time; each call ends in bounded time.

    Every call may come again after a kill, and then makes no difference. All raise DownError, RefusedError and
    BrokenError.
    """

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:
        """A run begins, or goes on. known: as it is known from before. parent: the run that it is a child of."""

    def points(self, known: Known, points: Sequence[Point]) -> None:
        """Numbers of a run, in the order of their steps."""

    def end(self, known: Known, ended: Ended) -> None:
        """A run has ended."""

    def settled(self) -> bool:
        """Whether all that was told has arrived, so that nobody needs to tell it again."""

    def close(self, seconds: float) -> None:
        """There will be no more: let what was told arrive within so many seconds."""
