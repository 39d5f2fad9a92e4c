"""The models of scikit-learn, XGBoost and other packages as an estimator: rank 0 fits to all rows, and every rank
judges what comes of it.

What is kept is the fitted model as an ONNX graph, in a checkpoint like those of the loop, with what the library's own
model says of the sample's rows: a run that is killed after the fit goes on from there, and nothing is ever unpickled. A
run that is killed before it fits again, or goes on from the last checkpoint of a fit that can (`iterations`): to the
same bytes.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_api.status import CheckpointStatus
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.fit import (
    FIT_FILE,
    REMEDY,
    SAYS_FILE,
    Fit,
    build_member,
    digest,
    fitted,
    validation_part,
)
from headway_trainer.estimators.iterations import METRIC, Course, FitLeft, Iterative, Keeper, kept_course, write
from headway_trainer.estimators.member import Member
from headway_trainer.export.record import Export, staged
from headway_trainer.programs import Supervised
from headway_trainer.tasks import task_of
from headway_trainer.training import history
from headway_trainer.training.checkpoints.store import BODY_FILE, Checkpoints, Manifest, folder_name
from headway_trainer.training.link import Request, TrainEnd, TrainProgress

POLL_SECONDS = 0.25
"""How often rank 0 looks how far the fit is, and whether the driver has asked for something."""
SIGN_SECONDS = 1.0
"""How often it says to the others that they have to wait."""


class Word(IntEnum):
    """What rank 0 says to those that wait."""

    WAIT = 0
    DONE = 1
    STOP = 2


class MemberEstimator:
    """A member by its name in `model.name`."""

    def fit(self, place: Place) -> Fitted | TrainEnd:
        """Fit, or take what an earlier attempt has kept.

        Raises UserError for rows that cannot be fitted, or that are too many for the memory; StorageError.
        """
        # OpenMP reads it when the library is imported. Its threads wait in busy loops else, and where they have not a
        # core each, a fit takes many times as long.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        checkpoints = Checkpoints(place.store, place.run.attempt)
        told = _FirstRank(place, checkpoints).run() if place.group.rank == 0 else _wait(place)
        if told.word is Word.STOP:
            return TrainEnd(finished=False, step=told.step, checkpoint=told.checkpoint)
        manifest = checkpoints.named(folder_name(told.step, told.attempt))
        # Imported here, as onnxruntime has no business in a process that trains by the loop.
        from headway_trainer.export.estimator_body import BodyModule

        body = checkpoints.read(manifest, BODY_FILE)
        fit = Fit.model_validate_json(checkpoints.read(manifest, FIT_FILE))
        course = fit.course or Course()
        end = TrainEnd(
            finished=True,
            step=fit.iterations,
            iterations=fit.iterations,
            early_stopped=course.early_stopped,
            # Trials have curves by epochs alone.
            history=[] if place.is_trial else course.history,
            parameters=fit.parameters,
            checkpoint=checkpoints.status(manifest),
            resumed_from_step=told.resumed,
            first_step_time=told.first_step_time,
            notes=[*told.notes, *fit.notes],
        )
        return Fitted(
            program=Supervised(BodyModule(body, place.threads), task_of(place.info)),
            end=end,
            export=partial(_export, place, checkpoints, manifest),
            remedy=REMEDY,
        )


@dataclass
class _Told:
    """How the fit ended, as every rank knows it; what is of rank 0 alone is empty elsewhere."""

    word: Word
    step: int = 0
    attempt: int = 0
    resumed: int | None = None
    """The iterations that an earlier attempt had done; none for a fresh start."""
    checkpoint: CheckpointStatus | None = None
    """Of a fit that was left, where the next attempt goes on."""
    first_step_time: str | None = None
    notes: list[str] = field(default_factory=list)


def _wait(place: Place) -> _Told:
    """A rank that does not fit: each broadcast of rank 0's is waited for without any work."""
    while True:
        word, step, attempt = place.group.from_first([0, 0, 0])
        if word != Word.WAIT:
            return _Told(Word(word), step, attempt)


