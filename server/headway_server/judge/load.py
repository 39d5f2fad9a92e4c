"""How busy a deployment's servers are, from what they report: what the operator sets the number of pods by. Pure.

A server tells sums since its process began, so what was told late, twice or not at all changes no more than when it is
known. Who is not heard is not counted: the operator knows how many servers there are, and what to make of that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from headway_api import rollout_wire as wire
from headway_server.judge.beating import Beating
from headway_server.judge.tally import HEARD_SECONDS

MOST_SERVERS = 4096
"""Processes that are kept apart; of more, those that were heard last are not counted."""
_MATERIAL = 0.05
"""What a load has to change by to be told before its time: so much of itself, or so many requests."""


@dataclass(slots=True)
class _Server:
    """A process."""

    version: int
    asked: int
    held: int | None = None
    samples: deque[tuple[float, float]] = field(default_factory=deque)
    """When it was heard, and its sum of seconds then: of the time that is averaged over, and one from before."""

    @property
    def last(self) -> float:
        """When it was heard last."""
        return self.samples[-1][0]

    def add(self, now: float, busy: float) -> None:
        """It is heard."""
        if self.samples and busy < self.samples[-1][1]:
            return  # A word that comes late.
        self.samples.append((now, busy))
        while len(self.samples) > 2 and self.samples[1][0] <= now - wire.LOAD_AVERAGE_SECONDS:  # noqa: PLR2004 - two make a mean
            self.samples.popleft()

    @property
    def mean(self) -> float | None:
        """Requests in flight; None as long as it was heard only once."""
        (first, before), (last, busy) = self.samples[0], self.samples[-1]
        return (busy - before) / (last - first) if last > first else None


class Loads:
    """Of all servers of a deployment, whatever their version."""

    def __init__(self, now: float) -> None:
        """now: nothing is known of the time before, so requests may have come up to then."""
        self._servers: dict[str, _Server] = {}
        self._versions: set[int] = set()
        self._active = now
        self._words = Beating[wire.Load](wire.KEY_LOAD)

    def report(self, report: wire.Report, now: float) -> None:
        """A server's word. Those of before tell nothing of this."""
        if report.busy_seconds is None:
            return
        server = self._servers.get(report.boot)
        if server is None:
            self._forget(now)
            if len(self._servers) >= MOST_SERVERS:
                return
            server = self._servers[report.boot] = _Server(report.version, 0)
        before = server.samples[-1][1] if server.samples else 0.0
        if (
            report.asked > server.asked
            or report.busy_seconds > before
            or (report.held is None and report.version not in self._versions)
            or report.held
        ):
            self._active = now
        if report.held is None:
            self._versions.add(report.version)
        server.asked, server.held = max(server.asked, report.asked), report.held
        server.add(now, report.busy_seconds)

    def word(self, uid: str, now: float) -> wire.Load:
        """What is known now."""
        self._forget(now)
        holders = [server.held for server in self._servers.values() if server.held is not None]
        self._versions = {server.version for server in self._servers.values() if server.held is None}
        newest = sorted(self._versions, reverse=True)[: wire.MOST_LOADS]
        versions = [_of(version, self._servers.values()) for version in sorted(newest)]
        quiet = int(max(0.0, now - self._active))
        return wire.Load(uid=uid, versions=versions, held=sum(holders), holders=len(holders), quiet_seconds=quiet)

    def urgent(self) -> bool:
        """Whether somebody waits for a server, and the operator has not been told."""
        written = self._words.written
        told = written is not None and written.held > 0
        return not told and any(server.held for server in self._servers.values())

    def due(self, uid: str, told_by: str | None, now: float, *, last: bool = False) -> dict[str, str]:
        """What is to be written now; nothing where that has time."""
        self._words.drop()
        word, ago = self.word(uid, now), now - self._words.written_at
        changed = _changed(word, self._words.written)
        beats = bool(word.versions) and ago >= wire.LOAD_BEAT_SECONDS
        beats = beats or (word.held > 0 and ago >= wire.LOAD_HELD_SECONDS)
        if not (self.urgent() or beats or (changed and (last or ago >= wire.LOAD_CHANGES_SECONDS))):
            return {}
        return self._words.offer(word, told_by)

    def wrote(self, now: float) -> None:
        """What was due last is written."""
        self._words.wrote(now)

    def begin(self, beat: int) -> None:
        """What was written before this process has this number."""
        self._words.begin(beat)

    def _forget(self, now: float) -> None:
        """Servers that are not heard any more are not there."""
        gone = [boot for boot, server in self._servers.items() if now - server.last > HEARD_SECONDS]
        for boot in gone:
            del self._servers[boot]


def _of(version: int, servers: Iterable[_Server]) -> wire.VersionLoad:
    means = [server.mean for server in servers if server.version == version and server.held is None]
    known = [mean for mean in means if mean is not None]
    return wire.VersionLoad(version=version, servers=len(known), in_flight=round(sum(known), 3))


def _changed(word: wire.Load, before: wire.Load | None) -> bool:
    """Whether the operator would want to know."""
    if before is None:
        return True
    if (word.holders, bool(word.held)) != (before.holders, bool(before.held)):
        return True
    old = {each.version: each for each in before.versions}
    if old.keys() != {each.version for each in word.versions}:
        return True
    return any(_differs(each, old[each.version]) for each in word.versions)


def _differs(one: wire.VersionLoad, other: wire.VersionLoad) -> bool:
    change = abs(one.in_flight - other.in_flight)
    return one.servers != other.servers or change > max(_MATERIAL, _MATERIAL * other.in_flight)


def load_beat(text: str) -> int:
    """The number of the word that was written last; 0 where there is none."""
    try:
        return wire.Load.model_validate_json(text).beat
    except ValidationError:
        return 0
