"""scikit-learn's models as an estimator: rank 0 fits to all rows, and every rank judges what comes of it.

What is kept is the fitted model as an ONNX graph, in a checkpoint like those of the loop, with what scikit-learn's own
model says of the sample's rows: a run that is killed after the fit goes on from there, and nothing is ever unpickled. A
run that is killed before it fits again, to the same bytes.
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

from headway_trainer.errors import StorageError
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.fit import FIT_FILE, REMEDY, SAYS_FILE, Fit, build_member, digest, fitted
from headway_trainer.estimators.member import Member
from headway_trainer.export.record import Export, staged
from headway_trainer.programs import Supervised
from headway_trainer.storage import Pieces
from headway_trainer.tasks import task_of
from headway_trainer.training.checkpoints.store import BODY_FILE, Checkpoints, Manifest, folder_name, now
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


class ScikitLearn:
    """A member by its name in `model.name`."""

    def fit(self, place: Place) -> Fitted | TrainEnd:
        """Fit, or take what an earlier attempt has kept.

        Raises UserError for rows that cannot be fitted, or that are too many for the memory; StorageError.
        """
        # OpenMP reads it when scikit-learn is imported. Its threads wait in busy loops else, and where they have not a
        # core each, a fit takes many times as long.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        checkpoints = Checkpoints(place.store, place.run.attempt)
        told = _FirstRank(place, checkpoints).run() if place.group.rank == 0 else _wait(place)
        if told.word is Word.STOP:
            return TrainEnd(finished=False, step=told.step)
        manifest = checkpoints.named(folder_name(told.step, told.attempt))
        # Imported here, as onnxruntime has no business in a process that trains by the loop.
        from headway_trainer.export.estimator_body import BodyModule

        body = checkpoints.read(manifest, BODY_FILE)
        fit = Fit.model_validate_json(checkpoints.read(manifest, FIT_FILE))
        end = TrainEnd(
            finished=True,
            step=fit.iterations,
            iterations=fit.iterations,
            parameters=fit.parameters,
            checkpoint=checkpoints.status(manifest),
            resumed_from_step=told.step if told.resumed else None,
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
    resumed: bool = False
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
        if kept is not None:
            return self._end(kept, resumed=True)
        member = build_member(self._place)
        fitting = _Thread(partial(fitted, self._place, member))
        while not fitting.wait(POLL_SECONDS):
            self._tell(member)
            if self._place.link.request() == Request.STOP:
                self._place.group.from_first([Word.STOP, member.done, 0])
                return _Told(Word.STOP, member.done)
            if time.monotonic() - self._signed >= SIGN_SECONDS:
                self._place.group.from_first([Word.WAIT, 0, 0])
                self._signed = time.monotonic()
        self._first_step_time = self._first_step_time or datetime.now(UTC).isoformat(timespec="milliseconds")
        return self._end(self._keep(fitting.value()), resumed=False)

    def _kept(self) -> Manifest | None:
        """What an earlier attempt has kept of the same fit."""
        self._checkpoints.claim()
        found = self._checkpoints.newest()
        self._notes += found.notes
        manifest = found.manifest
        if manifest is not None and not any(one.name == FIT_FILE for one in manifest.files):
            manifest = None
        if manifest is not None:
            fit = Fit.model_validate_json(self._checkpoints.read(manifest, FIT_FILE))
            manifest = manifest if fit.digest == digest(self._place) else None
        self._checkpoints.clear_after(manifest)
        return manifest

    def _keep(self, parts: tuple[Fit, dict[str, bytes]]) -> Manifest:
        fit, files = parts
        pieces: dict[str, Pieces] = {
            name: partial(_whole, data) for name, data in {**files, FIT_FILE: fit.model_dump_json().encode()}.items()
        }
        try:
            written = self._checkpoints.write_parts(fit.iterations, pieces)
        except StorageError:
            self._checkpoints.discard(fit.iterations)
            raise
        manifest = Manifest(
            step=fit.iterations,
            epoch=0,
            batch=0,
            attempt=self._checkpoints.attempt,
            world_size=self._place.group.world_size,
            threads=self._place.threads,
            time=now(),
            files=written,
        )
        self._checkpoints.commit(manifest)
        return manifest

    def _end(self, manifest: Manifest, *, resumed: bool) -> _Told:
        self._place.group.from_first([Word.DONE, manifest.step, manifest.attempt])
        return _Told(Word.DONE, manifest.step, manifest.attempt, resumed, self._first_step_time, self._notes)

    def _tell(self, member: Member) -> None:
        done, elapsed = member.done, time.monotonic() - self._began
        if done:
            self._first_step_time = self._first_step_time or datetime.now(UTC).isoformat(timespec="milliseconds")
        self._place.link.tell(
            TrainProgress(
                step=done,
                done=done,
                planned=member.planned,
                timed=member.planned > 0,
                steps_per_second=done / elapsed if done and elapsed > 0 else None,
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
    """Write model.onnx, compared with what scikit-learn's model said of the sample's rows."""
    from headway_trainer.export.stage import export_fitted

    says = None
    if any(file.name == SAYS_FILE for file in manifest.files):
        array: npt.NDArray[np.float64] = np.load(io.BytesIO(checkpoints.read(manifest, SAYS_FILE)), allow_pickle=False)
        says = array
    body = checkpoints.read(manifest, BODY_FILE)
    return export_fitted(body, says, place.info, place.store, staged(place.run.attempt))


def _whole(data: bytes) -> list[bytes]:
    return [data]
