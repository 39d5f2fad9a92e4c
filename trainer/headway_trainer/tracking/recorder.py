"""Records a run's course in its folder, in a thread of its own. Nobody ever waits for the storage.

What is recorded is what trackers are told, whenever they can be: the record is the queue between training and them.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from headway_api.tracking import Tracking
from headway_trainer.errors import StorageError, UserError
from headway_trainer.storage import Store
from headway_trainer.tracking.board import Board
from headway_trainer.tracking.events import MOST_NAME, Began, Ended, Event, Point, Record, State, bounded
from headway_trainer.tracking.marks import NEXT, Marks
from headway_trainer.tracking.parameters import noted
from headway_trainer.training.link import Measured

PERIOD_SECONDS, PERIOD_OF_OBJECTS = 2.0, 10.0
"""How long what happens may wait to be recorded: on a file system, and on an object store, whose writes cost money."""
RETRY_SECONDS = 60.0
"""The longest pause after writes that failed."""
MOST_WAITING = 20_000
"""Events that wait in memory for the storage; points that come then are lost."""
AT_ONCE = 200
"""Events of one write."""
FRESH = 2000
"""The newest events of an attempt before that may have come to no event file."""
log = logging.getLogger("headway.tracking")


class Course(Protocol):
    """Takes what happens in a run; returns at once and never raises."""

    def begin(self, scope: str, *, name: str, parameters: Mapping[str, str]) -> None:
        """A run begins, or goes on: the job's own (scope ""), or a child."""

    def measured(self, scope: str, *points: Measured) -> None:
        """Numbers of a run, oldest first; those that were told before are no news."""

    def end(
        self, scope: str, state: State, *, values: Mapping[str, float | None] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        """A run has ended, with these numbers."""


class Unrecorded:
    """A course that nobody records."""

    def begin(self, scope: str, *, name: str, parameters: Mapping[str, str]) -> None:
        """Ignored."""

    def measured(self, scope: str, *points: Measured) -> None:
        """Ignored."""

    def end(
        self, scope: str, state: State, *, values: Mapping[str, float | None] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        """Ignored."""


class Recorder:
    """Records the course of a run, and makes TensorBoard's files of it."""

    def __init__(
        self,
        store: Store,
        attempt: int,
        *,
        identity: str = "",
        tags: Mapping[str, str] = {},
        tracking: Tracking | None = None,
        fence: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """store: the run's folder. identity: what tells the run from all others; one is made up if it is empty.
        tags: of the job's own run, in this attempt. tracking: who is told; TensorBoard alone if none. fence: raises
        StorageError where a newer attempt has begun."""
        self._fence, self._clock = fence, clock
        self._identity = identity or uuid.uuid4().hex
        self._record, self._marks = Record(store, attempt), Marks()
        self._tags, self._tracking = noted(tags), tracking
        self._board = Board(store) if tracking is None or tracking.tensorboard else None
        self._period = PERIOD_OF_OBJECTS if store.local_path() is None else PERIOD_SECONDS
        self._lock = threading.Lock()
        self._waiting: list[Event] = []
        self._unwritten: list[Event] = []
        """Admitted, and not in the record yet. Of the thread alone, as what follows."""
        self._is_open = False
        self._failures = 0
        self.lost = 0
        """Points that the storage was too slow for."""
        self.most_values = 0
        """The most numbers that came at a step; no more than MOST_VALUES of them are recorded."""
        self.undrawn = ""
        """Why TensorBoard's files are not all written; "" where they are."""
        self.broken: str | None = None
        """Why nothing is recorded any more."""
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-tracking", daemon=True)

    @property
    def is_full(self) -> bool:
        """Whether numbers are left out, as the record has as much as may be in it."""
        return self._marks.is_full

    def start(self) -> None:
        """Begin to record what was and will be told."""
        self._thread.start()

    def begin(self, scope: str, *, name: str, parameters: Mapping[str, str]) -> None:
        """Take in that a run begins."""
        began = Began(
            scope=scope,
            name=name[:MOST_NAME],
            identity=self._identity,
            parameters=dict(parameters),
            tags=self._tags if not scope else {},
            tracking=self._tracking if not scope else None,
            at=self._now(),
        )
        self._add([began])

    def measured(self, scope: str, *points: Measured) -> None:
        """Take in numbers."""
        now = self._now()
        self.most_values = max(self.most_values, *(len(one.values) for one in points), 0)
        self._add(
            [
                Point(
                    scope=scope,
                    step=NEXT if one.step is None else one.step,
                    values=bounded(one.values),
                    within=one.within,
                    at=now,
                )
                for one in points
            ]
        )

    def end(
        self, scope: str, state: State, *, values: Mapping[str, float | None] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        """Take in that a run has ended."""
        self._add([Ended(scope=scope, state=state, values=bounded(values), tags=noted(tags), at=self._now())])

    def close(self, seconds: float) -> bool:
        """Record what waits, unless that takes longer; whether all of it is there."""
        self._closing.set()
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive() and not (self._waiting or self._unwritten)

    def flush(self) -> bool:
        """Record what waits; whether the storage took all of it."""
        try:
            if self.broken is None:
                self._open()
                self._fence()
                self._write()  # before more is taken: what waits is bounded
            self._admit(self._taken())
            self._write()
        except UserError as error:
            self.broken = str(error)
            log.warning("trackers are told nothing more of this run: %s", error)
        except Exception as error:  # whatever ails the storage, training goes on
            self._failed(error)
            return False
        self._failures = 0
        return self._draw()

    def _add(self, events: list[Event]) -> None:
        with self._lock:
            room = MOST_WAITING - len(self._waiting)
            taken = [event for event in events if room > 0 or not isinstance(event, Point)]
            self.lost += len(events) - len(taken)
            self._waiting += taken
        self._changed.set()

    def _open(self) -> None:
        """Find out what attempts before have recorded. Raises UserError and StorageError."""
        if self._is_open:
            return
        before = self._record.read()
        self._marks.replay(before)
        self._is_open = True
        self._show(lambda board: board.replay(before, fresh=FRESH))

    def _show(self, change: Callable[[Board], None]) -> None:
        """Change what TensorBoard is shown, none of whose faults stands in the way of the record."""
        if self._board is None:
            return
        try:
            change(self._board)
        except Exception:
            self._give_up_board()

    def _give_up_board(self) -> None:
        self._board = None
        log.warning("this attempt writes no more event files for TensorBoard", exc_info=True)

    def _draw(self) -> bool:
        """Write TensorBoard's files; whether the storage took them. Where it did not, that is tried again, and the
        record is none the slower."""
        try:
            if self._board is not None:
                self._board.write()
        except StorageError as error:
            if not self.undrawn:
                log.warning("TensorBoard's files are not written until the storage takes them: %s", error)
            self.undrawn = str(error)
            return False
        except Exception:
            self._give_up_board()
        self.undrawn = ""
        return True

    def _taken(self) -> list[Event]:
        with self._lock:
            events, self._waiting = self._waiting, []
        return events if self.broken is None else []

    def _write(self) -> None:
        while self._unwritten:
            now = self._unwritten[:AT_ONCE]
            self._record.append(*now)
            del self._unwritten[: len(now)]
            self._show(partial(Board.take, events=now))

    def _admit(self, events: list[Event]) -> None:
        for event in events:
            numbered = self._marks.numbered(self._owned(event))
            if isinstance(event, Point) and not self._marks.knows(event.scope):
                # A child of which nobody has said more, such as a fold.
                name = event.scope.rpartition("/")[2]
                began = Began(scope=event.scope, name=name, identity=self._identity, at=event.at)
                self._marks.admit(began)
                self._unwritten.append(self._owned(began))
            if isinstance(numbered, Began) and self._marks.is_full:
                numbered = numbered.model_copy(update={"parameters": {}})
            if self._marks.admit(numbered):
                self._unwritten.append(numbered)

    def _owned(self, event: Event) -> Event:
        """A beginning with the identity that the run had when it was begun first."""
        if isinstance(event, Began) and self._marks.identity is not None:
            return event.model_copy(update={"identity": self._marks.identity})
        return event

    def _now(self) -> float:
        return round(self._clock(), 3)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("the run's course is not recorded until the storage can be written again: %s", error)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            pause = self._period if not self._failures else min(RETRY_SECONDS, self._period * 2**self._failures)
            self._closing.wait(pause)
            self._changed.clear()
            if not self.flush():
                self._changed.set()
        self.flush()
