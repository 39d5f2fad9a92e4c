"""One read of the cluster for all who ask within some seconds: several tabs cost no more than one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Value = TypeVar("Value")
MOST_KEPT = 64
"""Reads; the oldest is forgotten first."""


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    read: bool = False
    value: Any = None
    until: float = 0.0


class Keeper:
    """What was read lately, by its key. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST_KEPT) -> None:
        self._clock, self._most = clock, most
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[str, ...], _Slot] = OrderedDict()

    def kept(self, key: tuple[str, ...], seconds: float, read: Callable[[], Value]) -> Value:
        """What `read` gives; or what it has given, up to so many seconds ago.

        Who asks while it is read waits for that. An error is not kept: the next one tries again.
        """
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._most:
                self._slots.popitem(last=False)
        with slot.lock:
            if not slot.read or self._clock() >= slot.until:
                slot.value = read()
                slot.read, slot.until = True, self._clock() + seconds
            found: Value = slot.value
            return found
