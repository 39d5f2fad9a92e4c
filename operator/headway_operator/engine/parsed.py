"""What packed JSON says, kept at hand: an object is looked at several times between two changes of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from headway_operator.engine.packed import Packed

T = TypeVar("T")


class Parsed(Generic[T]):
    """The values of the objects that were read last, by their uid. A value must not be changed by who is given it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[Packed, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, uid: str, packed: Packed, read: Callable[[Packed], T]) -> T:
        """What an object says. `read` tells it where that is not known; what it raises is raised."""
        before = self._known.get(uid)
        if before is not None and before[0] == packed:
            self._known.move_to_end(uid)
            return before[1]
        value = read(packed)
        self._known[uid] = packed, value
        self._known.move_to_end(uid)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return value
