"""Real servers and a real judge: requests like the training rows are Stable, and others Drifted, whoever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_breast_cancer

from commands import clean_environment
from exported import exported
from headway_api.drift_wire import DriftWord, Watch
from headway_api.rollout_wire import Reply, Route, Sampling
from stub_judge import UID, judged, stub_judge
from wire_client import PATIENCE, Wire, ask

WINDOWS, WINDOW = 3, 1000
CLIENTS = 4
SHIFTED = 1
"""The column that moves by a standard deviation: one of thirty."""
HASTY = "import headway_server.drift.watching as w; w.BATCH_SECONDS = 0.5; from headway_cli.main import main; main()"
"""`headway` that sends what it has counted twenty times as often as it does."""
INFER = "/v2/models/cells/infer"


@dataclass
class Process:
    """Of `headway`."""

    process: asyncio.subprocess.Process
    port: int
    admin: int

    async def metric(self, name: str) -> float:
        """The sum of a metric's values."""
        text = (await ask(self.admin, "GET", "/metrics")).body.decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    async def tells(self, name: str, least: float) -> None:
        """Wait until a metric is so great."""
        async with asyncio.timeout(PATIENCE):
            while await self.metric(name) < least:  # noqa: ASYNC110 - another process has no event for it
                await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def process(*words: str) -> AsyncIterator[Process]:
    """One that says its ports; it is killed at the end, if it has not ended by then."""
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HASTY, *words),
        stdout=subprocess.PIPE,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert made.stdout is not None
        said = (await asyncio.wait_for(made.stdout.readline(), PATIENCE)).decode()
        told = re.search(r"on http://127.0.0.1:(\d+) \(health and metrics on port (\d+)\)", said)
        assert told, said
        yield Process(made, int(told[1]), int(told[2]))
    finally:
        if made.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                made.kill()
        await made.wait()


def judging(folder: Path, port: int = 0) -> contextlib.AbstractAsyncContextManager[Process]:
    """A judge by files."""
    files = (f"--route={folder / 'route.json'}", f"--verdict={folder / 'verdict.json'}")
    return process("judge", *files, f"--token-file={folder / 'token'}", f"--port={port}", "--admin-port=0")


def serving(model: Path, *words: str) -> contextlib.AbstractAsyncContextManager[Process]:
    """A server of version 1."""
    return process("serve", str(model), "--port=0", "--admin-port=0", "--version=1", "--drain-seconds=0", *words)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of real cells. What its training rows are like is all that matters, so its weights are as they were drawn."""
    folder = tmp_path_factory.mktemp("cells")
    exported(folder, {"source": {"builtin": {"name": "breast_cancer"}}}, job="cells")
    return folder


def rows(shift: float) -> Iterator[npt.NDArray[np.float64]]:
    """Rows of the data in no order, again and again. shift: of one column, in standard deviations."""
    x = np.array(load_breast_cancer().data)
    rng, deviation = np.random.default_rng(1), x[:, SHIFTED].std()
    while True:
        row = x[rng.integers(len(x))].copy()
        row[SHIFTED] += shift * deviation
        yield row


def body(several: list[npt.NDArray[np.float64]]) -> bytes:
    data = [value for row in several for value in row.tolist()]
    tensor = {"name": "x", "shape": [len(several), len(several[0])], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


async def ask_for(server: Process, judge: Process, shift: float, each: int, windows: int) -> None:
    """Rows of three windows. each: rows of a request. windows: those that are over already."""
    source = rows(shift)

    async def client() -> None:
        wire = await Wire.to(server.port)
        for _ in range(WINDOW // CLIENTS // each):
            reply = await wire.ask("POST", INFER, body([next(source) for _ in range(each)]))
            assert reply.status == 200, reply.body
        await wire.close()

    for number in range(1, WINDOWS + 1):
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await judge.tells("headway_judge_drift_windows", windows + number)


async def told(folder: Path, holds: Callable[[DriftWord], bool]) -> DriftWord:
    """The judge's word, once it is as it should be."""
    until, word = time.monotonic() + 2 * PATIENCE, None
    while time.monotonic() < until:
        file = folder / "verdict.json.drift"
        word = DriftWord.model_validate_json(file.read_text()) if file.exists() else word
        if word is not None and holds(word):
            return word
        await asyncio.sleep(0.1)
    raise AssertionError(f"the judge says {word}")


