"""What training processes print: Ray keeps it in files, from which it goes to the output of the pod that they run in,
to the head's, and to the storage.

However much they print, training goes on, and neither memory, nor the pod's disk, nor the node's log is filled: what is
more than RATE is left out, with a line that counts it, and files are cut once they have been copied.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from headway_trainer.logs.sources import Source, marked

PERIOD_SECONDS = 0.1
RATE = 2**20
"""Bytes a second that are copied of what is printed for long."""
BURST = 8 * RATE
"""Bytes that may come at once."""
KEEP_BYTES = 32 * 2**20
"""A file that is longer is cut to nothing once it has been copied: its writer appends, so it goes on from there."""
TOLD_SECONDS = 10.0
"""How often the bytes that were left out are told."""
CLOSE_SECONDS = 5.0
"""How long the last lines may take on their way."""
_LINE_BYTES = 64 * 2**10
"""What is longer, and has no end yet, is copied in pieces."""
_FILES = ("worker-*.out", "worker-*.err")
_MARKS = (b":job_id:", b":actor_name:", b":task_name:")
"""Lines that Ray writes for its own log monitor."""


class Follower:
    """Copies new whole lines of the files in a folder of Ray's logs to a stream, in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        stream: TextIO = sys.stdout,
        *,
        relay: Callable[[list[str]], None] = lambda _: None,
        keep: Callable[[Source | None, list[str]], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """relay, keep: are given the copied lines, too, without their ends; keep with the rank that they are of, as far
        as that is known."""
        self._folder, self._stream, self._relay, self._keep, self._clock = folder, stream, relay, keep, clock
        self._read: dict[Path, int] = {}
        self._sources: dict[Path, Source] = {}
        self._budget, self._filled_at = BURST, clock()
        self._left_out, self._told_at = 0, -TOLD_SECONDS
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-log-follower", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def close(self) -> None:
        """Copy what is left, and end; at once where nobody takes what is copied."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self.copy(rest=True)

    def copy(self, *, rest: bool = False) -> None:
        """Copy what is new; with rest, also a line that has no end yet."""
        now = self._clock()
        self._budget = min(BURST, self._budget + int(RATE * (now - self._filled_at)))
        self._filled_at = now
        for pattern in _FILES:
            for path in sorted(self._folder.glob(pattern)):
                self._copy(path, rest=rest)
        if self._left_out and (rest or now - self._told_at >= TOLD_SECONDS):
            told = f"[headway] {self._left_out} bytes of output were left out: too much for the log"
            print(told, file=self._stream)
            self._keep(None, [told])
            self._left_out, self._told_at = 0, now
        self._stream.flush()

    def _run(self) -> None:
        while not self._closing.wait(PERIOD_SECONDS):
            self.copy()

    def _copy(self, path: Path, *, rest: bool) -> None:
        start = self._read.get(path, 0)
        try:
            with path.open("r+b") as file:
                size = file.seek(0, 2)
                file.seek(start)
                data = file.read(min(size - start, self._budget))
                too_much = size - start > len(data)
                whole = rest or too_much or len(data) > _LINE_BYTES
                end = len(data) if whole else data.rfind(b"\n") + 1
                self._left_out += size - start - len(data)
                self._read[path] = size if too_much else start + end
                if size > KEEP_BYTES and self._read[path] == size:
                    file.truncate(0)
                    self._read[path] = 0
        except OSError:
            return
        self._budget -= end
        for source, lines in self._told(path, data[:end].splitlines()):
            self._stream.writelines(f"{line}\n" for line in lines)
            self._keep(source, lines)
            self._relay(lines)  # last: a head that is gone takes its time

    def _told(self, path: Path, lines: list[bytes]) -> Iterator[tuple[Source | None, list[str]]]:
        """The lines that are not Ray's or ours, with whose they are."""
        told: list[str] = []
        for line in lines:
            if (source := marked(line)) is not None:
                if told:
                    yield self._sources.get(path), told
                self._sources[path], told = source, []
            elif not line.startswith(_MARKS):
                told.append(line.decode(errors="replace"))
        if told:
            yield self._sources.get(path), told
