"""Virtual time: what is to happen next in a world, and the event loops of the processes that live in it."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SPINNING = 20_000
"""So many callbacks of one process at one moment are no work any more."""


class Agenda:
    """What will happen, in the order of its time. Time passes at once, from one thing to the next."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, when: float, happen: Callable[..., object], *args: Any) -> None:
        """Something happens at a time."""
        self._serial += 1
        heapq.heappush(self._heap, (max(when, self.now), self._serial, happen, args))

    def after(self, seconds: float, happen: Callable[..., object], *args: Any) -> None:
        """Something happens after so many seconds."""
        self.at(self.now + seconds, happen, *args)

    def step(self, until: float) -> bool:
        """The next thing happens; false if there is none until then."""
        if not self._heap or self._heap[0][0] > until:
            self.now = until
            return False
        self.now, _, happen, args = heapq.heappop(self._heap)
        happen(*args)
        return True


class _Handle(asyncio.Handle):
    """As asyncio's, which asks its loop each time whether it debugs."""

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: ProcessLoop, context: Context | None
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one process: runs when the world lets it, may be frozen as by SIGSTOP, and may be killed."""

    def __init__(
        self,
        agenda: Agenda,
        on_error: Callable[[dict[str, Any]], None],
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        self._agenda = agenda
        self._enter = enter
        self._on_error = on_error
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._spinning = (0.0, 0)
        self.frozen = False
        self.dead = False

    def pump(self) -> None:
        """Run what is ready."""
        if not self._ready or self.frozen or self.dead:
            return
        since, turns = self._spinning
        turns = turns if since == self._agenda.now else 0
        self._enter()
        asyncio._set_running_loop(self)  # for who implements a loop
        try:
            while self._ready and not self.frozen and not self.dead:
                handle = self._ready.popleft()
                turns += 1
                if turns > SPINNING:
                    self.frozen = True
                    self._on_error({"message": "it spins: no time passes, and it is never done"})
                if not handle.cancelled():
                    handle._run()
        finally:
            self._spinning = (self._agenda.now, turns)
            asyncio._set_running_loop(None)

    def bury(self) -> None:
        """The process is dead: its tasks end without a trace. Nothing that they still do may reach the world."""
        self.frozen, self.dead = False, False
        self._on_error = lambda _: None
        for _ in range(10):
            self._spinning = (0.0, 0)
            for task in self._tasks:
                task.cancel()
            self.pump()
        self.dead = True

    # What asyncio asks of a loop

    def time(self) -> float:
        """Seconds."""
        return self._agenda.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback when the world lets the process run."""
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after so many seconds."""
        return self.call_at(self._agenda.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._agenda.at(when, self._due, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        """A task of this loop."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Something was raised that nobody caught."""
        if not self.dead:
            self._on_error(context)

    def get_debug(self) -> bool:
        """No."""
        return False

    def is_running(self) -> bool:
        """As long as it is asked."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _due(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled() and not self.dead:
            self._ready.append(handle)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("this coroutine was not to wait")