def watched(folder: Path) -> None:
    """What the operator writes."""
    (folder / "route.json").write_text(Route(uid=UID).model_dump_json())
    watch = Watch(uid=UID, version=1, sample=1.0, rows=WINDOW)
    (folder / "route.json.monitoring").write_text(watch.model_dump_json())


async def course(folder: Path, model: Path, each: int) -> None:
    watched(folder)
    judged(folder, 1)  # which makes the token
    async with judging(folder) as judge, serving(model, *judged(folder, judge.port)) as server:
        await told(folder, lambda word: word.state == "Insufficient")
        await ask_for(server, judge, 0.0, each, 0)
        if each == 1:
            await told(folder, lambda word: word.windows == WINDOWS)
            judge.process.kill()
        else:
            judge.process.terminate()  # which has a last word
        await judge.process.wait()
        stable = await told(folder, lambda word: word.windows == WINDOWS)
        assert (stable.state, stable.recent) == ("Stable", [False] * WINDOWS)
        assert (stable.score, stable.features, stable.data_quality) == (0.0, [], []), stable
        assert stable.watched >= 30
        assert await server.metric("headway_server_drift_rows_total") == WINDOWS * WINDOW
        async with judging(folder, judge.port) as again:
            await again.tells("headway_judge_drift_windows", stable.windows)  # it knows what it wrote
            await ask_for(server, again, 1.0, each, WINDOWS)
            drifted = await told(folder, lambda word: word.state == "Drifted")
            assert drifted.windows <= 2 * WINDOWS
            assert drifted.score is not None
            assert drifted.score >= 1
            assert drifted.recent[-2:] == [True, True]
            said = r"\d of the last 3 windows alarm .* 1 unlike the training rows in 1000 rows: .* \(score"
            assert re.search(said, drifted.message), drifted.message
            server.process.terminate()
            assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0


@pytest.mark.parametrize("each", [25, pytest.param(1, marks=pytest.mark.long)], ids=["many rows", "a row"])
def test_requests_as_trained_are_stable_and_shifted_ones_drifted_though_the_judge_began_again(
    tmp_path: Path, model: Path, each: int
) -> None:
    asyncio.run(course(tmp_path, model, each))


@pytest.mark.alone
@pytest.mark.long
def test_a_request_takes_as_long_whether_it_is_counted_or_not(tmp_path: Path, model: Path) -> None:
    async def medians() -> tuple[float, float]:
        async with stub_judge() as judge:
            words = judged(tmp_path, judge.port)
            judge.reply = Reply(sampling=Sampling(version=1, sample=0.1))
            async with serving(model, *words, "--version=2") as off, serving(model, *words) as on:
                seconds: tuple[list[float], list[float]] = [], []
                wires = await Wire.to(off.port), await Wire.to(on.port)
                source = rows(0.0)
                for turn in range(4000):
                    # In turns, so that both meet the same machine.
                    for which in (0, 1) if turn % 2 else (1, 0):
                        asked = body([next(source)])
                        start = time.perf_counter()
                        assert (await wires[which].ask("POST", INFER, asked)).status == 200
                        seconds[which].append(time.perf_counter() - start)
                for wire in wires:
                    await wire.close()
                counted = "headway_server_drift_rows_total"
                assert await on.metric(counted) > 200
                assert not await off.metric(counted)
                return statistics.median(seconds[0]), statistics.median(seconds[1])

    without, counting = asyncio.run(medians())
    print(f"p50 without {1e6 * without:.0f} µs, with {1e6 * counting:.0f} µs")
    assert counting < 1.1 * without
