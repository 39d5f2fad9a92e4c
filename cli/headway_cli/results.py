"""The results of finished runs in the output folder: which files there are Headway's, and how new ones replace them.

Headway replaces and deletes only what it can prove that it wrote: files that its manifest lists, and that still are
what was written. New results are moved there by renames; a journal lets the next command finish what a crash cut short.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import click
from pydantic import ValidationError

from headway_api.base import StatusSection

MANIFEST_FILE = "published.json"
JOURNAL_FILE = "publishing.json"
RESULT_FILE = "result.json"
_CHUNK = 1 << 20
Section = TypeVar("Section", bound=StatusSection)


class ResultFile(StatusSection):
    """A file as Headway wrote it."""

    name: str
    """Its path in the output folder."""
    sha256: str
    """Its digest, in hex."""
    size_bytes: int
    """How long it is."""
    modified_ns: int | None = None
    """Its time of change: a file that still has it and its size is not read again."""


class Manifest(StatusSection):
    """`published.json`: the files of the output folder that are Headway's."""

    files: list[ResultFile]
    """All of them."""


class Journal(StatusSection):
    """`publishing.json`: results that are on their way to the output folder."""

    source: str
    """The run's folder, relative to Headway's."""
    files: list[ResultFile]
    """All results of that run, moved or not."""


class Results:
    """The results in an output folder."""

    def __init__(self, folder: Path, own: Path) -> None:
        """folder: the output folder. own: Headway's folder in it, which exists."""
        self._folder, self._own = folder, own

    def refuse_foreign(self, names: Iterable[str]) -> None:
        """Raise ClickException if one of the names is a file that Headway did not write, or that was changed since."""
        known = self._known()
        for name in names:
            if (what := self._foreign(name, known.get(name, []))) is not None:
                raise click.ClickException(
                    f"{self._folder / name} {what}, and a run that finishes puts its own there: "
                    "move it away, or choose another --output"
                )

    def publish(self, run: Path, names: Sequence[str]) -> None:
        """Move a run's results to the output folder, in the place of an earlier run's; the last name comes last.

        run: the run's folder, in Headway's. Raises ClickException, and changes nothing, where that would replace what
        is not Headway's.
        """
        files = [_digested(run, name) for name in names]
        self.refuse_foreign(names)
        journal = Journal(source=run.relative_to(self._own).as_posix(), files=files)
        write_atomically(self._own / JOURNAL_FILE, journal.model_dump_json(indent=2))
        self._move(journal)

    def complete(self) -> None:
        """Finish what a crash cut short. Raises ClickException where somebody else's file has come in the way."""
        journal = _read(Journal, self._own / JOURNAL_FILE)
        if journal is not None:
            self.refuse_foreign(file.name for file in journal.files)
            self._move(journal)

    def adopt(self) -> None:
        """Take a result.json without a manifest as one: of the files that it lists, those that are what it says.

        So the results of a version that had no manifest, or whose manifest was deleted, can be replaced.
        """
        from headway_trainer.report.model import RunResult

        if (self._own / MANIFEST_FILE).exists():
            return
        result = _read(RunResult, self._folder / RESULT_FILE)
        if result is None or not result.environment.headway:
            return
        listed = [
            ResultFile(name=one.path, sha256=one.sha256, size_bytes=one.size_bytes)
            for one in result.artifacts
            if is_plain(one.path)
        ]
        listed.append(_digested(self._folder, RESULT_FILE))
        self._keep([file for file in listed if self._is(file)])

    def _move(self, journal: Journal) -> None:
        source, new = self._own / journal.source, {file.name for file in journal.files}
        for file in journal.files:
            target = self._folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (source / file.name).exists():
                (source / file.name).replace(target)
        for old in self._manifest():
            if old.name not in new and self._is(old):
                self._delete(old.name)
        self._keep([file for file in journal.files if (self._folder / file.name).exists()])
        (self._own / JOURNAL_FILE).unlink()

    def _keep(self, files: Iterable[ResultFile]) -> None:
        dated = [
            file.model_copy(update={"modified_ns": (self._folder / file.name).stat().st_mtime_ns}) for file in files
        ]
        write_atomically(self._own / MANIFEST_FILE, Manifest(files=dated).model_dump_json(indent=2))

    def _delete(self, name: str) -> None:
        (self._folder / name).unlink()
        for parent in list(PurePosixPath(name).parents)[:-1]:
            if any((self._folder / parent).iterdir()):
                return
            (self._folder / parent).rmdir()

    def _manifest(self) -> list[ResultFile]:
        manifest = _read(Manifest, self._own / MANIFEST_FILE)
        return [] if manifest is None else [file for file in manifest.files if is_plain(file.name)]

    def _known(self) -> dict[str, list[ResultFile]]:
        """What may lie under each name and be Headway's: while results are moved, the old and the new one."""
        journal = _read(Journal, self._own / JOURNAL_FILE)
        known: dict[str, list[ResultFile]] = {}
        for file in [*self._manifest(), *(journal.files if journal is not None else [])]:
            known.setdefault(file.name, []).append(file)
        return known

    def _foreign(self, name: str, written: Sequence[ResultFile]) -> str | None:
        """Why a name may not be replaced; none if it may be."""
        for parent in list(PurePosixPath(name).parents)[-2::-1]:
            folder = self._folder / parent
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                return f"needs the folder {parent}, which is something else there"
        path = self._folder / name
        if not path.is_symlink() and not path.exists():
            return None
        if any(self._is(file) for file in written):
            return None
        return "was changed since Headway wrote it" if written else "was not written by Headway"

    def _is(self, file: ResultFile) -> bool:
        """Whether a file is there and is what was written."""
        path = self._folder / file.name
        if path.is_symlink() or not path.is_file():
            return False
        status = path.stat()
        if status.st_size != file.size_bytes:
            return False
        return status.st_mtime_ns == file.modified_ns or _sha256(path) == file.sha256


def is_plain(name: str) -> bool:
    """Whether a name is a path below a folder, which leads nowhere else."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _read(kind: type[Section], path: Path) -> Section | None:
    """What a file holds; none where there is none that can be read."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _digested(folder: Path, name: str) -> ResultFile:
    path = folder / name
    return ResultFile(name=name, sha256=_sha256(path), size_bytes=path.stat().st_size)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
