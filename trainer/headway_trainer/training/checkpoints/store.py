"""Checkpoints as files: `checkpoints/step-<step>-attempt-<attempt>/`, complete once `manifest.json` is there.

Each rank writes its own part; rank 0 writes the manifest last, with the digest of every file. A reader takes a
checkpoint whose manifest and files agree, or goes on to the one before. The attempt's number is a fencing token: once
a newer attempt has claimed the folder, an older one cannot commit any more, even if its pods are still alive.

Ray Train's own bookkeeping is not used here: it is one file that is rewritten in place, and a run whose file was cut
short, or lists a checkpoint that is gone, cannot be resumed at all (docs/decisions/0031).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_api.bundle import FileDigest
from headway_api.status import CheckpointStatus
from headway_api.status_words import Time
from headway_trainer.errors import NotFound, StorageError
from headway_trainer.storage import CHUNK, Pieces, Store
from headway_trainer.storage_faults import patient
from headway_trainer.training.early_stopping import Mode

FOLDER = "checkpoints"
RAY_FOLDER = "ray"
"""Where Ray Train keeps the checkpoints that a training function of the user's own reports."""
RAY_RUN = "run"
"""Each job has a folder of its own, so all runs may have the same name, by which Ray Train finds their checkpoints."""
MANIFEST = "manifest.json"
CLAIM = "attempt.json"
MODEL_FILE = "model.safetensors"
BODY_FILE = "body.onnx"
"""In place of weights: what an estimator has fitted, from features to outputs."""
VERSION = 2
"""Version 1 had no `best`: its best model is the one of the best checkpoint."""
_NAME = re.compile(r"^step-(\d{10,})-attempt-(\d+)$")


class BestModel(StatusSection):
    """The weights of the best epoch so far, as a checkpoint holds them."""

    step: int
    """The optimiser steps that were done at the end of that epoch."""
    file: str
    """The checkpoint's file that has them: its own weights where no later epoch was worse."""
    metrics: dict[str, float]
    """That epoch's metrics, as `split/name`."""


