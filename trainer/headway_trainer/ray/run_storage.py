"""The run's own folder as the file system that Ray Tune keeps an experiment on.

Ray Tune pickles the file system with the experiment, onto that same storage, and sends it to every trial. So it pickles
as the folder's URI and the place of its Secret, never as credentials, and each process opens it anew. What an attempt
writes is refused once a newer one has begun, and on a local path a reader sees either none of a file or all of it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import time
from typing import Any

import pyarrow as pa
from pyarrow import fs
from ray.train._internal import storage as rays

from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints

FENCE_SECONDS = 5.0
"""How long it may take an attempt that was replaced to notice that: its writes ask no more often."""


_attempts: dict[str, int] = {}
"""The attempt that this process works for, by the URI of its run's folder."""


class RunFolder(fs.FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """The file system that a run's folder is on, for one attempt of the run."""

    def __init__(self, uri: str, secret_dir: str | None, attempt: int) -> None:
        """uri: the run's folder. Raises UserError for a URI that cannot be meant, and StorageError."""
        self._described = (uri, secret_dir, attempt)
        self._store = Store.open(uri, secret_dir)
        self._inner = self._store.filesystem
        self._checkpoints = Checkpoints(self._store, attempt)
        self._asked_at = float("-inf")

    @property
    def base(self) -> str:
        """The run's folder as a path on this file system."""
        return self._store.base

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, self._described

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunFolder) and self._described == other._described

    def __hash__(self) -> int:
        return hash(self._described)

    def get_type_name(self) -> str:
        """What messages call it."""
        return f"headway+{self._inner.type_name}"

    def normalize_path(self, path: str) -> str:
        """As the file system that the folder is on; so are all that follow."""
        return str(self._inner.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        """Of each path."""
        return list(self._inner.get_file_info(paths))

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        """Of what is in a folder."""
        return list(self._inner.get_file_info(selector))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """For reading."""
        return self._inner.open_input_stream(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        """For reading with seeks."""
        return self._inner.open_input_file(path)

    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.NativeFile:
        """For writing. Raises StorageError where a newer attempt has begun."""
        self._refuse_if_fenced()
        if isinstance(self._inner, fs.LocalFileSystem):
            return pa.PythonFile(_WholeFile(path), mode="w")
        return self._inner.open_output_stream(path, metadata=metadata)

    def open_append_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.NativeFile:
        """For writing at the end. Raises StorageError where a newer attempt has begun."""
        self._refuse_if_fenced()
        return self._inner.open_append_stream(path, metadata=metadata)

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder."""
        self._inner.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        """Raises StorageError where a newer attempt has begun; so do those that follow."""
        self._refuse_if_fenced()
        self._inner.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Empty a folder."""
        self._refuse_if_fenced()
        self._inner.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        """Never: the whole storage is not the run's."""
        raise PermissionError("the storage of a run is not to be emptied")

    def delete_file(self, path: str) -> None:
        """Delete a file."""
        self._refuse_if_fenced()
        self._inner.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        """Move a file or a folder."""
        self._refuse_if_fenced()
        self._inner.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file."""
        self._refuse_if_fenced()
        self._inner.copy_file(src, dest)

    def _refuse_if_fenced(self) -> None:
        now = time.monotonic()
        if now - self._asked_at >= FENCE_SECONDS:
            self._checkpoints.refuse_if_fenced()
            self._asked_at = now


class _WholeFile(io.RawIOBase):
    """A local file that comes to be when it is closed."""

    def __init__(self, path: str) -> None:
        self._ending = contextlib.ExitStack()
        self._stream = self._ending.enter_context(Store(fs.LocalFileSystem(), "/", "/").open_output(path))

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write bytes; how many they are."""
        return self._stream.write(data)

    def close(self) -> None:
        """Let the file be there."""
        if not self.closed:
            super().close()
            self._ending.close()


def run_file_system(uri: str, secret_dir: str | None, attempt: int) -> tuple[fs.PyFileSystem, str]:
    """The file system of a run's folder for Ray Tune, and the folder's path on it. Raises UserError and StorageError.

    A process that holds one copies files to it one at a time: Arrow's threads wait for each other where all of them
    write to S3, for which Ray makes the same exception of its own.
    """
    folder = RunFolder(uri, secret_dir, attempt)
    _attempts[uri] = attempt
    _copy_one_at_a_time()
    return fs.PyFileSystem(folder), folder.base


def _opened(uri: str, secret_dir: str | None, attempt: int) -> RunFolder:
    """As it was pickled. But what an attempt restores of the one before it is its own: a searcher that was restored
    gives its next trials the file system that it was pickled with."""
    _copy_one_at_a_time()
    return RunFolder(uri, secret_dir, max(attempt, _attempts.get(uri, 0)))


def _copy_one_at_a_time() -> None:
    copy = rays._pyarrow_fs_copy_files
    if getattr(copy, "headways", False):
        return

    @functools.wraps(copy)
    def one_at_a_time(source: Any, destination: Any, *filesystems: Any, **options: Any) -> Any:
        target = options.get("destination_filesystem", filesystems[1] if len(filesystems) > 1 else None)
        if isinstance(target, fs.PyFileSystem) and isinstance(target.handler, RunFolder):
            options.setdefault("use_threads", False)
        return copy(source, destination, *filesystems, **options)

    one_at_a_time.headways = True  # type: ignore[attr-defined]  # so that it is done once
    rays._pyarrow_fs_copy_files = one_at_a_time
