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
from headway_trainer.tracking.events import FOLDER, Began, Ended, Event, Point, Record, State
from headway_trainer.tracking.trackers.base import DownError, Known, RefusedError, Tracker

AT_ONCE = 200
"""Events after which it is noted how far a tracker was told."""
MOST_ALONE = 20
"""So many events that are refused one after the other are told one by one; then it is the run that is refused."""
TRIES = 5
"""How often a tracker may fail at the same events, while it takes others, until those are told one by one; and then at
one of them until that is left out."""
TRIES_AGAIN = 2
"""The same right after one that was left out, until several are told one by one, by which nothing is lost; and after
`MOST_ALONE` of them, as then it is the run and no chance."""


class Cursor(StatusSection):
    """How far a tracker was told: `tracking/<its name>.json`."""

    target: str
    """Which server, by what stands in the spec: another one has been told nothing."""
    place: Place = Place()
    runs: dict[str, Known] = Field(default_factory=dict)
    """Those that are not over, by their scopes."""
    refused: int = 0
    """Events that it would not take, and are left out."""
    problem: str | None = Field(default=None, max_length=2000)
    """Why it has not taken the last of them."""


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
        self._runs, self._runs_noted = dict(cursor.runs), dict(cursor.runs)
        self._names: dict[str, set[str]] = {scope: set() for scope in self._runs}
        """Of the numbers of each run's newest step that it was told; of a run that only the tracker knows, none is
        known, and its newest step is not told again."""
        self._unnoted = self._in_a_row = 0
        self._failing: tuple[Event, bool] | None = None
        """The first of the events that the tracker fails at while it takes others, and whether there are more."""
        self._tries = self._one_by_one = 0
        """How often it has failed at these, and how many events are to be told one by one."""
        self._recalled = False
        self._taken: dict[str, Began | Point] = {}
        """The newest event of each run that is not over, which it has taken."""
        self.problem = cursor.problem
        """Why the tracker has not taken something, which is left out."""

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
        most = 1 if self._one_by_one or not isinstance(first, Point) else AT_ONCE
        count = 1
        while count < min(len(events), most) and _same_run(events[count], first):
            count += 1
        if isinstance(first, Ended) and not first.scope and first.state != "interrupted":
            self._end_children(first)
        return count if self._take(events[:count]) else self._tell(events[:1])

    def _take(self, events: Sequence[Event]) -> bool:
        """Tell events, or leave them out; False where each of them is to be told by itself. Raises DownError."""
        try:
            self._tell_one(events)
        except RefusedError as error:
            return self._leave_out(events, str(error))
        except DownError as error:
            if not self._is_poison(events):
                raise
            return self._leave_out(events, f"it fails at it each time, though it takes other records: {error}")
        self._in_a_row, self._one_by_one = 0, max(0, self._one_by_one - len(events))
        return True

    def _leave_out(self, events: Sequence[Event], why: str) -> bool:
        if len(events) > 1 and self._in_a_row < MOST_ALONE:
            return False  # the others may be taken
        self._refused, self._in_a_row = self._refused + len(events), self._in_a_row + 1
        self.problem, self._one_by_one = why, 0
        first = events[0]
        if isinstance(first, Ended) and first.scope in self._runs:
            self._over(first)
        return True

    def _is_poison(self, events: Sequence[Event]) -> bool:
        """Whether a tracker that has just failed at events has done so often enough, while it took others, to leave
        them out."""
        first = events[0]
        if isinstance(first, Began) and not first.scope and not self._runs.get(""):
            return False  # without the run itself there is nothing to tell
        if not self._takes_others():
            return False  # it is down
        if self._failing != (first, len(events) > 1):
            self._failing, self._tries = (first, len(events) > 1), 0
        self._tries += 1
        soon = self._in_a_row and (len(events) > 1 or self._in_a_row >= MOST_ALONE)
        if self._tries < (TRIES_AGAIN if soon else TRIES):
            return False
        self._failing = None
        if len(events) > 1 and self._in_a_row < MOST_ALONE:
            self._one_by_one = len(events)
            return False
        return True

    def _takes_others(self) -> bool:
        """Whether it takes again what it has taken before, which makes no difference to it: so it is not down."""
        self._recall()
        for scope, event in reversed(self._taken.items()):
            known = self._runs[scope]
            try:
                if isinstance(event, Began):
                    self._tracker.begin(event, known, self._parent_of(scope))
                else:
                    self._tracker.points(known, [event])
            except RefusedError:
                continue
            except DownError:
                return False
            return True
        return False

    def _recall(self) -> None:
        """Find out once what was taken before this process began, if it has taken nothing itself."""
        if self._taken or self._recalled:
            return
        for place, events in self._record.read_on(Place()):
            reached = (place.attempt, place.segment) >= (self._place.attempt, self._place.segment)
            for event in events[: self._place.events] if reached else events:
                known = self._runs.get(event.scope)
                if known is not None and not known.done and (not isinstance(event, Point) or event.step == known.step):
                    self._keep(event)
            if reached:
                break
        self._recalled = True

    def _keep(self, event: Event) -> None:
        """Take in that it has taken an event: the newest is kept of each run, that can be told again."""
        if not isinstance(event, Ended):
            self._taken[event.scope] = event
        elif event.scope or isinstance(self._taken.get(""), Began):  # to begin what has ended would make a difference
            self._taken.pop(event.scope, None)

    def _tell_one(self, events: Sequence[Event]) -> None:
        first = events[0]
        known = self._runs.get(first.scope)
        if isinstance(first, Began):
            if known is None or not known.done:
                begun = self._runs[first.scope] = self._tracker.begin(first, known, self._parent_of(first.scope))
                if known is None or begun.step != known.step:
                    self._names.pop(first.scope, None)
                self._keep(first)
            return
        if known is None:
            raise RefusedError(self.problem or "its run was refused")
        if known.done:
            return
        if isinstance(first, Ended):
            self._tracker.end(known, first)
            self._over(first)
            return
        points, names = self._news(known, events)
        if points:
            self._tracker.points(known, points)
            self._runs[first.scope] = known.model_copy(update={"step": points[-1].step})
            self._names[first.scope] = names
            self._keep(points[-1])

    def _news(self, known: Known, events: Sequence[Event]) -> tuple[list[Point], set[str]]:
        """Those of some points of a run that it was not told, and the names that it then knows of the newest step."""
        points, step, names = list[Point](), known.step, self._names.get(events[0].scope)
        for one in events:
            if not isinstance(one, Point) or one.step < step:
                continue
            if one.step > step:
                step, names = one.step, set(one.values)
            elif names is None or not names.isdisjoint(one.values):
                continue
            else:
                names = names | one.values.keys()
            points.append(one)
        return points, names or set()

    def _over(self, ended: Ended) -> None:
        """Take in that a child has ended; the job's own run may go on."""
        self._keep(ended)
        if ended.scope:
            self._names.pop(ended.scope, None)
            self._runs[ended.scope] = self._runs[ended.scope].model_copy(update={"done": True})

    def _end_children(self, ended: Ended) -> None:
        """End what is open below a job that has ended: folds, and trials that nobody goes on with."""
        state: State = "completed" if ended.state == "completed" else "failed"
        for scope in [scope for scope, one in self._runs.items() if scope and not one.done]:
            self._take([Ended(scope=scope, state=state, at=ended.at)])

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
            self._runs_noted = dict(self._runs)
        cursor = Cursor(
            target=self._target,
            place=self._noted,
            runs=self._runs_noted,
            refused=self._refused,
            problem=self.problem,
        )
        self._store.write(f"{FOLDER}/{self._name}.json", cursor.model_dump_json().encode())
        self._unnoted = 0


def _same_run(event: Event, first: Event) -> bool:
    return isinstance(event, Point) and event.scope == first.scope
