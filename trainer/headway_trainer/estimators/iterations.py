"""A fit that goes iteration by iteration: how far it is, and the checkpoints from which the next attempt goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from headway_api.base import StatusSection
from headway_api.status import CheckpointStatus
from headway_api.training import Checkpoint
from headway_trainer.errors import StorageError
from headway_trainer.estimators.base import Place
from headway_trainer.estimators.member import Features
from headway_trainer.report.model import EpochRecord, MetricValues
from headway_trainer.storage import Pieces
from headway_trainer.training.checkpoints.saver import seconds_between
from headway_trainer.training.checkpoints.store import Checkpoints, Manifest, now
from headway_trainer.training.history import MOST_RECORDS, thinned
from headway_trainer.training.link import Request

COURSE_FILE = "course.json"
STATE_FILE = "booster.ubj"
"""What a member has learnt so far, in the format of its library: no pickle."""
METRIC = "validation/loss"


class Course(StatusSection):
    """How such a fit has gone."""

    digest: str = ""
    """Identifies what is fitted to what."""
    iterations: int = 0
    """Those that are done."""
    best: int = 0
    """After how many of them the loss of the validation part was the lowest; 0 where it has never been a number."""
    best_loss: float | None = None
    """That loss."""
    early_stopped: bool = False
    """Whether the loss has not fallen for as long as was to be waited for."""
    history: list[EpochRecord] = Field(default_factory=list)
    """The losses after each iteration, which an epoch stands for here; of many, thinned out."""

    def after(self, train: float | None, validation: float | None, patience: int | None) -> Course:
        """What it is after another iteration: losses, none where there are no rows or no finite number. patience: the
        iterations without a lower loss after which it is stopped; none where it is not."""
        done, losses = self.iterations + 1, {"train": train, "validation": validation}
        by_part: dict[str, MetricValues] = {part: {"loss": loss} for part, loss in losses.items() if loss is not None}
        record = EpochRecord(epoch=done, step=done, **by_part)
        history = [*self.history, record]
        changed: dict[str, object] = {
            "iterations": done,
            "history": thinned(history) if len(history) > 2 * MOST_RECORDS else history,
        }
        best = self.best
        if validation is not None and (self.best_loss is None or validation < self.best_loss):
            best = done
            changed |= {"best": best, "best_loss": validation}
        return self.model_copy(
            update=changed | {"early_stopped": patience is not None and done - max(best, 1) >= patience}
        )

    @property
    def newest(self) -> dict[str, float]:
        """The losses after the last iteration, as `part/loss`."""
        last = self.history[-1] if self.history else None
        parts = {"train": last.train, "validation": last.validation} if last is not None else {}
        told = ((part, values.get("loss")) for part, values in parts.items())
        return {f"{part}/loss": loss for part, loss in told if loss is not None}


@dataclass(frozen=True)
class Part:
    """Rows that a fit is judged by while it goes on."""

    x: Features
    y: npt.NDArray[Any]
    """As `Member.fit` has it."""
    weights: npt.NDArray[np.float64] | None


class FitLeft(Exception):  # noqa: N818 - nothing is wrong
    """A fit was left between two iterations, as was asked: the next attempt goes on from its checkpoint."""


@runtime_checkable
class Iterative(Protocol):
    """A Member that learns iteration by iteration. `begin` is called before `fit`."""

    course: Course

    def begin(
        self, validation: Callable[[], Part | None], kept: tuple[Course, bytes] | None, goes_on: Callable[[], bool]
    ) -> None:
        """validation: reads the part that is judged after each iteration; none without rows. kept: where an earlier
        attempt was, and its `state`. goes_on: called after each iteration but the last; where it says no, `fit` raises
        FitLeft."""

    def state(self) -> bytes:
        """What `begin` takes to go on as if nothing had happened. Called by `goes_on`."""


class Keeper:
    """Takes the checkpoints of such a fit, in the fit's own thread."""

    def __init__(self, place: Place, checkpoints: Checkpoints, member: Iterative, digest: str) -> None:
        self._place, self._checkpoints, self._member = place, checkpoints, member
        self._digest = digest
        self._last, self._cost = time.monotonic(), 0.0
        self._wanted, self._left = threading.Event(), threading.Event()
        self.status: CheckpointStatus | None = None
        """The newest one."""

    def heed(self, request: Request) -> None:
        """What the driver asks for is done after the running iteration. Called from another thread."""
        if request != Request.NONE:
            self._wanted.set()
        if request == Request.STOP:
            self._left.set()

    def goes_on(self) -> bool:
        """After an iteration: whether another one is done. Raises StorageError."""
        leaves = self._left.is_set()
        seconds = seconds_between(Checkpoint(), self._cost)
        due = seconds is not None and time.monotonic() - self._last >= seconds
        if due or leaves or self._wanted.is_set():
            self._wanted.clear()
            began = time.monotonic()
            self._save()
            self._last = time.monotonic()
            self._cost = self._last - began
        return not leaves

    def _save(self) -> None:
        course = self._member.course
        course = course.model_copy(update={"digest": self._digest, "history": thinned(course.history)})
        files = {STATE_FILE: self._member.state(), COURSE_FILE: course.model_dump_json().encode()}
        manifest = write(self._place, self._checkpoints, course.iterations, files)
        self.status = self._checkpoints.status(manifest)
        self._checkpoints.retain(Checkpoint().keep_last, 1, METRIC, "min")


def write(place: Place, checkpoints: Checkpoints, step: int, files: dict[str, bytes]) -> Manifest:
    """Write a checkpoint of rank 0's alone. Raises StorageError."""
    pieces: dict[str, Pieces] = {name: partial(_whole, data) for name, data in files.items()}
    try:
        written = checkpoints.write_parts(step, pieces)
    except StorageError:
        checkpoints.discard(step)
        raise
    manifest = Manifest(
        step=step,
        epoch=0,
        batch=0,
        attempt=checkpoints.attempt,
        world_size=place.group.world_size,
        threads=place.threads,
        time=now(),
        files=written,
    )
    checkpoints.commit(manifest)
    return manifest


def kept_course(checkpoints: Checkpoints, manifest: Manifest, digest: str) -> tuple[Course, bytes] | None:
    """What a checkpoint holds of an unfinished fit; none where it is of another fit, or none. Raises StorageError."""
    if not {COURSE_FILE, STATE_FILE} <= {one.name for one in manifest.files}:
        return None
    course = Course.model_validate_json(checkpoints.read(manifest, COURSE_FILE))
    return (course, checkpoints.read(manifest, STATE_FILE)) if course.digest == digest else None


def _whole(data: bytes) -> list[bytes]:
    return [data]
