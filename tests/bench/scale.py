"""How the operator does with many jobs. Nodes and pods are kwok's; the API server, etcd and controllers are real.

All of it shares the machine's cores with the operator, as it did when KubeRay was measured. CPU is that of the
operator's process from the first job's creation until nothing is left to be written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from bench.crowd import SETTLE_SECONDS, Crowd, Usage, paper
from bench.report import Goal, Measured, Reference
from cluster.paper import Paper

KUBERAY_SECONDS = Reference("KubeRay, 500 RayClusters", 81.0)
"""The middle of 74 to 88."""
KUBERAY_CPU = Reference("KubeRay, 500 RayClusters", 22.0)
KUBERAY_MEMORY = Reference("KubeRay, 500 RayClusters", 92.0)


def jobs(jobs: int = 500) -> Iterator[Measured]:
    """Jobs of a head and a worker, created at once, until all are Running."""
    with paper() as site:
        seconds, cpu, usage = asyncio.run(_all_running(site, jobs))
    what = f"{jobs} jobs"
    fair = jobs == 500
    yield Measured(
        f"{what}: all Running",
        seconds,
        "s",
        KUBERAY_SECONDS if fair else None,
        Goal("at most", 0.4, "ratio") if fair else None,
    )
    yield Measured(f"{what}: CPU a job", 1000 * cpu / jobs, "ms", KUBERAY_CPU, Goal("at most", 1.0, "ratio"))
    yield Measured(f"{what}: peak memory", usage.peak, "MB", KUBERAY_MEMORY, Goal("at most", 180, "value"))


async def _all_running(site: Paper, count: int) -> tuple[float, float, Usage]:
    with site.operator() as operator:
        async with Crowd.on(site.cluster) as crowd:
            await asyncio.sleep(SETTLE_SECONDS)
            before, began = Usage.of(operator), time.monotonic()
            await crowd.submit(f"job-{number}" for number in range(count))
            await crowd.until("all Running", lambda: crowd.phases()["Running"] == count, 60 + count)
            seconds = time.monotonic() - began
            await asyncio.sleep(SETTLE_SECONDS)
            after = Usage.of(operator)
    return seconds, after.cpu - before.cpu, after


PARTS = {"jobs": jobs}
