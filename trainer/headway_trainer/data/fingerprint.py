"""What a source's files were like when rows were prepared from them, and whether they have changed since.

Sizes, times of change and, of a small source, digests: enough to tell without reading a large one again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import Field

from headway_api.base import StatusSection
from headway_trainer.data.read.files import SourceFile

LISTED = 1000
"""Files that are remembered one by one; of a source with more, all together."""
HASHED_BYTES = 64 * 2**20
"""A source that is no larger is read once more, so that a new time of change alone is no change."""
_SHOWN = 3


class FileState(StatusSection):
    """One file, as it was."""

    path: str
    """Its URI."""
    size_bytes: int
    """Its size."""
    modified_ns: int | None = None
    """Its time of change, in nanoseconds since 1970; none where the storage does not say."""
    sha256: str | None = None
    """Its digest, where the source is small."""


class Fingerprint(StatusSection):
    """A source's files, as they were."""

    count: int
    """How many there were."""
    size_bytes: int
    """All sizes together."""
    digest: str
    """Over all paths, sizes and times of change."""
    files: list[FileState] = Field(default_factory=list)
    """The files themselves, where there are few."""


def take(files: Sequence[SourceFile]) -> Fingerprint:
    """The fingerprint of a source's files as they are now. Raises StorageError."""
    states = _states(files)
    size = sum(state.size_bytes for state in states)
    listed = states if len(states) <= LISTED else []
    if size <= HASHED_BYTES:
        listed = [
            state.model_copy(update={"sha256": _sha256(file)}) for file, state in zip(files, listed, strict=False)
        ]
    return Fingerprint(count=len(states), size_bytes=size, digest=_digest(states), files=listed)


def changes(before: Fingerprint, files: Sequence[SourceFile]) -> str | None:
    """How a source differs from what it was, in words; none if it does not. Raises StorageError."""
    states = _states(files)
    if _digest(states) == before.digest:
        return None
    if not before.files:
        size = sum(state.size_bytes for state in states)
        return f"{before.count} files of {before.size_bytes} bytes then, {len(states)} of {size} now"
    old = {state.path: state for state in before.files}
    new = {state.path: (state, file) for state, file in zip(states, files, strict=True)}
    told = [f"{path} is new" for path in new if path not in old]
    told += [f"{path} is gone" for path in old if path not in new]
    for path, state in old.items():
        if path in new and (change := _change(state, *new[path])) is not None:
            told.append(f"{path}: {change}")
    if not told:
        return None
    more = f", and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def _states(files: Sequence[SourceFile]) -> list[FileState]:
    """What files are like, without their digests."""
    paths: dict[int, list[str]] = {}
    for file in files:
        paths.setdefault(id(file.store), []).append(file.path)
    stores = {id(file.store): file.store for file in files}
    modified = {key: stores[key].modified(those) for key, those in paths.items()}
    return [
        FileState(path=file.uri, size_bytes=file.size, modified_ns=modified[id(file.store)].get(file.path))
        for file in files
    ]


def _change(old: FileState, new: FileState, file: SourceFile) -> str | None:
    if old.size_bytes != new.size_bytes:
        return f"{old.size_bytes} bytes then, {new.size_bytes} now"
    if old.modified_ns == new.modified_ns:
        return None
    if old.sha256 is None:
        return f"written at {_time(old.modified_ns)} then, {_time(new.modified_ns)} now"
    return None if _sha256(file) == old.sha256 else "other content of the same size"


def _sha256(file: SourceFile) -> str:
    return file.store.sha256(file.path)


def _digest(files: Iterable[FileState]) -> str:
    told = sorted((file.path, file.size_bytes, file.modified_ns) for file in files)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _time(modified_ns: int | None) -> str:
    if modified_ns is None:
        return "a time that is not known"
    return datetime.fromtimestamp(modified_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
