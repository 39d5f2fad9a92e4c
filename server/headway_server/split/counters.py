"""What a server has counted of a rollout, by epochs of its route, and how long its own answers took. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass, field

from headway_api.rollout_wire import MOST_EPOCHS, MOST_UNITS, SECONDS_BOUNDS, Counts, EpochCounts, Route, UnitEvent

MOST_PENDING_EVENTS = 4 * MOST_UNITS
"""Events of units that wait to be told. Beyond them new ones are dropped, and told when they happen again."""
MOST_TOLD_EVENTS = 20_000
"""Events of units that are known to have been told; what is forgotten is told again, which the judge sees."""


@dataclass(slots=True)
class Tally:
    """Of one version in one epoch."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    over: int = 0

    def told(self) -> Counts:
        """As the judge is told."""
        return Counts(requests=self.requests, errors=self.errors, slow=self.slow, over=self.over)


@dataclass(slots=True)
class Epoch:
    """All that is counted in one epoch. A request counts for the epoch that it began in."""

    route: Route
    stable: Tally = field(default_factory=Tally)
    candidate: Tally = field(default_factory=Tally)
    mirrored: Tally = field(default_factory=Tally)
    compared: int = 0
    disagreed: int = 0
    limit: float | None = None
    """Of the route to the 99th percentile."""

    def __post_init__(self) -> None:
        self.limit = self.route.analysis.max_p99_seconds

    def told(self) -> EpochCounts:
        """As the judge is told."""
        route = self.route
        return EpochCounts(
            epoch=route.epoch,
            rollout=route.candidate,
            mode=route.mode,
            share=1.0 if route.baking else route.share,
            baking=route.baking,
            gateway=route.gateway,
            stable=self.stable.told(),
            candidate=self.candidate.told(),
            mirrored=self.mirrored.told(),
            compared=self.compared,
            disagreed=self.disagreed,
        )


class Counters:
    """Of the rollout that is under way, and no other."""

    def __init__(self) -> None:
        self._epochs: OrderedDict[int, Epoch] = OrderedDict()
        self._rollout = 0

    def of(self, route: Route) -> Epoch | None:
        """The counts of this route's epoch. None where that epoch was counted at another share: its counts would be of
        neither."""
        if route.candidate != self._rollout:
            self._epochs.clear()
            self._rollout = route.candidate
        found = self._epochs.get(route.epoch)
        if found is None:
            found = self._epochs[route.epoch] = Epoch(route)
            if len(self._epochs) > MOST_EPOCHS:
                self._epochs.popitem(last=False)
        return found if _counts_alike(found.route, route) else None

    def told(self) -> list[EpochCounts]:
        """The newest last."""
        return [epoch.told() for epoch in self._epochs.values()]


def _counts_alike(one: Route, other: Route) -> bool:
    return _drawn(one) == _drawn(other)


def _drawn(route: Route) -> tuple[object, ...]:
    return route.mode, route.share, route.baking, route.stable, route.gateway


class Times:
    """A histogram over SECONDS_BOUNDS: one place more than there are bounds, for what is above all of them."""

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS_BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """One more that took so long."""
        self.counts[bisect_left(SECONDS_BOUNDS, seconds)] += 1


class UnitEvents:
    """The first event of each kind of each unit in an epoch, told once, as far as memory reaches."""

    def __init__(self) -> None:
        self._pending: dict[tuple[int, str, str], UnitEvent] = {}
        self._told: OrderedDict[tuple[int, str, str], None] = OrderedDict()

    def add(self, event: UnitEvent) -> None:
        """Something happened to a unit."""
        key = (event.epoch, event.unit, event.kind)
        if key not in self._told and len(self._pending) < MOST_PENDING_EVENTS:
            self._pending.setdefault(key, event)

    def next(self) -> list[UnitEvent]:
        """What the next report tells, the oldest first."""
        return list(self._pending.values())[:MOST_UNITS]

    def answered(self, events: list[UnitEvent]) -> None:
        """A report with these was answered."""
        for event in events:
            key = (event.epoch, event.unit, event.kind)
            self._pending.pop(key, None)
            self._told[key] = None
            if len(self._told) > MOST_TOLD_EVENTS:
                self._told.popitem(last=False)
