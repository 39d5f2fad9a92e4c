"""Answers requests by the version that they are for, whatever their protocol: the candidate's part is handed over, and
answered by the own model where the candidate fails.

What a version is timed by is the time from the moment when a request has been read to that when its answer is made:
a slow client is in neither version's time, nor is the way from one server to the other.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from headway_api.rollout_wire import Route, Unit
from headway_server.batching import Batcher
from headway_server.errors import DeadlineExceeded, RequestError
from headway_server.split.state import ALONE, ALONE_REMEMBERED, Choice, Outcome, State

Answer = TypeVar("Answer")
Told = TypeVar("Told")
Own = Callable[[float | None], Awaitable[Answer]]
"""The own model. Takes the seconds that are left for it."""
MOST_HANDED_PART = 0.5
"""Of all requests in flight: a candidate that is slow leaves the others to the own model."""
OWN_PART = 0.5
"""Of a request's time, which the own model has left where the candidate does not answer."""
REASONS = ("late", "refused", "failed", "unreached")
_SERVER_ERROR = 500


class CandidateFailed(Exception):  # noqa: N818 - what happened
    """The candidate gave no answer that a client can be given.

    connected: somebody was there. late: it was not waited for any longer. refused: it found fault with the request,
    which may be the request's own or the candidate's.
    """

    def __init__(self, reason: str, *, connected: bool = True, late: bool = False, refused: bool = False) -> None:
        super().__init__(reason)
        self.connected, self.late, self.refused = connected, late, refused


class Asked(Protocol[Answer]):
    """A request that has been read and that the model can be run on."""

    rows: int
    timeout: float | None
    """Seconds that the client gives."""
    hop: bool
    """Whether another server handed it over."""

    def unit(self, told: Unit) -> bytes | None:
        """What it is assigned by."""

    def given_unit(self, told: Unit) -> bytes | None:
        """A unit for whoever has none, which the answer then tells; None where the client would not keep it."""

    def reaches(self, route: Route) -> bool:
        """Whether the candidate takes requests by this protocol."""

    async def own(self, given: float | None) -> Answer:
        """The own model's answer. given: the seconds that are left for it. Raises RequestError."""

    async def theirs(self, route: Route, seconds: float) -> tuple[Answer, float]:
        """The candidate's answer, and the seconds that it took for it. Raises CandidateFailed, no later than after so
        many seconds."""

    def timed(self, answer: Answer, seconds: float) -> Answer:
        """The own answer with the seconds that it took, for the server that asked."""


