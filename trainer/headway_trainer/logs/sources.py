"""Whose output a line is, and what the files are called that it goes to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

GROUPS_KEPT = 20
"""Of the process groups of an attempt, and of the pods that had a worker's place: the first one's and the newest
ones' files stay."""
_FILE = re.compile(r"(?P<name>driver|rank-\d+|pod-[a-z0-9.-]+?)(?:\.(?P<group>\d{3,})-(?P<part>\d{5,}))?\.log")
_REPLACEMENT = re.compile(r"(?P<place>pod-.+)-(?P<number>\d+)")
_MARK = ":headway_rank:"


class Source(NamedTuple):
    """A process whose output is kept by itself."""

    name: str
    """`driver`, `rank-R`, or `pod-NAME` for a pod's main process and for what has no rank yet."""
    group: int = 0
    """Which process group of the attempt, counted from 0: after a loss, a rank is another process."""

    def file(self, part: int) -> str:
        """The name of a part's file, counted from 0. `NAME.log NAME.*.log` of a shell are all parts in order."""
        return f"{self.name}.log" if (self.group, part) == (0, 0) else f"{self.name}.{self.group:03d}-{part:05d}.log"


DRIVER = Source("driver")


def rank(number: int, group: int = 0) -> Source:
    """A training process."""
    return Source(f"rank-{number}", group)


def pod(name: str) -> Source:
    """A worker pod's main process."""
    return Source(f"pod-{name}")


def mark(number: int, group: int) -> str:
    """The line by which a process says, in its own output, that it is this rank of this group from there on."""
    return f"{_MARK}{number}:{group}\n"


def marked(line: bytes) -> Source | None:
    """The source that a line names by a mark; none for any other line."""
    if not line.startswith(_MARK.encode()):
        return None
    number, _, group = line.decode(errors="replace").removeprefix(_MARK).partition(":")
    return rank(int(number), int(group)) if number.isdecimal() and group.isdecimal() else None


def is_ours(name: str) -> bool:
    """Whether a file in an attempt's folder is one that this package writes."""
    return _FILE.fullmatch(name) is not None


def expired(names: Iterable[str]) -> list[str]:
    """The files of an attempt that have to make room: of groups and pods that were replaced long ago."""
    matches = {name: match for name in names if (match := _FILE.fullmatch(name))}
    newest = max((int(match["group"] or 0) for match in matches.values()), default=0)
    places: dict[str, int] = {}
    for match in matches.values():
        if replacement := _REPLACEMENT.fullmatch(match["name"]):
            place, number = replacement["place"], int(replacement["number"])
            places[place] = max(places.get(place, 0), number)
    return sorted(name for name, match in matches.items() if _is_expired(match, newest, places))


def _is_expired(match: re.Match[str], newest: int, places: dict[str, int]) -> bool:
    group = int(match["group"] or 0)
    if replacement := _REPLACEMENT.fullmatch(match["name"]):
        group, newest = int(replacement["number"]), places[replacement["place"]]
    return 0 < group <= newest - GROUPS_KEPT
