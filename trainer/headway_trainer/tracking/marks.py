"""What of a run's course is recorded: each step once, in order, and no more than trackers can show. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headway_trainer.tracking.events import Began, Ended, Event, Point

NEXT = -1
"""The step of a point that is to be the one after the last."""
MOST_POINTS = 2000
"""Points of the job's own run; beyond them they come at growing distances, one for each 2000th of the way so far."""
MOST_POINTS_OF_CHILD = 100
MOST_POINTS_OF_CHILDREN = 50_000
"""Of all children; those after them have their parameters, beginnings and ends alone."""


@dataclass
class _Mark:
    """How far a run is recorded."""

    first: int = 0
    last: int = -1
    points: int = 0
    ended: bool = False


class Marks:
    """How far each run is recorded. An attempt that goes on does steps again: they are no news."""

    def __init__(self) -> None:
        self._of: dict[str, _Mark] = {}
        self._of_children = 0
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

    def numbered(self, event: Event) -> Event:
        """A point whose step nobody has told as the one after the last of its run."""
        if not isinstance(event, Point) or event.step != NEXT:
            return event
        mark = self._of.get(event.scope)
        return event.model_copy(update={"step": 1 if mark is None else max(0, mark.last) + 1})

    def knows(self, scope: str) -> bool:
        """Whether a run has begun."""
        return scope in self._of

    def running(self) -> set[str]:
        """The runs that have not ended."""
        return {scope for scope, mark in self._of.items() if not mark.ended}

    def _is_due(self, point: Point, mark: _Mark) -> bool:
        if point.step <= mark.last or (mark.ended and point.scope):
            return False
        if point.scope and self._of_children >= MOST_POINTS_OF_CHILDREN:
            return False
        most = MOST_POINTS_OF_CHILD if point.scope else MOST_POINTS
        return mark.points < most or (point.step - mark.last) * most >= mark.last - mark.first

    def _take(self, event: Event) -> None:
        mark = self._of.setdefault(event.scope, _Mark())
        if isinstance(event, Began):
            if not event.scope:
                mark.ended, self.identity = False, self.identity or event.identity
        elif isinstance(event, Ended):
            mark.ended = True
        else:
            mark.first = mark.first if mark.points else event.step
            mark.last, mark.points = max(mark.last, event.step), mark.points + 1
            self._of_children += bool(event.scope)
