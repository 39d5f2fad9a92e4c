"""What a server knows of the rollout, which version each request is for, and what was counted of it.

Pure: clock and lots are given. A request counts only where it was drawn for: what a server answers itself while its
breaker is open, or while too much is handed over already, is nobody's, since the split test (`headway_server.judge`)
rests on each counted request having been the candidate's with the probability of its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from headway_api.rollout_wire import Reply, Report, Route, Unit, UnitEvent
from headway_server.load import Load
from headway_server.split.addresses import address
from headway_server.split.breaker import Breaker
from headway_server.split.counters import Counters, Epoch, Tally, Times, UnitEvents
from headway_server.split.draw import Assignment

UNREACHED_SECONDS = 60.0
"""A candidate that was not reached for so long is given up where no judge is heard either."""
STALE_SECONDS = 30.0
"""An older epoch than the one that is kept to is taken when nobody has told of this one for so long."""
LEAST_PATIENCE_SECONDS = 1.0
PATIENCE = 20.0
"""A candidate has so many times what counts as slow, and at least a second, before the own model answers instead."""
NO_ROUTE = Route()
Role = Literal["alone", "stable", "baking"]
"""stable: of the version that splits. baking: of the candidate, which counts what it answers itself, as it answers
alone or as a gateway splits. alone: of neither, or there is nothing to split."""
Taken = Literal["taken", "same", "refused"]


@dataclass(slots=True)
class Choice:
    """Who is to answer a request, and where that is counted."""

    theirs: bool = False
    """Whether it is the candidate's."""
    route: Route = NO_ROUTE
    epoch: Epoch | None = None
    """Where it counts; None: nowhere."""
    baking: bool = False
    """Whether the own answer is the candidate's."""
    unit: str | None = None
    """A name for its unit."""
    mirror: bool = False
    """Whether the candidate gets a copy afterwards."""
    probe: bool = False
    """Whether it finds out for the breaker if the candidate is well again."""
    remembered: bool = False
    """Whether this server has answered the same before, and keeps that. Such a request tells nothing of how fast either
    version is: the stable one has long had time to fill its cache, and the candidate has not. It is known before the
    lot is drawn, so what is left out is left out of both versions alike."""


ALONE = Choice()
ALONE_REMEMBERED = Choice(remembered=True)


@dataclass(slots=True)
class Outcome:
    """How a version did with a request. seconds: None where it gave no answer."""

    seconds: float | None = None
    error: bool = False
    late: bool = False
    """Whether its answer was not waited for any longer."""


