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
    errors: int = 0
    """How many reads have failed."""
    error: Exception | None = None
    """Of the last one."""


class Keeper:
    """What was read lately, by its key. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST_KEPT) -> None:
        self._clock, self._most = clock, most
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[str, ...], _Slot] = OrderedDict()

    def kept(self, key: tuple[str, ...], seconds: float, read: Callable[[], Value]) -> Value:
        """What `read` gives; or what it has given, up to so many seconds ago.

        Who asks while it is read waits for that, and gets its error, too: a cluster that does not answer would hold
        all who wait, one after the other. An error is not kept: who asks afterwards tries again.
        """
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._most:
                self._slots.popitem(last=False)
            errors = slot.errors
        with slot.lock:
            if slot.error is not None and slot.errors != errors:
                raise slot.error
            if not slot.read or self._clock() >= slot.until:
                try:
                    slot.value = read()
                except Exception as error:
                    slot.errors, slot.error = slot.errors + 1, error
                    raise
                slot.read, slot.until, slot.error = True, self._clock() + seconds, None
            found: Value = slot.value
            return found
