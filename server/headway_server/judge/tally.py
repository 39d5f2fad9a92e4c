"""What servers counted of a rollout, summed: told in any order, twice, late, or by servers that are gone. Pure.

A server tells totals since its process began, so of two words of one process the larger one holds, number by number.
Times are the caller's clock, in seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate

from headway_api import rollout_wire as wire
from headway_server.judge.gates import Counts, Step
from headway_server.judge.units import FirstEvents

HEARD_SECONDS = 5.0
"""A server that was heard within these is there."""
DEPARTED_SECONDS = 60.0
"""A server that was not heard for so long may be forgotten where there is no room: its sums stay."""
MOST_BOOTS = 2048
"""Processes whose counts are kept apart."""
MOST_GONE = 1000
"""Processes of which is known that their counts are in the sums for good."""
SLOW_REQUESTS = 500
"""So many requests of the stable version tell what is slow."""
SLOW_QUANTILE = 0.99

Row = tuple[int, ...]
"""Counts of an epoch: four each of the stable version, of the candidate, and of the stable version's part of what was
mirrored; then how many were compared, and how many of these differed."""
ROW = 14
_NONE: Row = (0,) * ROW


@dataclass(frozen=True, slots=True)
class Epoch:
    """How requests were split in an epoch."""

    mode: wire.Mode
    share: float
    baking: bool
    sure: bool
    """Whether the route said so, and not only reports."""
    gateway: bool = False
    """Whether a gateway split, and both versions' servers counted."""


@dataclass(slots=True)
class Boot:
    """A server's process."""

    last: float
    """When it was heard last."""
    version: int = 0
    epoch: int = 0
    breaker_open: bool = False
    gateway: bool = False
    """Whether it leaves the drawing to a gateway."""
    rows: dict[int, Row] = field(default_factory=dict)
    """By epoch."""
    seconds: Sequence[int] = ()
    """Its histogram, until it is known what is slow."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The servers that were heard lately, of the version that counts."""

    servers: int
    following: int
    breakers: int


def key(route: wire.Route) -> tuple[str, int, str]:
    """What tells a rollout from all others."""
    return route.uid, route.candidate, route.salt


