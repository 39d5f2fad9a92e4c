"""What of a run's course is recorded: each number of a step once, in order, no more than trackers can show. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from headway_trainer.tracking.events import MOST_STEP, MOST_VALUES, Began, Ended, Event, Point

NEXT = -1
"""The step of a point that is to be the one after the last."""
MOST_POINTS = 2000
"""Points of the job's own run; beyond them they come at growing distances, one for each 2000th of the way so far."""
MOST_POINTS_OF_CHILD = 100
MOST_WITHIN, MOST_WITHIN_OF_CHILD = 1000, 50
"""Points inside epochs, which are counted by themselves: whatever they are, no epoch is left out for them."""
MOST_POINTS_OF_CHILDREN, MOST_WITHIN_OF_CHILDREN = 50_000, 10_000
"""Of all children; those after them have their parameters, beginnings and ends alone."""
MOST_CHARACTERS = 32 * 2**20
"""Of names, values and texts of a record, about; beyond them there are beginnings and ends alone, without parameters.
Whoever reads a record has all of it in memory."""
_NUMBER = 24
"""Characters of a number, at most."""


@dataclass
class _Points:
    """What is recorded of a run's points of one kind: those of whole epochs, or those inside epochs."""

    count: int = 0
    first: int = 0
    last: int = 0

    def has_room(self, step: int, most: int) -> bool:
        """Whether a point at a step is one of the first `most`, or far enough from the last one."""
        return self.count < most or (step - self.last) * most >= self.last - self.first

    def take(self, step: int) -> None:
        """Take in that a point is recorded."""
        self.first, self.last, self.count = self.first if self.count else step, step, self.count + 1


@dataclass
class _Mark:
    """How far a run is recorded."""

    last: int = -1
    names: set[str] = field(default_factory=set)
    """Of the numbers that are recorded of the last step: what else is told of it is news."""
    ended: bool = False
    epochs: _Points = field(default_factory=_Points)
    within: _Points = field(default_factory=_Points)


class Marks:
    """How far each run is recorded. An attempt that goes on does steps again: they are no news."""

    def __init__(self) -> None:
        self._of: dict[str, _Mark] = {}
        self._of_children = self._within_children = 0
        self._characters = 0
        self.identity: str | None = None
        """Of the job's own run, once it has begun."""

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what is recorded."""
        for event in events:
            self._take(event)

    def admit(self, event: Event) -> bool:
        """Whether an event is recorded now; it is taken for that."""
        mark = self._of.get(event.scope)
        if isinstance(event, Began):
            news = not event.scope or mark is None
        elif isinstance(event, Point):
            news = mark is not None and bool(event.values) and self._is_due(event, mark)
        else:
            news = mark is not None and not mark.ended
        if news:
            self._take(event)
        return news

    @property
    def is_full(self) -> bool:
        """Whether the record has as much as may be in it."""
        return self._characters >= MOST_CHARACTERS

    def numbered(self, event: Event) -> Event:
        """A point whose step nobody has told as the one after the last of its run; of one at the last step, the numbers
        whose names are not recorded of it."""
        if not isinstance(event, Point):
            return event
        mark = self._of.get(event.scope)
        if event.step == NEXT:
            return event.model_copy(update={"step": 1 if mark is None else max(0, mark.last) + 1})
        if mark is None or event.step != mark.last:
            return event
        room = MOST_VALUES - len(mark.names)
        others = ((name, value) for name, value in event.values.items() if name not in mark.names)
        return event.model_copy(update={"values": dict(islice(others, max(0, room)))})

    def knows(self, scope: str) -> bool:
        """Whether a run has begun."""
        return scope in self._of

    def running(self) -> set[str]:
        """The runs that have not ended."""
        return {scope for scope, mark in self._of.items() if not mark.ended}

    def _is_due(self, point: Point, mark: _Mark) -> bool:
        if not mark.last <= point.step <= MOST_STEP or (mark.ended and point.scope) or self.is_full:
            return False
        if point.step == mark.last and not mark.names.isdisjoint(point.values):
            return False
        if point.within:
            points, most = mark.within, MOST_WITHIN_OF_CHILD if point.scope else MOST_WITHIN
            is_full = self._within_children >= MOST_WITHIN_OF_CHILDREN
        else:
            points, most = mark.epochs, MOST_POINTS_OF_CHILD if point.scope else MOST_POINTS
            is_full = self._of_children >= MOST_POINTS_OF_CHILDREN
        if point.scope and is_full:
            return False
        return point.step == mark.last or points.has_room(point.step, most)

    def _take(self, event: Event) -> None:
        mark = self._of.setdefault(event.scope, _Mark())
        self._characters += _characters(event)
        if isinstance(event, Began):
            if not event.scope:
                mark.ended, self.identity = False, self.identity or event.identity
        elif isinstance(event, Ended):
            mark.ended = True
            if event.scope:  # nothing more is told of it
                mark.names = set()
        else:
            if event.step > mark.last:
                mark.last, mark.names = event.step, set()
            if event.step == mark.last:
                mark.names |= event.values.keys()
            (mark.within if event.within else mark.epochs).take(event.step)
            if event.within:
                self._within_children += bool(event.scope)
            else:
                self._of_children += bool(event.scope)


def _characters(event: Event) -> int:
    if isinstance(event, Began):
        return _length(event.parameters) + _length(event.tags)
    return sum(len(name) + _NUMBER for name in event.values) + (_length(event.tags) if isinstance(event, Ended) else 0)


def _length(texts: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in texts.items())
