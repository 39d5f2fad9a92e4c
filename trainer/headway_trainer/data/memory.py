"""What this process may still take, so that data too large is refused in a sentence rather than by the kernel."""

from __future__ import annotations

from pathlib import Path

from headway_trainer.errors import UserError

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USED = Path("/sys/fs/cgroup/memory.current")
_MEMINFO = Path("/proc/meminfo")


def available_bytes() -> int | None:
    """The memory that is left in this container, or on this machine; none where the system does not say."""
    free = []
    try:
        lines = _MEMINFO.read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        pass
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
        if limit != "max":
            free.append(int(limit) - int(_CGROUP_USED.read_text()))
    except OSError:
        pass
    return min(free, default=None)


def check_fits(needed: int, what: str) -> None:
    """Raise UserError if preparing what would take more bytes than are left."""
    left = available_bytes()
    if left is not None and needed > left:
        raise UserError(
            f"preparing {what} takes about {_size(needed)} of memory, but {_size(left)} are left: "
            "raise spec.head.resources.memory, or give less data"
        )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(0, count) / 2**20:.0f} MiB"
