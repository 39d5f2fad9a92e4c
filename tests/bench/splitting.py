"""What it costs to split requests between two versions: the way to the candidate, and what all others pay.

The network and the client of `bench.serving`. Servers take turns, several rounds of each, and the least of a server's
figures counts, as other things on the machine only ever add to it. CPU is of the server's process alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.network import network
from bench.report import Goal, Measured, Reference
from bench.serving import cpu_seconds, load
from commands import COMMAND, clean_environment
from stub_judge import StubJudge, judged, stub_judge

FEW = 1e-9
"""A share that draws for each request, and hands none over."""
SETTLE_SECONDS = 3.0
"""After which a server has heard of another route."""


@dataclass
class Server:
    """A process of `headway serve`."""

    process: subprocess.Popen[str]
    port: int

    def cost(self, connections: int, seconds: float) -> tuple[float, float]:
        """Microseconds of CPU a request, and the median of a request in milliseconds."""
        before = cpu_seconds(self.process.pid)
        count, median, _ = load(self.port, connections, seconds)
        return (cpu_seconds(self.process.pid) - before) / count * 1e6, median


@contextlib.contextmanager
def serving(folder: Path, *words: str) -> Iterator[Server]:
    """A server of the network."""
    process = subprocess.Popen(
        [*COMMAND, "serve", str(folder), "--port=0", "--admin-port=0", "--drain-seconds=0", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+) \(", process.stdout.readline())
        assert found
        yield Server(process, int(found[1]))
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def judge() -> Iterator[StubJudge]:
    """A judge on a thread of its own."""
    made, end, loop = StubJudge(), threading.Event(), asyncio.new_event_loop()
    began = threading.Event()

    async def stand() -> None:
        async with stub_judge(judge=made):
            began.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: loop.run_until_complete(stand()))
    thread.start()
    began.wait()
    try:
        yield made
    finally:
        end.set()
        thread.join()
        loop.close()


def told(there: StubJudge, epoch: int, share: float, candidate: Server) -> None:
    """Have the servers keep to this share, and wait until they do."""
    there.route(epoch=epoch, share=share, candidate_url=f"http://127.0.0.1:{candidate.port}", slow=10.0)
    asyncio.run(asyncio.sleep(SETTLE_SECONDS))


def requests(seconds: float = 3.0, rounds: int = 3) -> Iterator[Measured]:
    """A request that is handed over beside one that is not, and one that is not beside one of a server that stands
    alone."""
    with tempfile.TemporaryDirectory() as name, judge() as there:
        folder = network(Path(name))
        words = judged(Path(name), there.port)
        with (
            serving(folder) as alone,
            serving(folder, *words, "--version=1") as stable,
            serving(folder, *words, "--version=2") as candidate,
        ):
            for one in (alone, stable, candidate):
                load(one.port, 8, 1.0)
            plain, drawn = [], []
            told(there, 1, FEW, candidate)
            for _ in range(rounds):
                plain.append(alone.cost(64, seconds)[0])
                drawn.append(stable.cost(64, seconds)[0])
            reference = Reference("a server that stands alone", min(plain))
            yield Measured("CPU of a request that is drawn for and not handed over", min(drawn), "us", reference)
            own = [stable.cost(1, seconds) for _ in range(rounds)]
            told(there, 2, 1.0, candidate)
            handed = [stable.cost(1, seconds) for _ in range(rounds)]
            median = min(one for _, one in own)
            more = min(one for _, one in handed) - median
            yield Measured("median that the way to the candidate adds", more, "ms", goal=Goal("at most", 1.0, "value"))
            many = [stable.cost(64, seconds)[0] for _ in range(rounds)]
            reference = Reference("one that is not handed over", min(drawn))
            yield Measured("CPU of the stable server for a request that is handed over", min(many), "us", reference)


PARTS = {"requests": requests}
