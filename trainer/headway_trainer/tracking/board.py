"""Event files of TensorBoard, made from the record alone: whoever makes them again from it makes the same bytes.

So an attempt that goes on has no place of its own to remember, and a file that a kill has cut short is completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headway_trainer.errors import StorageError
from headway_trainer.storage import Store
from headway_trainer.tracking import event_files
from headway_trainer.tracking.events import Began, Ended, Event

FOLDER = "tensorboard"
POINTS_OF_FILE = 1000
"""A file with so many points is complete, and another one begins: an object store has a growing one written whole."""
MOST_RUNS = 500
"""Children that have files: TensorBoard shows no more at a time."""


@dataclass
class _File:
    """A file as it has to be."""

    path: str
    data: bytearray = field(default_factory=bytearray)
    points: int = 0
    dirty: bool = False
    complete: bool = False


class Board:
    """The files of a run and its children. For one thread."""

    def __init__(self, store: Store) -> None:
        """store: the folder of the run."""
        self._store = store
        self._files: dict[str, _File] = {}
        """The one of each run that grows."""
        self._waiting: list[_File] = []
        """Complete ones that are still to be written."""
        self._known: dict[str, tuple[float, int, int]] = {}
        """Of each run when it began, how many files it has completed, and its newest step."""
        self._all = 0

    def replay(self, events: Sequence[Event], *, fresh: int) -> None:
        """Take in what is recorded. The last `fresh` of it may not have come to its file yet."""
        self.take(events[: max(0, len(events) - fresh)])
        for one in self._files.values():
            one.dirty = False
        self._waiting.clear()
        self.take(events[max(0, len(events) - fresh) :])

    def take(self, events: Iterable[Event]) -> None:
        """Take in what has been recorded."""
        for event in events:
            if isinstance(event, Began):
                self._begin(event)
            elif event.scope in self._known:
                self._add(event)

    def write(self) -> None:
        """Write what has changed. Raises StorageError."""
        while self._waiting:
            self._write(self._waiting[0])
            self._waiting.pop(0)
        for one in self._files.values():
            if one.dirty:
                self._write(one)
                one.dirty = False

    def _begin(self, event: Began) -> None:
        if event.scope in self._known or (event.scope and len(self._known) > MOST_RUNS):
            return
        self._known[event.scope] = event.at, 0, 0
        self._file(event.scope)

    def _file(self, scope: str) -> _File:
        """The file of a run that grows, which begins if need be."""
        if scope not in self._files:
            at, completed, _ = self._known[scope]
            name = f"events.out.tfevents.{int(at)}.headway.{completed:04d}"
            made = _File("/".join(part for part in (FOLDER, scope, name) if part))
            made.data += event_files.version(at)
            self._files[scope] = made
        return self._files[scope]

    def _add(self, event: Event) -> None:
        scope, file = event.scope, self._file(event.scope)
        at, completed, newest = self._known[scope]
        if isinstance(event, Began):
            return
        if not isinstance(event, Ended):
            newest = event.step
        if event.values:
            file.data += event_files.scalars(event.at, newest, event.values)
            file.points, file.dirty = file.points + 1, True
        self._known[scope] = at, completed, newest
        if file.points >= POINTS_OF_FILE or (scope and isinstance(event, Ended)):
            if file.dirty:
                self._waiting.append(file)
            del self._files[scope]
            self._known[scope] = at, completed + 1, newest

    def _write(self, file: _File) -> None:
        folder = self._store.local_path()
        if folder is None:
            self._store.write(file.path, bytes(file.data))
            return
        try:
            _grow(folder / file.path, bytes(file.data))
        except OSError as error:
            raise StorageError(f"{folder / file.path} cannot be written: {error.strerror or error}") from error


def _grow(path: Path, data: bytes) -> None:
    """Let a file be these bytes. What is there already stays as it is, as TensorBoard may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        stream.seek(0)
        there = stream.read(len(data) + 1)
        if not data.startswith(there):
            stream.truncate(0)
            there = b""
        stream.write(data[len(there) :])
