"""Tells one tracker what is recorded of a run, from where it was told last, and notes on the storage how far it came.

What is noted is never more than what was told: after a kill some of it is told again, which makes no difference to a
tracker. It is told in the order in which it is recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_trainer.errors import NotFound
from headway_trainer.event_log import Place
from headway_trainer.storage import Store
from headway_trainer.tracking.events import FOLDER, Began, Ended, Event, Point, Record
from headway_trainer.tracking.trackers.base import Known, RefusedError, Tracker

AT_ONCE = 200
"""Events after which it is noted how far a tracker was told."""
MOST_ALONE = 20
"""So many events that are refused one after the other are told one by one; then it is the run that is refused."""


class Cursor(StatusSection):
    """How far a tracker was told: `tracking/<its name>.json`."""

    target: str
    """Which server, by what stands in the spec: another one has been told nothing."""
    place: Place = Place()
    runs: dict[str, Known] = Field(default_factory=dict)
    """Those that are not over, by their scopes."""
    refused: int = 0
    """Events that it would not take."""


def read_cursor(store: Store, name: str, target: str) -> Cursor:
    """How far a tracker was told of the run in a folder. Raises StorageError."""
    with contextlib.suppress(NotFound, ValidationError):
        found = Cursor.model_validate_json(store.read(f"{FOLDER}/{name}.json"))
        if found.target == target:
            return found
    return Cursor(target=target)


def left(store: Store, name: str, target: str) -> int:
    """How many events a tracker has not been told. Raises UserError for a damaged record, and StorageError."""
    return Record(store, 0).count_after(read_cursor(store, name, target).place)


class Follower:
    """Tells a tracker. For one thread."""

    def __init__(self, store: Store, name: str, target: str, tracker: Tracker) -> None:
        """store: the run's folder. name: the tracker's, by which its cursor is called. Raises StorageError."""
        self._store, self._name, self._tracker = store, name, tracker
        self._record = Record(store, 0)
        cursor = read_cursor(store, name, target)
        self._target, self._place, self._noted, self._refused = target, cursor.place, cursor.place, cursor.refused
        self._runs = dict(cursor.runs)
        self._unnoted = self._in_a_row = 0
        self.problem: str | None = None
        """Why the tracker has refused something."""

    def follow(self) -> int:
        """Tell all that is recorded and not told; how many events. Raises DownError, and what the record raises."""
        told = 0
        try:
            for place, events in self._record.read_on(self._place):
                first = place.events - len(events)
                while events:
                    count = self._tell(events)
                    first, told, self._unnoted = first + count, told + count, self._unnoted + count
                    events = events[count:]  # noqa: PLW2901 - the rest of it
                    self._place = place.model_copy(update={"events": first})
                    if self._unnoted >= AT_ONCE:
                        self._note()
        finally:
            self._note()
        return told

    def close(self, seconds: float) -> None:
        """Let what was told arrive, and note it."""
        self._tracker.close(seconds)
        self._unnoted += 1
        self._note()

    def _tell(self, events: Sequence[Event]) -> int:
        """Tell the first of some events, with the points of its run that follow it directly; how many."""
        first = events[0]
        count = 1
        while isinstance(first, Point) and count < min(len(events), AT_ONCE) and _same_run(events[count], first):
            count += 1
        try:
            self._tell_one(events[:count])
        except RefusedError as error:
            if count > 1 and self._in_a_row < MOST_ALONE:
                return self._tell(events[:1])  # the others may be taken
            self._refused, self._in_a_row = self._refused + count, self._in_a_row + 1
            self.problem = str(error)
        else:
            self._in_a_row = 0
        return count

    def _tell_one(self, events: Sequence[Event]) -> None:
        first = events[0]
        known = self._runs.get(first.scope)
        if isinstance(first, Began):
            if known is None or not known.done:
                self._runs[first.scope] = self._tracker.begin(first, known, self._parent_of(first.scope))
            return
        if known is None:
            raise RefusedError(self.problem or "its run was refused")
        if known.done:
            return
        if isinstance(first, Ended):
            if not first.scope and first.state != "interrupted":
                self._end_children(first)
            self._tracker.end(known, first)
            if first.scope:
                self._runs[first.scope] = known.model_copy(update={"done": True})
            return
        points = [one for one in events if isinstance(one, Point) and one.step > known.step]
        if points:
            self._tracker.points(known, points)
            self._runs[first.scope] = known.model_copy(update={"step": points[-1].step})

    def _end_children(self, ended: Ended) -> None:
        """End what is open below a job that has ended: folds, and trials that nobody goes on with."""
        state = "completed" if ended.state == "completed" else "failed"
        for scope, known in [(scope, one) for scope, one in self._runs.items() if scope and not one.done]:
            self._tracker.end(known, Ended(scope=scope, state=state, at=ended.at))
            self._runs[scope] = known.model_copy(update={"done": True})

    def _parent_of(self, scope: str) -> Known | None:
        above = scope.rpartition("/")[0]
        return (self._runs.get(above) or self._runs.get("")) if scope else None

    def _note(self) -> None:
        if not self._unnoted:
            return
        if self._tracker.settled():
            self._noted = self._place
            # Of those that are over nothing more is told.
            self._runs = {scope: known for scope, known in self._runs.items() if not known.done}
        cursor = Cursor(target=self._target, place=self._noted, runs=self._runs, refused=self._refused)
        self._store.write(f"{FOLDER}/{self._name}.json", cursor.model_dump_json().encode())
        self._unnoted = 0


def _same_run(event: Event, first: Event) -> bool:
    return isinstance(event, Point) and event.scope == first.scope