class _FirstRank:
    """Fits in a thread, so that the process can tell how far it is, and hear of a stop, meanwhile."""

    def __init__(self, place: Place, checkpoints: Checkpoints) -> None:
        self._place, self._checkpoints = place, checkpoints
        self._notes: list[str] = []
        self._first_step_time: str | None = None
        self._began = self._signed = time.monotonic()

    def run(self) -> _Told:
        """The end of the fit, said to all ranks."""
        kept = self._kept()
        if isinstance(kept, Manifest):
            return self._end(kept, resumed=kept.step)
        member = build_member(self._place)
        keeper = self._keeper(member, kept)
        resumed = kept[0].iterations if kept is not None and keeper is not None else None
        fitting = _Thread(partial(fitted, self._place, member))
        while not fitting.wait(POLL_SECONDS):
            self._tell(member, keeper, resumed)
            request = self._place.link.request()
            if request == Request.STOP and keeper is None:
                return self._stopped(member)
            if keeper is not None:
                keeper.heed(request)
            if time.monotonic() - self._signed >= SIGN_SECONDS:
                self._place.group.from_first([Word.WAIT, 0, 0])
                self._signed = time.monotonic()
        self._first_step_time = self._first_step_time or datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            parts = fitting.value()
        except FitLeft:
            self._tell(member, keeper, resumed)
            return self._stopped(member, keeper)
        return self._end(self._keep(parts), resumed=resumed)

    def _kept(self) -> Manifest | tuple[Course, bytes] | None:
        """What an earlier attempt has kept of the same fit: all of it, or where it was."""
        self._checkpoints.claim()
        found = self._checkpoints.newest()
        self._notes += found.notes
        manifest, part = found.manifest, None
        if manifest is not None and any(one.name == FIT_FILE for one in manifest.files):
            fit = Fit.model_validate_json(self._checkpoints.read(manifest, FIT_FILE))
            manifest = manifest if fit.digest == digest(self._place) else None
        elif manifest is not None:
            part = kept_course(self._checkpoints, manifest, digest(self._place))
            manifest = manifest if part is not None else None
        self._checkpoints.clear_after(manifest)
        return part or manifest

    def _keeper(self, member: Member, kept: tuple[Course, bytes] | None) -> Keeper | None:
        """What takes checkpoints of a fit, where that can be gone on with."""
        if not isinstance(member, Iterative):
            return None
        keeper = Keeper(self._place, self._checkpoints, member, digest(self._place))
        member.begin(partial(validation_part, self._place), kept, keeper.goes_on)
        return keeper

    def _stopped(self, member: Member, keeper: Keeper | None = None) -> _Told:
        self._place.group.from_first([Word.STOP, member.done, 0])
        return _Told(Word.STOP, member.done, checkpoint=keeper.status if keeper is not None else None)

    def _keep(self, parts: tuple[Fit, dict[str, bytes]]) -> Manifest:
        fit, files = parts
        written = write(
            self._place, self._checkpoints, fit.iterations, {**files, FIT_FILE: fit.model_dump_json().encode()}
        )
        self._checkpoints.retain(1, 1, METRIC, "min")  # where the fit was on its way, nobody asks any more
        return written

    def _end(self, manifest: Manifest, *, resumed: int | None) -> _Told:
        self._place.group.from_first([Word.DONE, manifest.step, manifest.attempt])
        return _Told(
            Word.DONE,
            manifest.step,
            manifest.attempt,
            resumed,
            first_step_time=self._first_step_time,
            notes=self._notes,
        )

    def _tell(self, member: Member, keeper: Keeper | None, resumed: int | None) -> None:
        done, elapsed = member.done, time.monotonic() - self._began
        if done > (resumed or 0):
            self._first_step_time = self._first_step_time or datetime.now(UTC).isoformat(timespec="milliseconds")
        here = done - (resumed or 0)
        course = member.course if isinstance(member, Iterative) else None
        self._place.link.tell(
            TrainProgress(
                step=done,
                done=done,
                planned=member.planned,
                timed=member.planned > 0,
                steps_per_second=here / elapsed if here and elapsed > 0 else None,
                metrics=course.newest if course is not None else {},
                measured=history.measured(course.history, self._place.link.heard()) if course is not None else [],
                checkpoint=keeper.status if keeper is not None else None,
                resumed_from_step=resumed,
                notes=self._notes,
            )
        )


class _Thread:
    """Runs a function beside this thread. The process can end while it runs: there is no other way to stop a fit."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="headway-fit", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after at most so many seconds."""
        return self._done.wait(seconds)

    def value(self) -> Any:
        """What it gave. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # it is raised where the value is asked for
            self._error = error
        finally:
            self._done.set()


def _export(place: Place, checkpoints: Checkpoints, manifest: Manifest) -> Export:
    """Write model.onnx, compared with what the library's model said of the sample's rows."""
    from headway_trainer.export.stage import export_fitted

    says = None
    if any(file.name == SAYS_FILE for file in manifest.files):
        array: npt.NDArray[np.float64] = np.load(io.BytesIO(checkpoints.read(manifest, SAYS_FILE)), allow_pickle=False)
        says = array
    body = checkpoints.read(manifest, BODY_FILE)
    return export_fitted(body, says, place.info, place.store, staged(place.run.attempt))
