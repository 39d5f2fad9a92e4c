"""How many CPUs this process may use: what its container is limited to, not what the node has."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpu_limit(cgroup: Path = CGROUP) -> int:
    """Whole CPUs, at least 1: the cgroup's quota rounded up, and no more than the process is allowed to run on."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, min(allowed, math.ceil(quota))) if quota is not None else allowed


def _quota(cgroup: Path) -> float | None:
    """CPUs by version 2 or 1 of cgroups; None where there is no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{one}_us").read_text().strip() for one in ("quota", "period"))
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max", or -1: no limit
        return None
    return int(quota) / int(period)