class State:
    """Of one process. version: the number that it serves of the deployment `uid`; 0, for one that is no number, never
    splits. boot: what tells this process from others. lot: draws a number from 0 up to 1. clock: seconds.
    load: how busy it is, where that is told. held: of a holder, how many requests wait for a server."""

    def __init__(
        self,
        version: int,
        uid: str,
        boot: str,
        *,
        lot: Callable[[], float],
        clock: Callable[[], float],
        load: Load | None = None,
        held: Callable[[], int] | None = None,
    ) -> None:
        self.version = version
        self.uid = uid
        self.route: Route | None = None
        self.role: Role = "alone"
        self.slow_seconds: float | None = None
        self.patience: float | None = None
        """The seconds that a version has at most for a request. None: what is slow is not known yet."""
        self.breaker = Breaker()
        self.times = Times()
        self.counters = Counters()
        self.units = UnitEvents()
        self._boot = boot
        self._lot = lot
        self._clock = clock
        self._load, self._held = load, held
        self._assignment = Assignment("")
        self._epoch: Epoch | None = None
        self._plain = ALONE
        """The choice of the own model where there is no more to say."""
        self._stamp: bytes | None = None
        """What a gateway has put on the requests that it has drawn for. None: no gateway draws."""
        self._told_at = 0.0
        self._unreached_since: float | None = None

    def drawn(self, stamp: bytes | None) -> bool:
        """Whether a request with this ROUTE_HEADER counts, or is drawn for here, as far as that tells."""
        return self._stamp is None or stamp == self._stamp

    @property
    def unit(self) -> Unit | None:
        """What requests are assigned by at present."""
        route = self.route
        return route.unit if route is not None and self.role == "stable" and route.mode == "abTest" else None

    def take(self, reply: Reply) -> Taken:
        """Keep to what the judge says, where it says something that is for this server and not older."""
        route, now = reply.route, self._clock()
        if not reply.judging or route is None:
            return "same"
        if route.uid != self.uid or not _sound(route):
            return "refused"
        kept = self.route
        if kept is not None and route.epoch < kept.epoch and now - self._told_at < STALE_SECONDS:
            return "same"
        self._told_at = now
        self.slow_seconds = slow = reply.slow_seconds
        self.patience = None if slow is None else max(LEAST_PATIENCE_SECONDS, PATIENCE * slow)
        if kept == route:
            return "same"
        if kept is None or (kept.candidate, kept.candidate_url) != (route.candidate, route.candidate_url):
            self.breaker, self._unreached_since = Breaker(), None
        self._assignment = Assignment(route.salt)
        self._keep(route)
        return "taken"

    def tick(self) -> bool:
        """Drop a route whose candidate is not reached while no judge is heard. Whether that was so."""
        now, since = self._clock(), self._unreached_since
        unheard = now - self._told_at > UNREACHED_SECONDS
        if self.route is None or since is None or not unheard or now - since < UNREACHED_SECONDS:
            return False
        self._keep(None)
        return True

    def _keep(self, route: Route | None) -> None:
        self.route = route
        self.role, self._epoch, self._stamp = "alone", None, None
        if route is None or not self.version or route.candidate == route.stable:
            return
        if route.stable == self.version and (route.mirror > 0 if _in_the_shadow(route) else route.share > 0):
            self.role = "stable"
        elif route.candidate == self.version and (route.baking or (route.gateway and route.share > 0)):
            self.role = "baking"
        if self.role != "alone":
            self._epoch = self.counters.of(route)
            self._stamp = str(route.epoch).encode() if route.gateway else None
            self._plain = Choice(route=route, epoch=self._epoch, baking=self.role == "baking")

    def choose(self, unit: bytes | None, *, room: bool) -> Choice:
        """Who answers a request of this unit. room: whether one more may be handed over."""
        role, route = self.role, self.route
        if role == "alone" or route is None:
            return ALONE
        may = room and (not self.breaker.open or self.breaker.allows(self._clock()))
        if role == "baking":
            return self._plain
        if not _in_the_shadow(route) and not route.gateway:
            return self._split(route, unit) if may else ALONE
        mirror = may and self._drawn(route.mirror)
        return Choice(route=route, epoch=self._epoch, mirror=True) if mirror else self._plain

    def _split(self, route: Route, unit: bytes | None) -> Choice:
        name = None
        if route.mode == "abTest" and route.share < 1:
            if unit is None:
                return ALONE
            number, name = self._assignment.of(unit)
            theirs = number < route.share
        else:
            theirs = self._drawn(route.share)
        if theirs:
            return Choice(True, route, self._epoch, unit=name, probe=self.breaker.begin())
        mirror = self._drawn(route.mirror)
        if name is None and not mirror:
            return self._plain
        return Choice(False, route, self._epoch, unit=name, mirror=mirror)

    def _drawn(self, share: float) -> bool:
        return share >= 1 or (share > 0 and self._lot() < share)

    def begin_copy(self, choice: Choice) -> bool | None:
        """A copy of before is about to be sent. Whether it is the breaker's probe; None: it is not to be sent."""
        route, now = self.route, self._clock()
        if self.role != "stable" or route is None or route.candidate != choice.route.candidate:
            return None
        return self.breaker.begin() if self.breaker.allows(now) else None

    def reached(self, *, probe: bool) -> None:
        """The candidate has answered."""
        self._unreached_since = None
        self.breaker.succeeded(probe=probe)

    def unreached(self, *, probe: bool, connected: bool) -> None:
        """The candidate has failed; connected: not because nobody was there."""
        now = self._clock()
        if connected:
            self._unreached_since = None
        elif self._unreached_since is None:
            self._unreached_since = now
        self.breaker.failed(now, probe=probe)

    def count(self, choice: Choice, outcome: Outcome) -> None:
        """How the version that the request was for did with it."""
        epoch = choice.epoch
        if epoch is None:
            return
        candidate = choice.theirs or choice.baking
        slow = self._add(epoch.candidate if candidate else epoch.stable, epoch.limit, outcome, choice)
        if choice.unit is not None:
            number = epoch.route.epoch
            if outcome.error:
                self.units.add(UnitEvent(epoch=number, unit=choice.unit, candidate=candidate, kind="error"))
            if slow:
                self.units.add(UnitEvent(epoch=number, unit=choice.unit, candidate=candidate, kind="slow"))

    def count_copy(self, choice: Choice, own: Outcome, theirs: Outcome, alike: bool | None) -> None:
        """How both versions did with a request of which the candidate had a copy. alike: None where one gave none."""
        epoch = choice.epoch
        if epoch is None:
            return
        if epoch.route.mode == "shadow":
            self._add(epoch.mirrored, epoch.limit, own, choice)
            self._add(epoch.candidate, epoch.limit, theirs, choice)
        if alike is not None:
            epoch.compared += 1
            epoch.disagreed += not alike

    def _add(self, tally: Tally, limit: float | None, outcome: Outcome, choice: Choice) -> bool:
        """Whether it was slow, in comparison with the other version. A limit is to what clients see, from a cache or
        not."""
        seconds = outcome.seconds
        known = None if choice.remembered else self.slow_seconds
        slow = known is not None and (outcome.late or (seconds is not None and seconds > known))
        over = limit is not None and (outcome.late or (seconds is not None and seconds > limit))
        tally.requests += 1
        tally.errors += outcome.error
        tally.slow += slow
        tally.over += over
        return slow

    def report(self) -> Report:
        """What the judge is told."""
        route, load = self.route, self._load
        return Report(
            uid=self.uid,
            boot=self._boot,
            version=self.version,
            epoch=route.epoch if route is not None else 0,
            gateway=route is not None and route.gateway,
            breaker_open=self.breaker.open,
            epochs=self.counters.told(),
            seconds=self.times.counts,
            units=self.units.next(),
            busy_seconds=None if load is None else load.seconds(),
            asked=0 if load is None else load.asked,
            held=None if self._held is None else self._held(),
        )


def _in_the_shadow(route: Route) -> bool:
    """Whether the candidate's answers are given to nobody. One that bakes has been found good, and answers."""
    return route.mode == "shadow" and not route.baking


def _sound(route: Route) -> bool:
    """Whether the candidate's addresses are what a server may be sent to."""
    return (not route.candidate_url or address(route.candidate_url) is not None) and (
        not route.candidate_grpc or address(f"http://{route.candidate_grpc}") is not None
    )
