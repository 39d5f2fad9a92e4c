"""How the operator does with many jobs. Nodes and pods are kwok's; the API server, etcd and controllers are real.

All of it shares the machine's cores with the operator, as it did when KubeRay was measured. CPU is that of the
operator's process.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator

from bench.crowd import Crowd, Usage, paper
from bench.drivers import word
from bench.progress import progress
from bench.references import KUBERAY, KUBERAY_CPU, KUBERAY_JOBS, by_loop
from bench.report import Goal, Measured, Reference
from bench.running import ours_started
from bench.scrape import scrape
from bench.start_many import jobs, named
from cluster.paper import Paper
from headway_api import wire
from held_things import used_by

QUIET_CALLS = ("leases",)
"""What an idle operator asks of the API server, beside its watches and its comparison."""


def restart(jobs: int = 2000) -> Iterator[Measured]:
    """Many jobs until all are Running, against as many as `jobs` has; then the operator started again."""
    with paper() as site:
        few = ours_started(site, KUBERAY_JOBS).seconds / KUBERAY_JOBS
    with paper() as site:
        started = ours_started(site, jobs)
        # Nobody waits for a Lease here: that is another figure.
        began = time.monotonic()
        again = site.start("--no-leader-election")
        # Each job is in the queue once before the first is reconciled.
        site.until("each job reconciled", lambda: (again.metric("headway_reconcile_seconds_count") or 0) >= jobs, 120)
        reconciled = time.monotonic() - began
        phases = Counter(job["status"]["phase"] for job in site.cluster.items("tj"))
    if phases != {"Running": jobs}:
        raise RuntimeError(f"the restart changed jobs: {dict(phases)}")
    few_jobs = Reference(f"{KUBERAY_JOBS} jobs", few)
    yield Measured(named(jobs, "time a job"), started.seconds / jobs, "s", few_jobs, Goal("at most", 1.3, "ratio"))
    yield Measured(named(jobs, "CPU a job"), 1000 * started.cpu / jobs, "ms", by_loop(KUBERAY, KUBERAY_CPU))
    yield Measured(named(jobs, "memory a pod"), started.peak / jobs / 2, "MB", goal=Goal("at most", 0.1, "value"))
    yield Measured(
        f"operator started again with {jobs} jobs: each reconciled", reconciled, "s", goal=Goal("at most", 10, "value")
    )


def wide(workers: int = 500) -> Iterator[Measured]:
    """One job of many workers, until it is Running."""
    with paper() as site:
        started = ours_started(site, 1, workers=workers)
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
                before, calls = Usage.of(operator.process.pid), operator.calls()
                await asyncio.sleep(seconds)
                after, more = Usage.of(operator.process.pid), operator.calls()
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
    """Jobs created, finished and deleted all the time: memory, threads and open files have to stay where they are after
    the first fifth."""

    async def measure(site: Paper) -> tuple[list[tuple[float, int]], int]:
        readings: list[tuple[float, int]] = []
        done = 0
        with site.operator() as operator:
            async with Crowd.on(site.cluster, operator) as crowd:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    names = [f"job-{done + number}" for number in range(at_a_time)]
                    await crowd.submit(names)
                    await crowd.until("all Running", lambda: crowd.phases()["Running"] == at_a_time, 300)
                    await crowd.end_drivers(names, message="stored")
                    await crowd.until("all ended", lambda: crowd.phases()["Succeeded"] == at_a_time, 300)
                    await crowd.delete(names)
                    await crowd.until("none left", lambda: not crowd.jobs, 300)
                    pid = operator.process.pid
                    readings.append((Usage.of(pid).memory, sum(used_by(pid))))
                    done += at_a_time
        return readings, done

    with paper() as site:
        readings, done = asyncio.run(measure(site))
    fifth = max(1, len(readings) // 5)
    early, late = (tuple(map(max, zip(*part, strict=True))) for part in (readings[:fifth], readings[-fifth:]))
    what = f"churn of {seconds / 60:.0f} minutes"
    yield Measured(f"{what}: jobs", done, "")
    yield Measured(
        f"{what}: memory at the end",
        late[0],
        "MB",
        Reference("its first fifth", early[0]),
        Goal("at most", 1.05, "ratio"),
    )
    yield Measured(
        f"{what}: threads and open files at the end",
        late[1],
        "",
        Reference("its first fifth", early[1]),
        Goal("at most", 1.2, "ratio"),
    )


async def _finish(crowd: Crowd, site: Paper, name: str) -> None:
    """A job from beginning to end, to know what a finished job looks like."""
    await crowd.submit([name])
    await crowd.until("it runs", lambda: crowd.phases()["Running"] == 1, 120)
    uid = crowd.jobs[name]["metadata"]["uid"]
    patch = json.dumps({"data": {wire.KEY_PROGRESS: word(uid, 1, 7)}})
    site.cluster.kubectl("patch", "configmap", wire.object_name(name, uid, 1), "--type=merge", "-p", patch)
    await crowd.end_drivers([name], message="stored", result={"metrics": {"test/accuracy": "1"}})
    await crowd.until("it has ended", lambda: crowd.phases()["Succeeded"] == 1, 120)


PARTS = {
    "jobs": jobs,
    "restart": restart,
    "wide": wide,
    "idle": idle,
    "churn": churn,
    "progress": progress,
    "scrape": scrape,
}
