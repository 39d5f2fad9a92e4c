"""What this process may still take, so that data too large is refused in a sentence rather than by the kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from headway_trainer.errors import UserError

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
TABLE_SHARE = 1.35
"""What preparation takes at most for a table: it works by columns and by blocks of rows."""
ARRAY_SHARE = 1.0
"""The same for arrays."""
PASSING_ARRAYS_BYTES = 170 * 1024 * 1024
"""Blocks of arrays on their way, and the rows that the reference of a model is made of."""
PASSING_BYTES = 110 * 1024 * 1024
"""Blocks on their way, whatever the size of the data."""


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """The memory that is left in this container, or on this machine; none where the system does not say."""
    free = []
    with contextlib.suppress(OSError):
        free += [count * 1024 for name, count in _table(meminfo).items() if name == "MemAvailable:"]
    with contextlib.suppress(OSError):
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            # Pages of files count as used, but are given back when they are needed.
            stat = _table(cgroup / "memory.stat")
            cached = stat.get("active_file", 0) + stat.get("inactive_file", 0)
            free.append(int(limit) - int((cgroup / "memory.current").read_text()) + cached)
    return min(free, default=None)


def check_fits(needed: int, what: str) -> None:
    """Raise UserError if preparing what would take more bytes than are left."""
    check_memory(needed, f"preparing {what}", "raise spec.head.resources.memory, or give less data")


def check_memory(needed: int, doing: str, remedy: str) -> None:
    """Raise UserError if doing something would take more bytes than are left. remedy: what the user can do then."""
    left = available_bytes()
    if left is not None and needed > left:
        raise UserError(f"{doing} takes about {_size(needed)} of memory, but {_size(left)} are left: {remedy}")


def check_table(columns: Iterable[tuple[pa.DataType, int]], rows: int, what: str, passing: int = 0) -> None:
    """As check_fits, for a table of columns given as (type, bytes of the column as text).

    passing are bytes that are there while it is read, and no more when it is prepared.
    """
    table = sum(_column_bytes(kind, rows, text) for kind, text in columns)
    check_fits(int(table * TABLE_SHARE) + max(2 * passing, min(PASSING_BYTES, 4 * table)), what)


def check_arrays(size: int, what: str) -> None:
    """As check_fits, for size bytes of arrays."""
    check_fits(int(size * ARRAY_SHARE) + min(PASSING_ARRAYS_BYTES, 4 * size), what)


def _column_bytes(kind: pa.DataType, rows: int, text: int) -> int:
    if pa.types.is_string(kind):
        return text
    return 0 if pa.types.is_null(kind) else rows * kind.bit_width // 8 + rows // 8


def _table(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(0, count) / 2**20:.0f} MiB"
