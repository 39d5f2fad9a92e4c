"""Work on several runs at once, in a thread each; the calling thread hears of a stop and says that it is alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from headway_trainer.outcome import Interrupted

TURN_SECONDS = 0.25


class Stoppable(Protocol):
    """What is worked on."""

    scope: str
    stop: threading.Event


Item = TypeVar("Item", bound=Stoppable)
Value = TypeVar("Value")


def side_by_side(
    items: Iterable[Item],
    work: Callable[[Item], Value],
    *,
    at_once: int,
    stop: threading.Event,
    alive: Callable[[], None],
) -> list[Value]:
    """What work gives for each item, in their order; at_once of them at a time, the first ones first.

    An item is asked for when there is room for it, by the thread that works on it: by one thread at a time, so what
    gives them may wait for what becomes of others, but has to give none any more once stop is set, or one has failed.

    When stop is set, or one of them raises, the others are asked to stop, and no further one is begun. Raises what the
    first one has raised, errors before Interrupted, once all have ended; and Interrupted where some were never begun.
    """
    under_way = _UnderWay(items, work, stop)
    threads = [
        threading.Thread(target=under_way.run, name=f"headway-run-{number}", daemon=True) for number in range(at_once)
    ]
    for thread in threads:
        thread.start()
    while living := [thread for thread in threads if thread.is_alive()]:
        alive()
        if under_way.is_over():
            under_way.end()
        living[0].join(TURN_SECONDS)
    return under_way.values()


class _UnderWay(Generic[Item, Value]):
    """What the threads share."""

    def __init__(self, items: Iterable[Item], work: Callable[[Item], Value], stop: threading.Event) -> None:
        self._waiting, self._work, self._stop = iter(items), work, stop
        self._asking = threading.Lock()
        self._count = 0
        """How many were begun."""
        self._under_way: dict[int, Item] = {}
        """Those of them that have not ended."""
        self._values: dict[int, Value] = {}
        self._errors: list[BaseException] = []
        self._ending = threading.Event()

    def is_over(self) -> bool:
        """Whether no further item is begun."""
        return self._ending.is_set() or self._stop.is_set()

    def run(self) -> None:
        """Work on one item after the other, as long as there are some."""
        try:
            while (taken := self._next()) is not None:
                index, item = taken
                self._values[index] = self._work(item)
                del self._under_way[index]
        except BaseException as error:
            self._errors.append(error)
            self._ending.set()

    def _next(self) -> tuple[int, Item] | None:
        with self._asking:
            if self.is_over():
                return None
            for item in self._waiting:
                index, self._count = self._count, self._count + 1
                self._under_way[index] = item
                return index, item
            return None

    def end(self) -> None:
        """Ask all to stop."""
        for item in list(self._under_way.values()):
            item.stop.set()

    def values(self) -> list[Value]:
        """What came of all, once the threads have ended."""
        if self._errors:
            raise next((error for error in self._errors if not isinstance(error, Interrupted)), self._errors[0])
        never = next(self._waiting, None)
        if never is not None:
            raise Interrupted(f"stopped before {never.scope} began")
        return [self._values[index] for index in range(self._count)]
