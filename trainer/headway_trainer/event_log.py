"""A log of events on a run's storage: JSON lines in segments, each of them a file that is written as a whole.

An object store cannot append, so the newest segment is written again with each event until it is full. An attempt
writes segments of its own. The first line of a segment says how many events come before it: what an attempt wrote
after the next one had read the log is told from that, and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from headway_api.base import StatusSection
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

SEGMENT_BYTES = 32 * 2**10
"""A segment that has come to this size is full."""
_NAME = re.compile(r"^events-(\d{1,9})-(\d{1,9})\.jsonl$")
Kind = TypeVar("Kind", bound=StatusSection)


class SegmentHeader(StatusSection):
    """The first line of a segment."""

    version: int = 1
    after: int = Field(ge=0)
    """How many events come before its first."""


class Place(StatusSection):
    """How far a log has been read: all lines of earlier segments, and so many events of this one."""

    attempt: int = 0
    segment: int = 0
    events: int = 0


class Events(Generic[Kind]):
    """The events of one kind of a run. One attempt at a time writes, from one thread."""

    folder: str
    """Where it is, in the run's folder."""
    what: str
    """What an event is an event of, in words."""
    whose: str
    """What the log is the log of, in words."""
    adapter: TypeAdapter[Kind]

    def __init__(self, store: Store, attempt: int) -> None:
        """store: the folder of the run. attempt: this one's number, larger than those of attempts before."""
        self._store, self._attempt = store, attempt
        self._segment, self._lines, self._size = 0, list[str](), 0
        self._count: int | None = None

    def read(self) -> list[Kind]:
        """All events so far, in order. Raises UserError for a segment that is damaged or foreign, and StorageError."""
        events: list[Kind] = []
        seen = -1
        for attempt, segment, name in self._segments():
            header, own = self._read_segment(name)
            if attempt != seen and header.after <= len(events):
                del events[header.after :]
            if header.after != len(events):
                raise self._damaged(name, f"it follows {header.after} events, and there are {len(events)} before it")
            events += own
            seen = attempt
            if attempt == self._attempt:
                self._segment = max(self._segment, segment)
        self._count = len(events)
        return events

    def read_on(self, place: Place) -> Iterator[tuple[Place, list[Kind]]]:
        """The events after a place, segment by segment, each with the place after them. Those that the writer leaves
        out are among them. Raises as `read`."""
        for attempt, segment, name in self._segments():
            if (attempt, segment) < (place.attempt, place.segment):
                continue
            skipped = place.events if (attempt, segment) == (place.attempt, place.segment) else 0
            _, events = self._read_segment(name)
            if len(events) > skipped:
                yield Place(attempt=attempt, segment=segment, events=len(events)), events[skipped:]

    def count_after(self, place: Place) -> int:
        """How many events come after a place, by the headers of two segments: a long log is not read for it. Where an
        attempt wrote after the next one had begun, it may be some others, but 0 is 0. Raises as `read`."""
        segments = self._segments()
        if not segments or segments[-1][:2] < (place.attempt, place.segment):
            return 0
        attempt, segment, name = segments[-1]
        header, events = self._read_segment(name)
        if (attempt, segment) == (place.attempt, place.segment):
            return max(0, len(events) - place.events)
        known = [each for *at, each in segments if at == [place.attempt, place.segment]]
        before = self._read_segment(known[0])[0].after + place.events if known else 0
        return max(1, header.after + len(events) - before)

    def append(self, *events: Kind) -> None:
        """Add events, in one write; they are durable when this returns. Raises StorageError, and then none is there."""
        if self._count is None:
            self.read()
        count = self._count or 0
        added = [event.model_dump_json() for event in events]
        if not self._lines or self._size + sum(map(len, added)) > SEGMENT_BYTES:
            lines, segment = [SegmentHeader(after=count).model_dump_json(), *added], self._segment + 1
        else:
            lines, segment = [*self._lines, *added], self._segment
        self._store.write(f"{self.folder}/{_name(self._attempt, segment)}", ("\n".join(lines) + "\n").encode())
        self._lines, self._segment, self._count = lines, segment, count + len(events)
        self._size = sum(len(one) + 1 for one in lines)

    def _segments(self) -> list[tuple[int, int, str]]:
        """Attempt, number and name of each, in order."""
        found = []
        for name in self._store.list(self.folder):
            if match := _NAME.match(name):
                found.append((int(match[1]), int(match[2]), name))
            elif name.endswith(".jsonl"):
                raise self._damaged(name, "it is no segment of the log")
        return sorted(found)

    def _read_segment(self, name: str) -> tuple[SegmentHeader, list[Kind]]:
        text = self._store.read(f"{self.folder}/{name}")
        lines = text.split(b"\n")
        if lines.pop() or not lines:
            raise self._damaged(name, "its last line has no end")
        try:
            header = SegmentHeader.model_validate_json(lines[0])
        except ValidationError:
            raise self._damaged(name, "its first line is no header") from None
        if header.version != 1:
            raise self._damaged(name, f"it is of version {header.version}, which this version of headway cannot read")
        events: list[Kind] = []
        for number, line in enumerate(lines[1:], 2):
            try:
                events.append(self.adapter.validate_json(line))
            except ValidationError:
                raise self._damaged(name, f"its line {number} is no event of {self.what}") from None
        return header, events

    def _damaged(self, name: str, why: str) -> UserError:
        uri = self._store.child(self.folder, name).uri
        return UserError(f"{uri}: {why}: the log of {self.whose} is damaged; put the file back, or begin a new job")


def _name(attempt: int, segment: int) -> str:
    return f"events-{attempt:04d}-{segment:06d}.jsonl"
