"""Work on several runs at once, in a thread each; the calling thread hears of a stop and says that it is alive."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
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
    items: Sequence[Item],
    work: Callable[[Item], Value],
    *,
    at_once: int,
    stop: threading.Event,
    alive: Callable[[], None],
) -> list[Value]:
    """What work gives for each item, in their order; at_once of them at a time, the first ones first.

    When stop is set, or one of them raises, the others are asked to stop, and no further one is begun. Raises what the
    first one has raised, errors before Interrupted, once all have ended; and Interrupted where some were never begun.
    """
    under_way = _UnderWay(items, work, stop)
    threads = [
        threading.Thread(target=under_way.run, name=f"headway-run-{number}", daemon=True)
        for number in range(min(at_once, len(items)))
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

    def __init__(self, items: Sequence[Item], work: Callable[[Item], Value], stop: threading.Event) -> None:
        self._items, self._work, self._stop = items, work, stop
        self._waiting = queue.SimpleQueue[int]()
        for index in range(len(items)):
            self._waiting.put(index)
        self._values: dict[int, Value] = {}
        self._errors: list[BaseException] = []
        self._ending = threading.Event()

    def is_over(self) -> bool:
        """Whether no further item is begun."""
        return self._ending.is_set() or self._stop.is_set()

    def run(self) -> None:
        """Work on one item after the other, as long as there are some."""
        with contextlib.suppress(queue.Empty):
            while not self.is_over():
                index = self._waiting.get_nowait()
                try:
                    self._values[index] = self._work(self._items[index])
                except BaseException as error:
                    self._errors.append(error)
                    self._ending.set()

    def end(self) -> None:
        """Ask all to stop."""
        for item in self._items:
            item.stop.set()

    def values(self) -> list[Value]:
        """What came of all, once the threads have ended."""
        if self._errors:
            raise next((error for error in self._errors if not isinstance(error, Interrupted)), self._errors[0])
        never = [item.scope for index, item in enumerate(self._items) if index not in self._values]
        if never:
            raise Interrupted(f"stopped before {never[0]} began")
        return [self._values[index] for index in range(len(self._items))]
