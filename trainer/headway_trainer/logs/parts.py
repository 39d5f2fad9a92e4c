"""One source's lines, cut into parts that are files of bounded size. Pure: somebody else writes them.

Object stores cannot append, so the newest part is written again as it grows, and a new one begins when it is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

PART_BYTES = 256 * 2**10
PARTS_KEPT = 64
"""Parts of a source that stay on the storage: its first, and the newest others. 16 MiB in all."""
PARTS_WAITING = 8
"""Full parts of a source that may wait in memory for the storage."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it is to be written."""

    number: int
    """Counted from 0."""
    text: bytes
    lines: int
    """Lines that begin in it."""
    full: bool
    """Whether nothing will be added to it."""
    saved: int = 0
    """Of these, those that the storage has already."""
    missing: int = 0
    """Lines directly before it that were left out."""

    @property
    def data(self) -> bytes:
        """What its file holds."""
        if not self.missing:
            return self.text
        told = f"[headway] {self.missing} lines are missing here: the storage did not take them in time\n"
        return told.encode() + self.text


class Parts:
    """The lines of one source on their way. Not for two threads at once."""

    def __init__(self) -> None:
        self.lost = 0
        """Lines that were left out, because the storage did not take them in time."""
        self._waiting: deque[Part] = deque()
        self._number = 0
        self._newest = bytearray()
        self._lines = 0
        self._written = self._saved = 0
        """Bytes and lines of the newest part that are on the storage."""
        self._deleted = 0
        """The last part that had to make room."""

    def add(self, lines: Iterable[str]) -> None:
        """Take lines in, without their ends. They stay whole, but for those that are longer than a part."""
        for line in lines:
            self._add(line.encode(errors="replace") + b"\n")

    def _add(self, data: bytes) -> None:
        if len(self._newest) + len(data) > PART_BYTES:
            self._seal()
        self._lines += 1
        while len(data) > PART_BYTES:
            self._newest += data[:PART_BYTES]
            data = data[PART_BYTES:]
            self._seal()
        self._newest += data

    def _seal(self) -> None:
        if len(self._newest) > self._written:
            self._waiting.append(Part(self._number, bytes(self._newest), self._lines, full=True, saved=self._saved))
        if self._newest:
            self._number, self._lines, self._written, self._saved = self._number + 1, 0, 0, 0
            self._newest.clear()
        self._make_room()

    def _make_room(self) -> None:
        """Leave the oldest part out, where too many wait; the one after it tells."""
        if len(self._waiting) > PARTS_WAITING:
            oldest = self._waiting.popleft()
            left_out = oldest.lines - oldest.saved
            self.lost += left_out
            after = self._waiting[0]
            self._waiting[0] = replace(after, missing=after.missing + oldest.missing + left_out)

    @property
    def has_full(self) -> bool:
        """Whether a full part waits."""
        return bool(self._waiting)

    @property
    def is_due(self) -> bool:
        """Whether there is anything that the storage does not have."""
        return bool(self._waiting) or len(self._newest) > self._written

    def take(self) -> Part | None:
        """The next part to write: the oldest full one, or the newest as far as it goes. written() or failed() has to
        follow."""
        if self._waiting:
            return self._waiting.popleft()
        if len(self._newest) > self._written:
            return Part(self._number, bytes(self._newest), self._lines, full=False)
        return None

    def written(self, part: Part) -> list[int]:
        """A part is on the storage; the numbers of those that have to make room for it."""
        if part.number == self._number:
            self._written, self._saved = len(part.text), part.lines
        elif not part.full and self._waiting and self._waiting[0].number == part.number:
            self._waiting[0] = replace(self._waiting[0], saved=part.lines)  # it was filled meanwhile
        expired = range(self._deleted + 1, part.number - PARTS_KEPT + 2)
        self._deleted += len(expired)
        return list(expired)

    def failed(self, part: Part) -> None:
        """A part could not be written: it waits again, if there is room."""
        if part.full:  # else it is still here
            self._waiting.appendleft(part)
            self._make_room()
