"""The files in which an attempt's logs are kept, and lines as they may reach a terminal. Pure.

`headway_trainer.logs` writes them: a source's log is cut into parts, of which the newest grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from headway_api.wording import printable

DRIVER = "driver"
ALL = "all"
_FILE = re.compile(
    r"(?P<name>driver|rank-\d{1,9}|pod-[a-z0-9.-]{1,253}?)(?:\.(?P<group>\d{3,9})-(?P<part>\d{5,9}))?\.log", re.ASCII
)
MOST_LINE_BYTES = 1 << 20
"""A log that never ends a line is a tenant's to write, and is not to fill anybody's memory."""
_SGR = re.compile(r"\x1b\[[0-9;]*m")
"""Colours: they would be harmless, but for what they leave behind."""


@dataclass(frozen=True, order=True)
class Part:
    """A file: a part of what a source has printed."""

    source: str
    """`driver`, `rank-R` or `pod-NAME`."""
    group: int
    """Which process group of the attempt, counted from 0."""
    number: int
    """Counted from 0."""
    file: str
    """Its name, which can lead nowhere else."""


def part_of(name: str) -> Part | None:
    """The part that a file is; None for a file that is none."""
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    return Part(match["name"], int(match["group"] or 0), int(match["part"] or 0), name)


def parts(names: Iterable[str]) -> dict[str, list[Part]]:
    """The parts of each source in order; the sources in the order driver, ranks, pods."""
    found: dict[str, list[Part]] = {}
    for part in sorted(part for name in names if (part := part_of(name)) is not None):
        found.setdefault(part.source, []).append(part)
    return {source: found[source] for source in sorted(found, key=_place)}


def wanted(sources: Iterable[str], rank: str | None) -> list[str]:
    """The sources that are meant. rank: a number, `all` for each rank, or None for the driver."""
    if rank is None:
        return [source for source in sources if source == DRIVER]
    if rank == ALL:
        return [source for source in sources if source.startswith("rank-")]
    return [source for source in sources if source == f"rank-{int(rank)}"]


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole lines of what was read, and what follows them; what is longer than MOST_LINE_BYTES comes in pieces."""
    *lines, rest = data.split(b"\n")
    while len(rest) > MOST_LINE_BYTES:
        lines.append(rest[:MOST_LINE_BYTES])
        rest = rest[MOST_LINE_BYTES:]
    return lines, rest


def label(source: str) -> str:
    """What stands before a source's lines: `[2] `; nothing for the driver."""
    return f"[{source.removeprefix('rank-')}] " if source != DRIVER else ""


def harmless(line: str, most: int | None = None) -> str:
    """A line for a terminal: without colours, of a progress bar its last state, and nothing in it steers anything.

    most: characters that are looked at of such a state.
    """
    plain = (_SGR.sub("", piece[:most]) for piece in reversed(line.split("\r")))
    shown = next(filter(None, plain), "")
    return "\t".join(map(printable, shown.split("\t")))


def _place(source: str) -> tuple[int, int, str]:
    if source == DRIVER:
        return 0, 0, ""
    if source.startswith("rank-"):
        return 1, int(source.removeprefix("rank-")), ""
    return 2, 0, source
