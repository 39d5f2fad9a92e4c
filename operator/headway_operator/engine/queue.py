"""The work queue: a key waits once however often it is added, and is worked on by one worker at a time.

A key can be worked on again at a time, and backs off when its work fails. What can wait goes after what is urgent, but
for one turn in some: where there is more to do than can be done, a changed spec does not stand behind thousands of
reports. The queue reads no clock: the time is a parameter, so tests and simulations make their own.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 60.0
TURNS = 8
"""One turn in so many is that of a key that can wait, whatever is urgent."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class KeyQueue(Generic[K]):
    """The queue's state. All times are seconds on one growing clock."""

    _ready: OrderedDict[K, float] = field(default_factory=OrderedDict)
    """Keys to work on, with since when."""
    _patient: OrderedDict[K, float] = field(default_factory=OrderedDict)
    """The same, where nothing but news that can wait asks for it."""
    _turn: int = 0
    _active: dict[K, float] = field(default_factory=dict)
    """Keys being worked on, with since when."""
    _dirty: set[K] = field(default_factory=set)
    """Keys added while they are being worked on."""
    _wanted: dict[K, float] = field(default_factory=dict)
    """Keys that were to be worked on at a time, while they are being worked on."""
    _due: dict[K, float] = field(default_factory=dict)
    """When to work on a key again: one time each, the earliest asked for."""
    _can_wait: set[K] = field(default_factory=set)
    """Keys whose time was asked for by news that can wait."""
    _timers: list[tuple[float, int, K]] = field(default_factory=list)
    _serial: int = 0
    _failures: dict[K, int] = field(default_factory=dict)

    def add(self, key: K, now: float) -> None:
        """The key has to be worked on.

        One that is backing off keeps its time: events do not make a failing write succeed.
        """
        if key in self._active:
            self._dirty.add(key)
        elif key not in self._ready and key not in self._failures:
            self._ready[key] = self._patient.pop(key, now)

    def add_at(self, key: K, when: float, now: float) -> None:
        """There are news of the key that can wait until then; one that is backing off keeps its time."""
        if key in self._active:
            self._wanted[key] = min(when, self._wanted.get(key, when))
        elif key not in self._ready and key not in self._patient and key not in self._failures:
            if when <= now:
                self._patient[key] = now
            else:
                self._later(key, when, can_wait=True)

    def take(self, now: float) -> tuple[K, float] | None:
        """The next key, and how many seconds it has waited; None if there is none to work on."""
        self._wake(now)
        if not self._ready and not self._patient:
            return None
        self._turn += 1
        patient = self._patient and (not self._ready or self._turn % TURNS == 0)
        key, since = (self._patient if patient else self._ready).popitem(last=False)
        self._active[key] = now
        return key, now - since

    def done(self, key: K, now: float, again_at: float | None = None) -> None:
        """The work is done; again at `again_at`, whatever was asked before it began."""
        self._failures.pop(key, None)
        self._release(key)
        self._give_up_time(key)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key, now)
        wanted = self._wanted.pop(key, None)
        if again_at is not None:
            self._later(key, again_at)
        if wanted is not None:
            self._later(key, wanted, can_wait=True)

    def failed(self, key: K, now: float, after: float | None = None) -> float:
        """The work failed; returns the seconds after which it is tried again."""
        self._release(key)
        self._dirty.discard(key)
        self._wanted.pop(key, None)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
        delay = max(delay, min(after or 0.0, LONGEST_BACKOFF))
        self._give_up_time(key)
        self._later(key, now + delay)
        return delay

    def next_due(self) -> float | None:
        """When the next waiting key is due."""
        while self._timers and self._due.get(self._timers[0][2]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def depth(self) -> int:
        """How many keys wait to be worked on."""
        return len(self._ready) + len(self._patient)

    def oldest(self, now: float) -> float:
        """How long the longest-waiting or longest-worked-on key has been at it, in seconds."""
        firsts = [next(iter(waiting.values())) for waiting in (self._ready, self._patient) if waiting]
        return now - min([*self._active.values(), *firsts], default=now)

    def longest_active(self, now: float) -> float:
        """For how long the key has been worked on that has been so for longest, in seconds."""
        return now - min(self._active.values(), default=now)

    def idle(self) -> bool:
        """Whether nothing is ready or being worked on."""
        return not self._ready and not self._patient and not self._active

    def _release(self, key: K) -> None:
        self._active.pop(key, None)

    def _give_up_time(self, key: K) -> None:
        # All of it: what stayed of a key whose object is gone would stay for good.
        self._due.pop(key, None)
        self._can_wait.discard(key)

    def _later(self, key: K, when: float, *, can_wait: bool = False) -> None:
        known = self._due.get(key)
        if known is None or when < known:
            self._due[key] = when
            (self._can_wait.add if can_wait else self._can_wait.discard)(key)
            self._serial += 1
            heapq.heappush(self._timers, (when, self._serial, key))
            if len(self._timers) > 2 * len(self._due) + 64:
                # Times that were given up stay in the heap until they come up; a deadline in a week would for a week.
                self._timers = [timer for timer in self._timers if self._due.get(timer[2]) == timer[0]]
                heapq.heapify(self._timers)

    def _wake(self, now: float) -> None:
        due = self.next_due()
        while due is not None and due <= now:
            _, _, key = heapq.heappop(self._timers)
            del self._due[key]
            can_wait = key in self._can_wait
            self._can_wait.discard(key)
            if key in self._active:
                self._dirty.add(key)
            elif key not in self._ready:
                since = self._patient.pop(key, due)
                (self._patient if can_wait else self._ready)[key] = since
            due = self.next_due()