class Tally:
    """The counts of one rollout."""

    def __init__(self, route: wire.Route, first_epoch: int = 0) -> None:
        """first_epoch: what was counted in an earlier one is of an earlier rollout of the same version."""
        self.first_epoch = first_epoch
        self.epochs: dict[int, Epoch] = {}
        self.boots: dict[str, Boot] = {}
        self.gone: dict[str, None] = {}
        """Digests of boots whose counts are in the sums alone, the first that went first."""
        self.folded: dict[int, Row] = {}
        """The part of the sums that is theirs."""
        self.units = FirstEvents()
        self.unit_rows: dict[int, Row] = {}
        """By epoch, units with an error and with a slow answer, of the stable version and of the candidate."""
        self.slow_seconds: float | None = None
        self._sums: dict[int, Row] = {}
        self._seconds = [0] * (len(wire.SECONDS_BOUNDS) + 1)
        self.follow(route)

    def follow(self, route: wire.Route) -> None:
        """Take the newest route of this rollout."""
        self.route = route
        self.epochs[route.epoch] = Epoch(route.mode, route.share, route.baking, True, route.gateway)
        self._bound_epochs()

    def report(self, report: wire.Report, now: float) -> bool:
        """Take a server's word. False where there is no room for one more server."""
        digest = digest_of(report.boot)
        counted = digest not in self.gone
        boot = self.boots.get(report.boot)
        if boot is None:
            if len(self.boots) >= MOST_BOOTS and not self.forget(now):
                return False
            boot = self.boots[report.boot] = Boot(now)
        boot.last, boot.version = now, report.version
        boot.epoch, boot.breaker_open, boot.gateway = report.epoch, report.breaker_open, report.gateway
        if counted:
            for counts in report.epochs:
                self._count(boot, counts)
            self._time(boot, report)
        for event in report.units:
            self._event(event, report.version)
        return True

    def forget(self, now: float) -> bool:
        """Let go of the server that was not heard for longest, and keep its counts. False: all were heard lately."""
        name = min(self.boots, key=lambda boot: self.boots[boot].last, default=None)
        if name is None or now - self.boots[name].last < DEPARTED_SECONDS:
            return False
        digest = digest_of(name)
        boot = self.boots.pop(name)
        for epoch, row in boot.rows.items():
            self.folded[epoch] = plus(self.folded.get(epoch, _NONE), row)
        self.gone[digest] = None
        if len(self.gone) > MOST_GONE:
            del self.gone[next(iter(self.gone))]
        return True

    def restore(self, boots: Iterable[tuple[str, Boot]]) -> None:
        """Take what was kept of servers, with `folded` and `gone`, in place of all that is here."""
        self.boots = dict(boots)
        self._sums = dict(self.folded)
        for boot in self.boots.values():
            for epoch, row in boot.rows.items():
                self._sums[epoch] = plus(self._sums.get(epoch, _NONE), row)
        self._bound_epochs()

    def heard(self, now: float) -> Heard:
        """Who is there."""
        route = self.route
        count = {route.candidate} if route.baking else {route.stable, *([route.candidate] if route.gateway else [])}
        there = [boot for boot in self.boots.values() if boot.version in count and now - boot.last <= HEARD_SECONDS]
        return Heard(
            servers=len(there),
            following=sum((boot.epoch, boot.gateway) == (route.epoch, route.gateway) for boot in there),
            breakers=sum(boot.breaker_open for boot in there),
        )

    def steps(self) -> list[Step]:
        """What was counted in each epoch, the newest last: what the gates take."""
        return [step for epoch in sorted(self._sums) if (step := self._step(epoch)) is not None]

    def row(self, epoch: int) -> Row:
        """All that was counted in an epoch, by requests."""
        return self._sums.get(epoch, _NONE)

    def _count(self, boot: Boot, counts: wire.EpochCounts) -> None:
        epoch = counts.epoch
        if counts.rollout != self.route.candidate or not self.first_epoch <= epoch <= self.route.epoch:
            return
        self._learn(counts)
        # A server of before does not know of gateways, and draws: what it counts is of another split than this.
        if not self._counts(epoch, boot.version) or self.epochs[epoch].gateway != counts.gateway:
            return
        before = boot.rows.get(epoch, _NONE)
        after = tuple(map(max, before, row_of(counts)))
        if after != before:
            boot.rows[epoch] = after
            more = tuple(new - old for new, old in zip(after, before, strict=True))
            self._sums[epoch] = plus(self._sums.get(epoch, _NONE), more)

    def _learn(self, counts: wire.EpochCounts) -> None:
        """How an epoch was that the route was not seen of."""
        known = self.epochs.get(counts.epoch)
        if known is not None and known.sure:
            return
        share = max(counts.share, known.share) if known else counts.share
        self.epochs[counts.epoch] = Epoch(counts.mode, share, counts.baking, False, counts.gateway)
        self._bound_epochs()

    def _counts(self, epoch: int, version: int) -> bool:
        """Whether what servers of a version counted in an epoch is taken."""
        known = self.epochs.get(epoch)
        if known is None:
            return False
        if known.gateway:
            return version in (self.route.stable, self.route.candidate)
        return version == (self.route.candidate if known.baking else self.route.stable)

    def _event(self, event: wire.UnitEvent, version: int) -> None:
        if not self.first_epoch <= event.epoch <= self.route.epoch or not self._counts(event.epoch, version):
            return
        if self.epochs[event.epoch].mode == "abTest" and self.units.first(event.unit, event.kind):
            where = 2 * event.candidate + (event.kind == "slow")
            one = tuple(int(index == where) for index in range(4))
            self.unit_rows[event.epoch] = plus(self.unit_rows.get(event.epoch, (0,) * 4), one)

    def _time(self, boot: Boot, report: wire.Report) -> None:
        """Fix what is slow, once: by the stable version's times as soon as there are enough of them."""
        if self.slow_seconds is not None or report.version != self.route.stable:
            return
        if len(report.seconds) != len(self._seconds):
            return
        before = boot.seconds or [0] * len(self._seconds)
        boot.seconds = list(map(max, before, report.seconds))
        self._seconds = [all_ + new - old for all_, new, old in zip(self._seconds, boot.seconds, before, strict=True)]
        below = list(accumulate(self._seconds))
        if below[-1] < SLOW_REQUESTS:
            return
        index = bisect_left(below, SLOW_QUANTILE * below[-1])
        self.slow_seconds = wire.SECONDS_BOUNDS[min(index, len(wire.SECONDS_BOUNDS) - 1)]
        for one in self.boots.values():
            one.seconds = ()

    def _step(self, epoch: int) -> Step | None:
        known, row = self.epochs.get(epoch), self._sums[epoch]
        if known is None:
            return None
        stable, candidate, mirrored = (_clamped(row[start : start + 4]) for start in (0, 4, 8))
        compared, disagreed = row[12], min(row[13], row[12])
        if known.baking or (known.mode != "shadow" and known.share >= 1.0):
            # There is nothing to compare with, and units are not told: each request counts, and limits hold.
            return Step(1.0, Counts(), candidate, compared, disagreed)
        if known.mode == "shadow":
            # Each of the requests was answered by both: an event is as likely to be the one's as the other's.
            return Step(0.5, mirrored, candidate, compared, disagreed)
        if known.share <= 0.0:
            return Step(1.0, Counts(), Counts(), compared, disagreed)
        if known.gateway:
            return Step(_had(known.share, stable, candidate), stable, candidate, compared, disagreed)
        if known.mode == "abTest":
            stable, candidate = self._once_a_unit(epoch, stable, candidate)
        return Step(known.share, stable, candidate, compared, disagreed)

    def _once_a_unit(self, epoch: int, stable: Counts, candidate: Counts) -> tuple[Counts, Counts]:
        errors, slow, its_errors, its_slow = self.unit_rows.get(epoch, (0,) * 4)
        return (
            _clamped((stable.requests, errors, slow, stable.over)),
            _clamped((candidate.requests, its_errors, its_slow, candidate.over)),
        )

    def _bound_epochs(self) -> None:
        """Forget the oldest epochs where there are more than are kept."""
        while len(self.epochs) > wire.MOST_EPOCHS:
            oldest = min(self.epochs)
            self.first_epoch = oldest + 1
            del self.epochs[oldest]
            for rows in (self._sums, self.folded, self.unit_rows, *(boot.rows for boot in self.boots.values())):
                rows.pop(oldest, None)


