"""`headway serve` as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands import COMMAND, run_environment

_SERVING = re.compile(r"on http://127\.0\.0\.1:(\d+) and by gRPC on port (\d+) \(health and metrics on port (\d+)\)")
PATIENCE = 60
"""Seconds that it may take to end."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that takes requests."""

    process: subprocess.Popen[str]
    port: int
    """REST."""
    grpc_port: int
    admin_port: int

    def resident_mib(self) -> float:
        """Its memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024

    def terminate(self) -> None:
        """What a cluster does first to end it."""
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[ServerProcess]:
    """A server of a finished run's folder, on free ports. At the end it is interrupted, and has to end well."""
    ports = ("--port", "0", "--admin-port", "0", "--grpc-port", "0")
    process = subprocess.Popen(
        [*COMMAND, "serve", str(folder), *ports, *words],
        env=run_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        found = _SERVING.search(told)
        assert found, told + process.stdout.read()
        yield ServerProcess(process, *map(int, found.groups()))
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, rest
        assert rest == "", rest
    finally:
        process.kill()
        process.communicate()
