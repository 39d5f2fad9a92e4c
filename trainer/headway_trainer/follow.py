"""What training processes print, on the output of the pod that they run in: Ray keeps it in files."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TextIO

PERIOD_SECONDS = 0.5
_FILES = ("worker-*.out", "worker-*.err")
_MARKS = (b":job_id:", b":actor_name:", b":task_name:")
"""Lines that Ray writes for its own log monitor."""


class Follower:
    """Copies new whole lines of the files in a folder of Ray's logs to a stream, in a thread of its own."""

    def __init__(self, folder: Path, stream: TextIO = sys.stdout) -> None:
        self._folder, self._stream = folder, stream
        self._read: dict[Path, int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-follow", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def close(self) -> None:
        """Copy what is left, and end."""
        self._closing.set()
        self._thread.join()
        self.copy(rest=True)

    def copy(self, *, rest: bool = False) -> None:
        """Copy what is new; with rest, also a line that has no end yet."""
        for pattern in _FILES:
            for path in sorted(self._folder.glob(pattern)):
                self._copy(path, rest=rest)
        self._stream.flush()

    def _run(self) -> None:
        while not self._closing.wait(PERIOD_SECONDS):
            self.copy()

    def _copy(self, path: Path, *, rest: bool) -> None:
        start = self._read.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read()
        except OSError:
            return
        end = len(data) if rest else data.rfind(b"\n") + 1
        self._read[path] = start + end
        lines = [line for line in data[:end].splitlines() if not line.startswith(_MARKS)]
        self._stream.writelines(f"{line.decode(errors='replace')}\n" for line in lines)
