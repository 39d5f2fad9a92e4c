"""What a pod finds and leaves at fixed places."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from headway_api import understand, wire

ENV_TERMINATION_FILE = "HEADWAY_TERMINATION_FILE"
ENV_READY_FILE = "HEADWAY_READY_FILE"
"""Other places for the files that are left: several pods' processes can then run on one machine."""
_MEMORY_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Of cgroup v2 and v1."""


def read_run_file() -> wire.RunFile:
    """The RunFile that the operator wrote. Raises OSError and NotUnderstoodError: without it there is nothing to do."""
    path = os.environ.get(wire.ENV_RUN_FILE, f"{wire.RUN_DIR}/{wire.KEY_RUN}")
    return understand.read_run_file(Path(path).read_bytes())


def touch_ready() -> None:
    """Say that this pod is part of the Ray cluster."""
    Path(os.environ.get(ENV_READY_FILE, wire.READY_FILE)).touch()


def memory_kills(files: tuple[Path, ...] = _MEMORY_EVENTS) -> int:
    """How many processes of this container the kernel has ended for want of memory.

    The container itself goes on when one of its children is ended so, and Kubernetes does not say so of it.
    """
    for path in files:
        with contextlib.suppress(OSError, ValueError):
            counts = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0