class Splitting:
    """Belongs to one event loop. timeout_seconds: what a request has where it gives no less itself."""

    def __init__(
        self,
        state: State,
        batcher: Batcher,
        timeout_seconds: float,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.state = state
        self.handed = 0
        """Requests that are with the candidate."""
        self.answered: Counter[int] = Counter()
        """Answers by the number of the version that gave them."""
        self.fallbacks: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        """Answers that the own model gave in the candidate's place, by what was the matter with that."""
        self.mirror: Callable[[Any, Choice, Any, Outcome], None] | None = None
        """Takes a request of which the candidate is to get a copy, its own answer, and how that was."""
        self._batcher = batcher
        self._timeout = timeout_seconds
        self._most_handed = max(1, math.floor(batcher.limits.max_in_flight * MOST_HANDED_PART))
        self._clock = clock

    async def answer(self, asked: Asked[Answer], *, remembered: bool = False) -> Answer:
        """The answer of the version that the request is for. remembered: as in Choice. Raises RequestError."""
        choice = ALONE
        state = self.state
        if not asked.hop and state.route is not None and asked.reaches(state.route):
            unit = None
            if (told := state.unit) is not None:
                unit = asked.unit(told) or asked.given_unit(told)
            choice = state.choose(unit, room=self.room)
        elif state.role == "baking" and not asked.hop:
            choice = state.choose(None, room=True)
        return await self.carry_out(asked, as_remembered(choice) if remembered else choice)

    async def carry_out(self, asked: Asked[Answer], choice: Choice) -> Answer:
        """The answer of the version that was chosen."""
        if choice.theirs:
            return await self._handed(asked, choice)
        start = self._clock()
        answer = await self.own(asked.own, asked.timeout, choice, asked)
        return asked.timed(answer, self._clock() - start) if asked.hop else answer

    async def own(
        self, run: Own[Answer], given: float | None, choice: Choice, asked: Asked[Answer] | None = None
    ) -> Answer:
        """The own model's answer. asked: what may be copied; nothing more is needed of most requests than this does."""
        start = self._clock()
        try:
            answer = await run(given)
        except RequestError as error:
            if error.status >= _SERVER_ERROR and not self._hurried_out(error, given):
                self._concluded(asked, choice, None, Outcome(error=True))
            raise
        except Exception:
            self._concluded(asked, choice, None, Outcome(error=True))
            raise
        seconds = self._clock() - start
        self._answered(seconds, choice)
        if choice.epoch is not None:
            outcome = Outcome(seconds, seconds > self.patience)
            if asked is None:
                self.state.count(choice, outcome)
            else:
                self._concluded(asked, choice, answer, outcome)
        return answer

    def _concluded(self, asked: Asked[Answer] | None, choice: Choice, answer: Answer | None, outcome: Outcome) -> None:
        self.state.count(choice, outcome)
        if choice.mirror and asked is not None and self.mirror is not None:
            self.mirror(asked, choice, answer, outcome)

    @property
    def patience(self) -> float:
        """The seconds after which an answer is none: the same for both versions, for that either fails alike."""
        known = self.state.patience
        most = self._timeout * OWN_PART
        return most if known is None else min(known, most)

    def _budget(self, given: float | None) -> float:
        """The seconds that the candidate has."""
        return min(self.patience, (given or self._timeout) * OWN_PART)

    def _hurried_out(self, error: RequestError, given: float | None) -> bool:
        """Whether the client gave too little time: no version's fault."""
        return isinstance(error, DeadlineExceeded) and self._budget(given) < self.patience

    async def _handed(self, asked: Asked[Answer], choice: Choice) -> Answer:
        state, route = self.state, choice.route
        start = self._clock()
        try:
            answer, seconds = await self.send(asked.rows, lambda: asked.theirs(route, self._budget(asked.timeout)))
        except CandidateFailed as failure:
            problem = failure.with_traceback(None)  # whose frames hold the message
        except RequestError:  # too much is in flight, which an own answer would not have had room for either
            state.breaker.gave_up(probe=choice.probe)
            state.count(choice, Outcome(error=True))
            raise
        except BaseException:
            state.breaker.gave_up(probe=choice.probe)
            raise
        else:
            way = self._clock() - start
            self.answered[route.candidate] += 1
            state.reached(probe=choice.probe)
            state.count(choice, Outcome(min(seconds, way)))
            return answer
        self.fallbacks[_why(problem)] += 1
        if (
            problem.late and self._budget(asked.timeout) < self.patience
        ):  # the client gives little time: no version's fault
            state.breaker.gave_up(probe=choice.probe)
            return await self._in_its_place(asked, choice, self._clock() - start)
        if not problem.refused:
            state.unreached(probe=choice.probe, connected=problem.connected)
        return await self._blamed(asked, choice, problem, self._clock() - start)

    async def send(self, rows: int, sent: Callable[[], Awaitable[Told]]) -> Told:
        """What `sent` gives, which counts as in flight until then. Raises Overloaded, and what `sent` does."""
        self._batcher.hold(rows)
        self.handed += 1
        try:
            return await sent()
        finally:
            self.handed -= 1
            self._batcher.release(rows)

    @property
    def room(self) -> bool:
        """Whether one more may be handed over."""
        return self.handed < self._most_handed

    async def _blamed(self, asked: Asked[Answer], choice: Choice, problem: CandidateFailed, seconds: float) -> Answer:
        """The own answer to what the candidate failed at; where it finds fault with the request, too, nobody failed."""
        state, blame = self.state, True
        try:
            return await self._in_its_place(asked, choice, seconds)
        except RequestError as error:
            blame = error.status >= _SERVER_ERROR
            raise
        except asyncio.CancelledError:
            blame = not problem.refused
            raise
        finally:
            if blame:
                state.count(choice, Outcome(error=True, late=problem.late))
            if problem.refused and blame:
                state.unreached(probe=choice.probe, connected=True)
            elif problem.refused:
                state.breaker.gave_up(probe=choice.probe)

    async def _in_its_place(self, asked: Asked[Answer], choice: Choice, seconds: float) -> Answer:
        start = self._clock()
        answer = await asked.own(max(0.0, (asked.timeout or self._timeout) - seconds))
        self._answered(self._clock() - start, choice)
        return answer

    def _answered(self, seconds: float, choice: Choice) -> None:
        if not choice.remembered:  # else it took no run
            self.state.times.add(seconds)
        self.answered[self.state.version] += 1


def as_remembered(choice: Choice) -> Choice:
    """The same choice, for a request that the own cache has an answer to."""
    return ALONE_REMEMBERED if choice is ALONE else replace(choice, remembered=True)


def _why(problem: CandidateFailed) -> str:
    """One of REASONS."""
    if problem.late:
        return "late"
    if problem.refused:
        return "refused"
    return "failed" if problem.connected else "unreached"
