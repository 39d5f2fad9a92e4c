"""What a process, or a part of one, holds on to: for tests that a long life leaves no more behind than a short one."""

from __future__ import annotations

import os
from collections import Counter, deque
from pathlib import Path
from typing import Any, NamedTuple

_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


def held(package: str, *parts: object) -> Counter[str]:
    """How many things these objects hold, and the objects of the same package that they refer to, by where they do."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [(type(part).__name__, part) for part in parts]
    while waiting:
        where, part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, _CONTAINERS):
            # A Counter may have counted down to none.
            found[where] += sum(map(bool, part.values())) if isinstance(part, Counter) else len(part)
            waiting += [(f"{where}[]", one) for one in (part.values() if isinstance(part, dict) else part)]
        elif type(part).__module__.startswith(package):
            waiting += [(f"{where}.{name}", getattr(part, name, None)) for name in _names(part)]
    return +found


def _names(part: Any) -> list[str]:
    slots = [name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(part, "__dict__", {}), *slots]


class Use(NamedTuple):
    """What the system counts of a process."""

    threads: int
    files: int
    """Open ones, with sockets and pipes."""


def used_by(pid: int | None = None) -> Use:
    """By this process, or another one."""
    process = Path("/proc", str(os.getpid() if pid is None else pid))
    return Use(*(sum(1 for _ in (process / part).iterdir()) for part in ("task", "fd")))
