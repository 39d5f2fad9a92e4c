"""What a scrape of many jobs costs, by the operator's own HTTP server: its seconds, its size, and how long anything
else that the operator does has to wait meanwhile. Jobs and their statuses are made up, as large as they get in weeks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import aiohttp

from bench.report import Goal, Measured
from headway_api.status import SPENT
from headway_operator.engine import health
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.metrics import OPENMETRICS, EngineMetrics, MetricSet
from headway_operator.engine.packed import pack
from headway_operator.engine.times import to_text
from headway_operator.training.figures import MOST_METRICS, JobFigures
from sim.builders import T0, spec

ATTEMPTS, METRICS = 20, 128


def job(number: int) -> Owner:
    """A job that has run for long: 20 attempts, 128 metrics, conditions, and seconds in every state."""
    name, now = f"a-training-job-of-some-team-{number}", to_text(T0 + number)
    attempt = {
        "name": f"{name}-abcde-1",
        "image": "registry.example.com/trainer:1.2.3",
        "startTime": now,
        "endTime": now,
    }
    progress = {"percent": 38, "epoch": 3, "step": number, "etaSeconds": 3600, "samplesPerSecond": 1234.5}
    status = {
        "phase": "Running",
        "attempt": ATTEMPTS,
        "attempts": [{"number": one + 1, **attempt, "message": "x" * 80} for one in range(ATTEMPTS)],
        "workers": {"desired": 8, "ready": 8},
        "checkpoint": {"uri": f"s3://bucket/headway/{name}", "step": number, "time": now},
        "progress": {
            **progress,
            "updateTime": now,
            "metrics": {f"validation/metric-{one}": f"0.{number}{one}" for one in range(METRICS)},
        },
        "time": {"until": now, "doing": "training", "seconds": dict.fromkeys(SPENT, number), "step": number},
    }  # fmt: skip
    key = Key("TrainingJob", f"team-{number % 50}", name)
    return Owner(key, f"uid-{number}", 1, 1, T0 + number, False, pack(spec()), pack(status), "Running")


async def _scraped(jobs: list[Owner]) -> tuple[float, int, int, float]:
    metrics = MetricSet()
    EngineMetrics(metrics)
    metrics.tell_of(JobFigures(lambda: jobs, now=lambda: T0, limit=len(jobs)))
    runner = await health.serve(metrics.scrape, lambda: None, lambda: None, {"metrics": 0, "health": 0})
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    beating = asyncio.create_task(beat())
    try:
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(headers={"Accept": OPENMETRICS}) as session:
            began = time.process_time()
            async with session.get(f"http://{host}:{port}/metrics") as answer:
                body = await answer.read()
            return time.process_time() - began, len(body), body.count(b"\nheadway_job_"), longest
    finally:
        beating.cancel()
        await runner.cleanup()


def scrape(jobs: int = 5000) -> Iterator[Measured]:
    """A scrape of as many running jobs, each with all the series that it may have; the first one, and the next."""
    made = [job(number) for number in range(jobs)]
    seconds, size, series, longest = asyncio.run(_scraped(made))
    what = f"a scrape of {jobs} jobs with {MOST_METRICS} metrics each"
    yield Measured(f"{what}: CPU of server and client", seconds, "s", goal=Goal("at most", 1.0, "value"))
    yield Measured(f"{what}: size", size / 1e6, "MB", goal=Goal("at most", 30.0, "value"))
    yield Measured(f"{what}: series", series, "")
    yield Measured(f"{what}: the event loop stands still for at most", 1000 * longest, "ms")
