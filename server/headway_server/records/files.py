"""Files of records: gzip of JSON lines, begun anew by size and time, and the oldest of the folder taken away."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headway_server.errors import BadModel

MOST_FILE_BYTES = 16 * 1024 * 1024
"""Of a file, as it is compressed."""
MOST_FILE_SECONDS = 3600.0
"""For which a file is written to."""
SUFFIX = ".jsonl.gz"
_OURS = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9.-]{1,64}-\d+-\d+\.jsonl\.gz")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """Writes to a folder that other servers may write to, too. Each write is a whole member of gzip: what was written
    can be read at any time, and after a kill. clock: seconds since 1970."""

    def __init__(self, folder: str, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._folder = Path(folder)
        self._max_bytes = max_bytes
        self._clock = clock
        self._host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"
        self._made = 0
        self._file: int | None = None
        self._size = 0
        self._since = 0.0

    def check(self) -> None:
        """Make the folder. Raises BadModel where nothing can be written to it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadModel(f"records: the folder {self._folder} cannot be made: {error.strerror}") from error
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise BadModel(f"records: the user {os.getuid()} of the server may not write to the folder {self._folder}")

    def write(self, lines: bytes) -> None:
        """Write whole lines, or none of them. Raises OSError."""
        data = gzip.compress(lines, 1)
        if self._file is not None and (
            self._size + len(data) > MOST_FILE_BYTES or self._clock() - self._since > MOST_FILE_SECONDS
        ):
            self.close()
        file = self._open() if self._file is None else self._file
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            # What follows a part of a member could not be read.
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            with contextlib.suppress(OSError):
                self.close()
            raise
        self._size += len(data)

    def close(self) -> None:
        """The next write begins another file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _open(self) -> int:
        self._prune()
        now = self._clock()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        self._made += 1
        name = f"{stamp}-{self._host}-{os.getpid()}-{self._made}{SUFFIX}"
        self._file = os.open(self._folder / name, _FLAGS, 0o640)
        self._size, self._since = 0, now
        return self._file

    def _prune(self) -> None:
        """Take the oldest files away, until there is room for one more."""
        found = sorted(self._ours())
        total = sum(size for _, size in found)
        for path, size in found:
            if total + MOST_FILE_BYTES <= self._max_bytes:
                break
            with contextlib.suppress(FileNotFoundError):  # another server was quicker
                path.unlink()
            total -= size

    def _ours(self) -> Iterator[tuple[Path, int]]:
        """The files of all servers, whose names begin with the time, and their sizes."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        yield Path(entry.path), entry.stat(follow_symlinks=False).st_size
