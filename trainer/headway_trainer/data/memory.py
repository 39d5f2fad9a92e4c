"""What this process may still take, so that data too large is refused in a sentence rather than by the kernel."""

from __future__ import annotations

import contextlib
from pathlib import Path

from headway_trainer.errors import UserError

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


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
    left = available_bytes()
    if left is not None and needed > left:
        raise UserError(
            f"preparing {what} takes about {_size(needed)} of memory, but {_size(left)} are left: "
            "raise spec.head.resources.memory, or give less data"
        )


def _table(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(0, count) / 2**20:.0f} MiB"
