"""What a request costs: `headway serve` beside the same model in this process, without a server.

One row of 64 numbers as JSON for a small network (64, 128, 128, 10). A client in a process of its own keeps connections
open and sends on each as soon as it has an answer. CPU is the server's process alone, which is what a pod pays; on a
machine with other things to do it is the figure to trust, and seconds are what these others leave.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from bench.network import body, in_process, network
from bench.peers import peers
from bench.report import Goal, Measured, Reference
from commands import COMMAND, clean_environment
from wire_client import request

_TICKS = os.sysconf("SC_CLK_TCK")


def requests(seconds: float = 5.0) -> Iterator[Measured]:
    """Cost, time and number of requests at 1, 8 and 64 connections, beside the same work in process."""
    with tempfile.TemporaryDirectory() as told:
        folder = network(Path(told))
        alone = in_process(folder)
        began = time.perf_counter()
        server = subprocess.Popen(
            [*COMMAND, "serve", str(folder), "--port=0", "--admin-port=0", "--drain-seconds=0"],
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            assert server.stdout is not None
            found = re.search(r":(\d+) \(", server.stdout.readline())
            assert found
            start = time.perf_counter() - began
            for connections in (1, 8, 64):
                yield from _measured(int(found[1]), connections, seconds, server.pid, alone)
            yield Measured(
                "seconds from the command to the first request", start, "s", goal=Goal("at most", 2, "value")
            )
            resident = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[0]) / 1024
            yield Measured("resident memory after all of it", resident, "MiB", goal=Goal("at most", 100, "value"))
        finally:
            server.terminate()
            server.wait()


def _measured(port: int, connections: int, seconds: float, pid: int, alone: float) -> Iterator[Measured]:
    load(port, connections, min(1.0, seconds))  # what the first requests reserve is not theirs
    before = cpu_seconds(pid)
    count, median, slow = load(port, connections, seconds)
    cost = (cpu_seconds(pid) - before) / count * 1e6
    at = f"at {connections} connections"
    goal = Goal("at most", 150, "value") if connections > 1 else None
    yield Measured(f"CPU of the server a request {at}", cost, "us", goal=goal)
    yield Measured(f"requests a second {at}", count / seconds, "1/s")
    reference = Reference("in process", alone) if connections == 1 else None
    yield Measured(f"median of a request {at}", median, "ms", reference=reference)
    yield Measured(f"99th percentile of a request {at}", slow, "ms")


def cpu_seconds(pid: int) -> float:
    """That a process has taken so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def load(port: int, connections: int, seconds: float) -> tuple[int, float, float]:
    """Requests that were answered, their median and 99th percentile in milliseconds, by a client of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.serving", str(port), str(connections), str(seconds)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, median, slow = done.stdout.split()
    return int(count), float(median), float(slow)


class Sender(asyncio.Protocol):
    """A connection that sends as soon as it has an answer. taken: where the seconds of each go."""

    def __init__(self, sent: bytes, until: float, taken: list[float]) -> None:
        self.sent, self.until, self.taken = sent, until, taken
        self.found = b""
        self.start = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no instances of it
        self._send()

    def _send(self) -> None:
        self.start = time.perf_counter()
        self.transport.write(self.sent)

    def data_received(self, data: bytes) -> None:
        self.found += data
        head, end, rest = self.found.partition(b"\r\n\r\n")
        if not end or len(rest) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self.found
        self.taken.append(time.perf_counter() - self.start)
        self.found = b""
        if time.perf_counter() < self.until:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.closed.set_result(None)


async def send(port: int, connections: int, seconds: float) -> list[float]:
    """Keep these connections busy for so long; the seconds of each request."""
    loop, taken = asyncio.get_running_loop(), list[float]()
    sent, until = request("POST", "/v2/models/network/infer", body()), time.perf_counter() + seconds
    made = [
        await loop.create_connection(lambda: Sender(sent, until, taken), "127.0.0.1", port) for _ in range(connections)
    ]
    await asyncio.gather(*(sender.closed for _, sender in made))
    return taken


PARTS = {"requests": requests, "peers": peers}

if __name__ == "__main__":
    import uvloop

    seconds_taken = uvloop.run(send(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
    milliseconds = np.array(seconds_taken) * 1e3
    print(len(milliseconds), np.median(milliseconds), np.percentile(milliseconds, 99))
