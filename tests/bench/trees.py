"""A server as all of its processes: their CPU and memory, and their end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that it started, and these."""
    children: dict[int, list[int]] = {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit() and (words := _stat(int(one.name))):
            children.setdefault(int(words[1]), []).append(int(one.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def _stat(pid: int) -> list[str]:
    """From the state on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """Of the whole tree."""
    return sum(int(words[11]) + int(words[12]) for one in tree(pid) if (words := _stat(one))) / _TICKS


def memory_mib(pid: int) -> float:
    """Of the whole tree: what processes share counts once."""
    total = 0
    for one in tree(pid):
        try:
            told = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(size) for size in re.findall(r"^Pss:\s+(\d+)", told, re.MULTILINE))
    return total / 1024


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end what is left of its tree."""
    pids = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for one in pids[1:]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
