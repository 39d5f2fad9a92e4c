"""The points of a job's own run in the record that trackers follow: `tracking/` of the job's folder.

The record is JSON lines in segments, as `headway_trainer.event_log` writes them; each is read once, but for those that
still grow. What stands there is the job's own word.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import at, numbers, text, whole
from headway_cli.cluster.folders import Folder, pieces
from headway_cli.cluster.samples import Point, Series, short

FOLDER = "tracking"
MOST_SEGMENTS = 128
"""The newest that are read: together 4 MiB, of one run more than 10,000 points."""
MOST_BYTES = 4 << 20
"""Of a segment: a job begins another one after 32 KiB, and 200 lines, of at most 64 numbers with long names."""
MOST_OF_ALL = 8 << 20
"""Bytes of the segments that are read, the newest first: what is kept of them takes ten times as much."""
VERSION = 1
"""Of the format, as `headway_trainer.event_log` has it."""
MOST_SERIES = 24
MOST_VALUES = 64
"""Of a point, as a job records them."""
_LEFT_OUT = frozenset({"epoch", "epoch_seconds"})
"""What is told of epochs and is no curve."""
_NAME = re.compile(r"events-(\d{1,9})-(\d{1,9})\.jsonl")
_Numbers = tuple[int, dict[str, float]]


@dataclass(frozen=True)
class _Segment:
    size: int
    after: int
    """How many lines of the record come before it."""
    points: tuple[_Numbers | None, ...]
    """Of each line the step and the numbers; None for one that is no point of the job's own run."""


@dataclass
class Recorded:
    """What was read of a record. For one thread at a time."""

    series: Series = field(default_factory=dict)
    """Of the job's own run, as far as it was read."""
    cut: bool = False
    """Whether there is more than is read."""
    failed: datetime | None = None
    problem: str = ""
    """When it could not be read, if it was so the last time, and why."""
    _segments: dict[str, _Segment] = field(default_factory=dict)

    def read(self, folder: Folder) -> None:
        """Take in what is new in the folder. Raises ClusterError."""
        sizes = folder.files()
        names = sorted((name for name in sizes if _NAME.fullmatch(name)), key=_place)
        known, found, total = self._segments, dict[str, _Segment](), 0
        for name in reversed(names[-MOST_SEGMENTS:]):
            same = name in known and known[name].size == sizes[name]
            one = known[name] if same else _segment(folder, name)
            total += one.size  # which is what was read, whatever was said of its size
            if total > MOST_OF_ALL:
                break
            found[name] = one
        self.cut, self._segments = len(found) < len(names), dict(reversed(found.items()))
        self.series = self._joined()

    def _joined(self) -> Series:
        """Each step once: what an attempt wrote after the next one had read the record is none of it."""
        lines: list[_Numbers | None] = []
        first: int | None = None
        attempt = -1
        for name, one in self._segments.items():
            first = one.after if first is None else first
            if _place(name)[0] != attempt:
                del lines[max(0, one.after - first) :]
                attempt = _place(name)[0]
            lines += one.points
        found: dict[str, dict[float, float]] = {}
        for step, values in filter(None, lines):
            for key, value in values.items():
                if key in found or len(found) < MOST_SERIES:
                    found.setdefault(key, {})[step] = value
        return {key: list[Point](sorted(points.items())) for key, points in found.items()}


def united(history: Series, recorded: Series) -> Series:
    """The points of both by their steps; where both have one, the history's."""
    return {
        name: sorted((dict(recorded.get(name, [])) | dict(history.get(name, []))).items())
        for name in dict.fromkeys([*history, *recorded])
    }


def _place(name: str) -> tuple[int, int]:
    attempt, segment = name.removeprefix("events-").removesuffix(".jsonl").split("-")
    return int(attempt), int(segment)


def _segment(folder: Folder, name: str) -> _Segment:
    data = b"".join(pieces(folder, name, MOST_BYTES + 1))
    if len(data) > MOST_BYTES:
        raise ClusterError(f"{FOLDER}/{name} has more than {MOST_BYTES >> 20} MiB: a job has not written that")
    first, *lines = data.split(b"\n")[:-1] or [b""]
    head = _parsed(first)
    after, version = whole(head, "after"), at(head, "version")
    if after is None:
        raise ClusterError(f"{FOLDER}/{name} is no part of a record")
    if version not in (None, VERSION):
        raise ClusterError(
            f"{FOLDER}/{name} is of another version of Headway ({str(version)[:20]!r}): install the one that the job's "
            "image has"
        )
    return _Segment(len(data), max(0, after), tuple(_numbers(_parsed(line)) for line in lines))


def _numbers(event: Any) -> _Numbers | None:
    step = whole(event, "step")
    if text(event, "do") != "point" or at(event, "scope") != "" or step is None:
        return None
    values: Mapping[str, float] = numbers(event, "values")
    shown = islice(((name, value) for name, value in values.items() if name not in _LEFT_OUT), MOST_VALUES)
    return step, {sys.intern(short(name)): value for name, value in shown}


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