class Manifest(StatusSection):
    """What a complete checkpoint holds."""

    version: int = VERSION
    """The version of this format."""
    step: int
    """Optimiser steps done since the first attempt."""
    epoch: int
    """Passes over the training part that are finished."""
    batch: int
    """Steps done of the pass after them."""
    attempt: int
    """The attempt that wrote it."""
    world_size: int
    """How many ranks wrote a part."""
    threads: int | None = None
    """How many threads each rank computed with; none in version 1."""
    time: Time
    """When it was committed."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Metrics as `split/name`, where the checkpoint was taken right after an evaluation; else empty."""
    best: BestModel | None = None
    """The best model so far; none where no epoch has had a finite value of the metric that chooses it."""
    files: list[FileDigest]
    """Every other file."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return folder_name(self.step, self.attempt)

    @property
    def candidate(self) -> BestModel:
        """The model that a run would keep if it had this checkpoint alone."""
        return self.best or BestModel(step=self.step, file=MODEL_FILE, metrics=self.metrics)


class Claim(StatusSection):
    """The newest attempt that has begun to train."""

    attempt: int
    """Its number."""


@dataclass
class Found:
    """What there is to resume from."""

    manifest: Manifest | None = None
    """The newest checkpoint that is whole; none for a fresh start."""
    notes: list[str] = field(default_factory=list)
    """What people should know: which newer ones were passed over, and why."""


def folder_name(step: int, attempt: int) -> str:
    """The folder of a checkpoint. Attempts have their own, so that two that overlap never write the same file."""
    return f"step-{step:010d}-attempt-{attempt}"


class Checkpoints:
    """The checkpoints of a run, as one attempt sees them. Every method may raise StorageError."""

    def __init__(self, run: Store, attempt: int) -> None:
        self.attempt = attempt
        self._run = run
        self._store = run.child(FOLDER)
        self._complete: list[Manifest] | None = None
        """What is known to be complete, oldest first, once it was read: only this attempt adds to it and takes away."""

    def claim(self) -> None:
        """From now on no older attempt can commit. Raises StorageError if a newer one has claimed already."""
        self.refuse_if_fenced()
        self._store.write(CLAIM, Claim(attempt=self.attempt).model_dump_json().encode())

    def refuse_if_fenced(self) -> None:
        """Raise StorageError if a newer attempt has claimed the run: then nothing may be written or deleted here."""
        claims = [attempt for _, attempt in map(_parsed, self._folders())]
        with contextlib.suppress(NotFound, ValidationError):
            claims.append(Claim.model_validate_json(self._store.read(CLAIM)).attempt)
        if max(claims, default=0) > self.attempt:
            raise StorageError(
                f"attempt {self.attempt} of this run was replaced by attempt {max(claims)}: "
                f"it may write no more to {self._run.uri}"
            )

    def write_parts(self, step: int, parts: Mapping[str, Pieces]) -> list[FileDigest]:
        """Write files of a checkpoint that is not complete yet."""
        folder, last = self._store.child(folder_name(step, self.attempt)), len(parts)
        return [
            folder.write_pieces(name, pieces, last=number == last)
            for number, (name, pieces) in enumerate(parts.items(), start=1)
        ]

    def commit(self, manifest: Manifest) -> CheckpointStatus:
        """Complete a checkpoint whose parts are all written."""
        self.refuse_if_fenced()
        self._store.write(f"{manifest.name}/{MANIFEST}", manifest.model_dump_json(indent=2).encode())
        if self._complete is not None:
            self._complete = [*(one for one in self._complete if one.name != manifest.name), manifest]
        return self.status(manifest)

    def discard(self, step: int) -> None:
        """Delete what there is of a checkpoint that could not be completed: on a full storage it is in the way."""
        with contextlib.suppress(StorageError):
            self._delete(folder_name(step, self.attempt))

    def status(self, manifest: Manifest) -> CheckpointStatus:
        """A checkpoint as a job's status names it."""
        return CheckpointStatus(uri=self._store.child(manifest.name).uri, step=manifest.step, time=manifest.time)

    def newest(self) -> Found:
        """The newest checkpoint that is whole, with every file's digest compared."""
        found = Found()
        for name in reversed(self._folders()):
            try:
                manifest = self._manifest(name)
                self._verify(manifest)
            except NotFound as error:
                if self._store.exists(f"{name}/{MANIFEST}"):
                    found.notes.append(_passed_over(name, error))
                continue
            except (Damaged, ValidationError) as error:
                found.notes.append(_passed_over(name, error))
                continue
            found.manifest = manifest
            break
        return found

    def named(self, name: str) -> Manifest:
        """The manifest in a folder that is known to hold one."""
        return self._manifest(name)

    def read(self, manifest: Manifest, name: str) -> bytes:
        """A file of a checkpoint, its digest compared. Raises StorageError if it is not what was written."""
        expected = _file(manifest, name, self._store)
        data = self._store.read(f"{manifest.name}/{name}")
        _compare(expected, len(data), hashlib.sha256(data).hexdigest())
        return data

    def verify(self, manifest: Manifest, name: str) -> None:
        """Raise Damaged or NotFound if a file of a checkpoint is not what was written."""
        path = f"{manifest.name}/{name}"
        _compare(_file(manifest, name, self._store), self._store.size(path), self._store.sha256(path))

    @patient
    def copy(self, manifest: Manifest, name: str, target: Store, new_name: str) -> FileDigest:
        """Copy a file of a checkpoint into another folder, under a new name; it is never in memory as a whole.

        Raises StorageError, and leaves nothing, if it is not what was written.
        """
        expected = _file(manifest, name, self._store)
        size, digest = 0, hashlib.sha256()
        with self._store.open_input(f"{manifest.name}/{name}") as source, target.open_output(new_name) as copy:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                digest.update(chunk)
                copy.write(chunk)
                copy.flush()  # an object store's stream would keep what it has not sent yet
            _compare(expected, size, digest.hexdigest())
        return expected.model_copy(update={"name": new_name})

    def by_merit(self, metric: str, mode: Mode) -> list[Manifest]:
        """The complete checkpoints, the one whose `candidate` is best first, of equals the earlier model and then the
        newer checkpoint first; those without the metric come last, newest first."""
        newest_first = self.complete()[::-1]
        rated = [one for one in newest_first if not math.isnan(one.candidate.metrics.get(metric, math.nan))]
        sign = 1 if mode == "min" else -1
        rated.sort(key=lambda one: (sign * one.candidate.metrics[metric], one.candidate.step))
        return rated + [one for one in newest_first if one not in rated]

    def complete(self) -> list[Manifest]:
        """The checkpoints that have a manifest, oldest first; their files are not looked at."""
        if self._complete is None:
            self._complete = self._read_complete()
        return list(self._complete)

    def _read_complete(self) -> list[Manifest]:
        manifests = []
        for name in self._folders():
            try:
                manifests.append(self._manifest(name))
            except (NotFound, Damaged, ValidationError):
                continue
        return manifests

    def reached(self) -> int | None:
        """The last step at which a checkpoint was begun, whether or not it is whole; none if there was none."""
        return max((_parsed(name)[0] for name in self._folders()), default=None)

    def clear_after(self, manifest: Manifest | None) -> None:
        """Delete what does not lead to a checkpoint: folders without a whole manifest, and those that come after it."""
        kept = {one.name for one in self.complete() if manifest is not None and _order(one) <= _order(manifest)}
        for name in self._folders():
            if name not in kept:
                self._delete(name)

    def retain(self, last: int, best: int, metric: str, mode: Mode) -> None:
        """Delete all but the newest `last` checkpoints, and the `best` best of those that were taken at an epoch's end
        if that is more than one: the best model alone is in the newest checkpoint.

        A newer attempt may begin meanwhile, from one that this one would delete.
        """
        manifests = self.complete()
        rated = [one for one in manifests if metric in one.metrics]
        rated.sort(key=lambda one: one.metrics[metric] if mode == "min" else -one.metrics[metric])
        kept = {one.name for one in manifests[-last:]} | {one.name for one in rated[: best if best > 1 else 0]}
        for one in manifests:
            if one.name not in kept:
                self.refuse_if_fenced()
                self._delete(one.name)

    def _verify(self, manifest: Manifest) -> None:
        for file in manifest.files:
            self.verify(manifest, file.name)

    def _delete(self, name: str) -> None:
        """The manifest goes first, so that a checkpoint that is half deleted is none."""
        if self._complete is not None:
            self._complete = [one for one in self._complete if one.name != name]
        self._store.delete(f"{name}/{MANIFEST}")
        self._store.delete(name)

    def _folders(self) -> list[str]:
        """Folders of checkpoints, oldest first."""
        names = [name for name in self._store.list() if _NAME.match(name)]
        return sorted(names, key=_parsed)

    def _manifest(self, name: str) -> Manifest:
        manifest = Manifest.model_validate_json(self._store.read(f"{name}/{MANIFEST}"))
        if not 1 <= manifest.version <= VERSION:
            raise Damaged(f"it has version {manifest.version} of the format, and this image reads up to {VERSION}")
        return manifest


def _file(manifest: Manifest, name: str, store: Store) -> FileDigest:
    for file in manifest.files:
        if file.name == name:
            return file
    raise Damaged(f"{store.child(manifest.name).uri} holds no {name}")


def _compare(expected: FileDigest, size: int, sha256: str) -> None:
    if size != expected.size_bytes:
        raise Damaged(f"{expected.name} has {size} bytes where {expected.size_bytes} were written")
    if sha256 != expected.sha256:
        raise Damaged(f"the content of {expected.name} is not what was written")


class Damaged(StorageError):  # noqa: N818 - like NotFound, a state of what is stored
    """A checkpoint that is not what was written."""


def now() -> Time:
    """The time as statuses write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _order(manifest: Manifest) -> tuple[int, int]:
    return manifest.step, manifest.attempt


def _parsed(name: str) -> tuple[int, int]:
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"{name} is not the name of a checkpoint")
    return int(match[1]), int(match[2])


def _passed_over(name: str, error: Exception) -> str:
    reason = "its manifest cannot be read" if isinstance(error, ValidationError) else str(error)
    return f"The checkpoint {name} was passed over: {reason}."
