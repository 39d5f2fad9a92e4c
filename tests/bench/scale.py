"""How the operator does with many jobs. Nodes and pods are kwok's; the API server, etcd and controllers are real.

All of it shares the machine's cores with the operator, as it did when KubeRay was measured. CPU is that of the
operator's process, from the first job's creation until what can wait is written, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bench.crowd import SETTLE_SECONDS, Crowd, Usage, paper
from bench.report import Goal, Measured, Reference, kept_value
from cluster.paper import Operator, Paper

KUBERAY = "KubeRay, 500 RayClusters"
KUBERAY_JOBS = 500
KUBERAY_SECONDS = Reference(KUBERAY, 81.0)
"""The middle of 74 to 88."""
KUBERAY_CPU = Reference(KUBERAY, 22.0)
KUBERAY_MEMORY = Reference(KUBERAY, 92.0)
QUIET_CALLS = ("leases",)
"""What an idle operator asks of the API server, beside its watches and its comparison."""


@dataclass(frozen=True, slots=True)
class Started:
    """How a crowd of jobs started."""

    seconds: float
    cpu: float
    peak: float


def jobs(jobs: int = KUBERAY_JOBS) -> Iterator[Measured]:
    """Jobs of a head and a worker, created at once, until all are Running."""

    async def measure(site: Paper) -> Started:
        with site.operator() as operator:
            async with Crowd.on(site.cluster, operator) as crowd:
                return await _all_running(crowd, operator, jobs)

    with paper() as site:
        started = asyncio.run(measure(site))
    comparable = jobs == KUBERAY_JOBS
    yield Measured(
        _named(jobs, "all Running"),
        started.seconds,
        "s",
        KUBERAY_SECONDS if comparable else None,
        Goal("at most", 0.4, "ratio") if comparable else None,
    )
    cpu = 1000 * started.cpu / jobs
    yield Measured(_named(jobs, "CPU a job"), cpu, "ms", KUBERAY_CPU, Goal("at most", 1.0, "ratio"))
    yield Measured(_named(jobs, "peak memory"), started.peak, "MB", KUBERAY_MEMORY, Goal("at most", 180, "value"))


def restart(jobs: int = 2000) -> Iterator[Measured]:
    """Many jobs until all are Running, against the kept run of 500; then the operator killed and started again."""

    async def measure(site: Paper) -> Started:
        with site.operator() as operator:
            async with Crowd.on(site.cluster, operator) as crowd:
                started = await _all_running(crowd, operator, jobs)
            operator.kill()
        return started

    with paper() as site:
        started = asyncio.run(measure(site))
        # Nobody waits for the Lease of the killed one here: that is another figure.
        began = time.monotonic()
        again = site.start("--no-leader-election")
        # Each job is in the queue once before the first is looked at.
        site.until("each job looked at", lambda: (again.metric("headway_reconcile_seconds_count") or 0) >= jobs, 120)
        looked = time.monotonic() - began
        phases = Counter(job["status"]["phase"] for job in site.cluster.items("tj"))
    if phases != {"Running": jobs}:
        raise RuntimeError(f"the restart changed jobs: {dict(phases)}")
    kept = kept_value("scale", _named(KUBERAY_JOBS, "all Running"))
    few = Reference(f"{KUBERAY_JOBS} jobs", kept / KUBERAY_JOBS) if kept else None
    yield Measured(
        _named(jobs, "time a job"), started.seconds / jobs, "s", few, Goal("at most", 1.3, "ratio") if few else None
    )
    yield Measured(_named(jobs, "CPU a job"), 1000 * started.cpu / jobs, "ms", KUBERAY_CPU)
    yield Measured(_named(jobs, "memory a pod"), started.peak / jobs / 2, "MB", goal=Goal("at most", 0.1, "value"))
    yield Measured(
        f"operator started again with {jobs} jobs: each looked at", looked, "s", goal=Goal("at most", 10, "value")
    )


def wide(workers: int = 500) -> Iterator[Measured]:
    """One job of many workers, until it is Running."""

    async def measure(site: Paper) -> Started:
        with site.operator() as operator:
            async with Crowd.on(site.cluster, operator) as crowd:
                return await _all_running(crowd, operator, 1, workers=workers)

    with paper() as site:
        started = asyncio.run(measure(site))
    what = f"one job of {workers} workers"
    yield Measured(f"{what}: Running", started.seconds, "s")
    yield Measured(f"{what}: CPU a worker", 1000 * started.cpu / workers, "ms")
    yield Measured(f"{what}: peak memory", started.peak, "MB")


def idle(jobs: int = 1000, seconds: float = 90.0) -> Iterator[Measured]:
    """An operator with many finished jobs and nothing to do, between two of its comparisons, which come every 300 s."""

    async def measure(site: Paper) -> tuple[float, float, float]:
        async with Crowd.on(site.cluster) as crowd:
            with site.operator():
                await _finish(crowd, site, "pattern")
            finished = {"status": crowd.jobs["pattern"]["status"]}
            names = [f"job-{number}" for number in range(jobs)]
            await crowd.submit(names)
            await crowd.patch_status(names, finished)
            with site.operator() as operator:
                # The comparison that follows each start is over by then.
                await asyncio.sleep(20)
                before, calls = Usage.of(operator), operator.calls()
                await asyncio.sleep(seconds)
                after, more = Usage.of(operator), operator.calls()
        asked = sum(more[call] - calls[call] for call in more if call[1] not in QUIET_CALLS)
        return (after.cpu - before.cpu) / seconds, asked, after.memory

    with paper() as site:
        share, asked, memory = asyncio.run(measure(site))
    what = f"{jobs} finished jobs"
    yield Measured(f"{what}: CPU", 100 * share, "% of a core", goal=Goal("at most", 1.0, "value"))
    yield Measured(
        f"{what}: API calls in {seconds:.0f} s but watches and the Lease", asked, "", goal=Goal("at most", 0, "value")
    )
    yield Measured(f"{what}: memory", memory, "MB")


def churn(seconds: float = 300.0, at_a_time: int = 40) -> Iterator[Measured]:
    """Jobs created, finished and deleted all the time: memory has to stay where it is after the first fifth."""

    async def measure(site: Paper) -> tuple[list[float], int]:
        readings: list[float] = []
        done = 0
        with site.operator() as operator:
            async with Crowd.on(site.cluster, operator) as crowd:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    names = [f"job-{done + number}" for number in range(at_a_time)]
                    await crowd.submit(names)
                    await crowd.until("all Running", lambda: crowd.phases()["Running"] == at_a_time, 300)
                    await crowd.end_drivers(names)
                    await crowd.until("all ended", lambda: crowd.phases()["Succeeded"] == at_a_time, 300)
                    await crowd.delete(names)
                    await crowd.until("none left", lambda: not crowd.jobs, 300)
                    readings.append(Usage.of(operator).memory)
                    done += at_a_time
        return readings, done

    with paper() as site:
        readings, done = asyncio.run(measure(site))
    fifth = max(1, len(readings) // 5)
    early, late = max(readings[:fifth]), max(readings[-fifth:])
    what = f"churn of {seconds / 60:.0f} minutes"
    yield Measured(f"{what}: jobs", done, "")
    yield Measured(
        f"{what}: memory at the end", late, "MB", Reference("its first fifth", early), Goal("at most", 1.05, "ratio")
    )


def _named(jobs: int, what: str) -> str:
    return f"{jobs} jobs: {what}"


async def _all_running(crowd: Crowd, operator: Operator, count: int, *, workers: int = 1) -> Started:
    await _warm_up(crowd)
    await asyncio.sleep(SETTLE_SECONDS)
    before, began = Usage.of(operator), time.monotonic()
    await crowd.submit((f"job-{number}" for number in range(count)), workers=workers)
    await crowd.until("all Running", lambda: crowd.phases()["Running"] == count, 300 + count)
    seconds = time.monotonic() - began
    await asyncio.sleep(SETTLE_SECONDS)
    after = Usage.of(operator)
    return Started(seconds, after.cpu - before.cpu, after.peak)


async def _warm_up(crowd: Crowd) -> None:
    """A first job, until nothing is left of it.

    It brings what a namespace needs once. And the garbage collector learns of a new kind half a minute after it was
    installed; until then it asks for each owner.
    """
    await crowd.submit(["first"])
    await crowd.until("the first job", lambda: crowd.phases()["Running"] == 1, 120)
    await crowd.delete(["first"])
    async with asyncio.timeout(120):
        while await crowd.pods():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(1)


async def _finish(crowd: Crowd, site: Paper, name: str) -> None:
    """A job from beginning to end, to know what a finished job looks like."""
    await crowd.submit([name])
    await crowd.until("it runs", lambda: crowd.phases()["Running"] == 1, 120)
    site.say(name, {"percent": 100, "step": 7, "metrics": {"train/loss": "0.2"}})
    await crowd.end_drivers([name], result={"metrics": {"test/accuracy": "1"}})
    await crowd.until("it has ended", lambda: crowd.phases()["Succeeded"] == 1, 120)


PARTS = {"jobs": jobs, "restart": restart, "wide": wide, "idle": idle, "churn": churn}
