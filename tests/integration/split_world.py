"""Processes of `headway serve`, a judge that says what a test has it say, and clients that send without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import COMMAND, clean_environment
from served import bundle
from stub_judge import StubJudge, judged, stub_judge
from wire_client import PATIENCE, Wire, ask

BODY = json.dumps(
    {
        "inputs": [
            {"name": "size", "shape": [1, 1], "datatype": "FP64", "data": [1.5]},
            {"name": "town", "shape": [1, 1], "datatype": "BYTES", "data": ["Kobe"]},
        ]
    }
).encode()
INFER = "/v2/models/churn/infer"
LEAST_GOOD = 200


@dataclass
class Server:
    """A process of `headway serve`."""

    process: asyncio.subprocess.Process
    port: int
    grpc: int
    admin: int

    @property
    def url(self) -> str:
        """Where a route says that it is."""
        return f"http://127.0.0.1:{self.port}"

    async def metric(self, name: str) -> float:
        """The sum of a metric's values."""
        text = (await ask(self.admin, "GET", "/metrics")).body.decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"headway_server_{name}"))


@contextlib.asynccontextmanager
async def begun(*words: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process of `headway`, and the first line that it says; it is killed at the end, if it has not ended by then."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, stdout=subprocess.PIPE, env=clean_environment() | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        yield process, (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def serving(
    folder: Path, version: int, *words: str, model: bytes | None = None, kept: bool = False
) -> AsyncIterator[Server]:
    """A server on free ports, once it takes requests. kept: whether the folder holds its model already."""
    files = str(folder if kept else bundle(folder, model))
    words = ("--port=0", "--admin-port=0", "--grpc-port=0", f"--version={version}", "--drain-seconds=2", *words)
    async with begun("serve", files, *words) as (process, said):
        told = re.search(r"on http://127.0.0.1:(\d+) and .* port (\d+) \(.* port (\d+)\)\n", said)
        assert told, said
        yield Server(process, *map(int, told.groups()))


@dataclass
class World:
    """A judge, a stable server and a candidate."""

    judge: StubJudge
    stable: Server
    candidate: Server

    async def split(self, slow: float | None = None, **route: Any) -> None:
        """Split as this route says, from now on."""
        epoch = route.pop("epoch", (self.judge.reply.route.epoch if self.judge.reply.route else 0) + 1)
        self.judge.route(slow, epoch=epoch, **{"candidate_url": self.candidate.url} | route)
        await self.judge.follows()


@contextlib.asynccontextmanager
async def world(folder: Path, *words: str, model: bytes | None = None) -> AsyncIterator[World]:
    """All three. words: of both servers. model: the candidate's."""
    async with stub_judge() as judge:
        told = [*judged(folder, judge.port), *words]
        async with (
            serving(folder / "1", 1, *told) as stable,
            serving(folder / "2", 2, *told, model=model) as candidate,
        ):
            yield World(judge, stable, candidate)


@dataclass
class Load:
    """Clients that send on connections of their own until they are told to stop."""

    port: int
    connections: int = 8
    path: str = INFER
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By status and version."""
    slowest: float = 0.0
    total: int | None = None
    _stop: bool = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self.connections)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = self._stop or self.total is None
        await asyncio.wait_for(asyncio.gather(*self._tasks), 3 * PATIENCE)

    async def sent(self, more: int) -> None:
        """Wait until so many more were answered."""
        until = self.answers.total() + more
        async with asyncio.timeout(PATIENCE):
            while self.answers.total() < until:  # noqa: ASYNC110 - clients in tasks have no event for it
                await asyncio.sleep(0.01)

    @property
    def failed(self) -> dict[tuple[int, str], int]:
        """All but answers."""
        return {key: count for key, count in self.answers.items() if key[0] != LEAST_GOOD}

    def of(self, version: str) -> int:
        """How many were this version's."""
        return sum(count for (_, told), count in self.answers.items() if told == version)

    async def _client(self) -> None:
        wire = await Wire.to(self.port)
        begun = 0
        while not self._stop and (self.total is None or begun < self.total // self.connections):
            begun += 1
            start = time.monotonic()
            reply = await wire.ask("POST", self.path, BODY)
            self.slowest = max(self.slowest, time.monotonic() - start)
            self.answers[reply.status, reply.headers.get("headway-version", "")] += 1
            if reply.headers.get("connection") == "close":
                await wire.close()
                wire = await Wire.to(self.port)
        await wire.close()