def _had(share: float, stable: Counts, candidate: Counts) -> float:
    """The candidate's share where a gateway drew: what it really had of the requests that were counted, if that is more
    than it should have had.

    Gateways keep to weights as well as they can, and what a server counted last may be lost, of one version alone.
    Given the requests that were counted, the candidate's part of some events among them is hypergeometric where both
    versions are alike; that varies less than the binomial part that the test of the share reckons with (Hoeffding,
    1963, theorem 4). A share that is too large makes less evidence, and never more.
    """
    requests = stable.requests + candidate.requests
    return max(share, candidate.requests / requests) if requests else share


def digest_of(boot: str) -> str:
    """Of a boot, short."""
    return blake2b(boot.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def row_of(counts: wire.EpochCounts) -> Row:
    """The numbers of an epoch."""
    three = (counts.stable, counts.candidate, counts.mirrored)
    numbers = [number for one in three for number in (one.requests, one.errors, one.slow, one.over)]
    return (*numbers, counts.compared, counts.disagreed)


def plus(one: Row, other: Row) -> Row:
    """The sums of two rows."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _clamped(numbers: Sequence[int]) -> Counts:
    """No more events than requests: sums over several words may be at odds for a moment."""
    requests, errors, slow, over = numbers
    return Counts(requests, min(errors, requests), min(slow, requests), min(over, requests))
