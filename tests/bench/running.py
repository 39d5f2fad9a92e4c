"""Jobs from their creation until all of them run, under Headway and under the bare operator beside it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bare_operator, copier
from bench.clones import PATTERN
from bench.crowd import CONFIG_MAPS, PODS, SETTLE_SECONDS, Crowd, Kind, Operator, Usage
from cluster.paper import Paper

WATCHES = 3
"""Of a kind of jobs: the operator's, the garbage collector's and the benchmark's."""
CRD = Path(__file__).with_name("bare_crd.yaml")


def _bare_document(name: str, **spec: Any) -> dict[str, Any]:
    api_version = f"{bare_operator.GROUP}/{bare_operator.VERSION}"
    return {"apiVersion": api_version, "kind": "BareJob", "metadata": {"name": name}, "spec": spec}


BARE_JOBS = Kind(
    f"/apis/{bare_operator.GROUP}/{bare_operator.VERSION}/namespaces/default/{bare_operator.PLURAL}", _bare_document
)


@dataclass(frozen=True, slots=True)
class Started:
    """How jobs started."""

    seconds: float
    """Until all ran."""
    cpu: float
    """Seconds of the operator's, until what can wait was written, too."""
    peak: float
    """MB of the operator's."""


OWNED = (
    CONFIG_MAPS,
    "/api/v1/namespaces/default/secrets",
    "/api/v1/namespaces/default/services",
    "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
    PODS,
)
"""What Headway makes for a job."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A process of a rival."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def bare(site: Paper) -> Iterator[Bare]:
    """The bare operator, with its kind; stopped afterwards."""
    site.cluster.kubectl("apply", "-f", str(CRD))
    plural = f"{bare_operator.PLURAL}.{bare_operator.GROUP}"
    site.until("the bare kind served", lambda: site.cluster.kubectl("get", plural, check=False).startswith("No res"))
    words = [sys.executable, "-m", "kopf", "run", "--standalone", "-A", "-m", bare_operator.__name__]
    with tempfile.NamedTemporaryFile() as log:
        environment = {**os.environ, "KUBECONFIG": str(site.cluster.kubeconfig)}
        process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
        try:
            yield Bare(process, Path(log.name))
        finally:
            process.terminate()
            process.wait(timeout=30)


def ours_started(site: Paper, jobs: int, *, workers: int = 1) -> Started:
    """That many jobs under Headway."""

    async def measure() -> Started:
        async with Crowd.on(site.cluster, operator) as crowd:
            return await all_running(crowd, operator, jobs, workers=workers)

    with site.operator() as operator:
        return asyncio.run(measure())


def bare_started(site: Paper, jobs: int) -> Started:
    """That many jobs under the bare operator."""

    async def measure() -> Started:
        async with Crowd.on(site.cluster, operator, BARE_JOBS) as crowd:
            return await all_running(crowd, operator, jobs)

    with bare(site) as operator:
        return asyncio.run(measure())


def copied_started(site: Paper, jobs: int) -> Started:
    """That many jobs under a process that makes what Headway makes, and decides nothing."""

    async def measure(operator: Bare) -> Started:
        async with Crowd.on(site.cluster, operator) as crowd:
            return await all_running(crowd, operator, jobs)

    with site.operator():
        told = asyncio.run(_of_a_first_job(site))
    with tempfile.NamedTemporaryFile("w") as file, tempfile.NamedTemporaryFile() as log:
        json.dump(told, file)
        file.flush()
        words = [sys.executable, "-m", copier.__name__, str(site.cluster.kubeconfig), file.name]
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            return asyncio.run(measure(Bare(process, Path(log.name))))
        finally:
            process.terminate()
            process.wait(timeout=30)


async def _of_a_first_job(site: Paper) -> dict[str, Any]:
    """A job that runs, what it has, and the Events about it; it is deleted."""
    async with Crowd.on(site.cluster) as crowd:
        await crowd.submit([PATTERN])
        await crowd.until("the pattern runs", lambda: crowd.phases()["Running"] == 1, 120)
        await asyncio.sleep(SETTLE_SECONDS)
        pattern = crowd.jobs[PATTERN]
        children = []
        for path in OWNED:
            found = await _items(crowd, path)
            owners = [(item, item["metadata"].get("ownerReferences") or ()) for item in found]
            uid = pattern["metadata"]["uid"]
            children += [(path, item) for item, own in owners if any(owner["uid"] == uid for owner in own)]
        events = [item for item in await _items(crowd, copier.EVENTS) if item["regarding"]["name"] == PATTERN]
        await crowd.delete([PATTERN])
    for path, child in children:
        if path == PODS:
            del child["spec"]["nodeName"]
    return {"pattern": pattern, "children": children, "events": events}


async def _items(crowd: Crowd, path: str) -> list[dict[str, Any]]:
    async with crowd.session.get(path) as answer:
        answer.raise_for_status()
        items: list[dict[str, Any]] = (await answer.json())["items"]
    return items


async def all_running(crowd: Crowd, operator: Operator, count: int, *, workers: int = 1) -> Started:
    """Create jobs at once, and wait until all run."""
    await _warm_up(crowd)
    await asyncio.sleep(SETTLE_SECONDS)
    before, began = Usage.of(operator.process.pid), time.monotonic()
    await crowd.submit((f"job-{number}" for number in range(count)), workers=workers)
    await crowd.until("all Running", lambda: crowd.phases()["Running"] == count, 300 + count)
    seconds = time.monotonic() - began
    await asyncio.sleep(SETTLE_SECONDS)
    after = Usage.of(operator.process.pid)
    return Started(seconds, after.cpu - before.cpu, after.peak)


async def _warm_up(crowd: Crowd) -> None:
    """A first job, until nothing is left of it: it brings what a namespace needs once.

    And until the garbage collector watches the kind, half a minute after that was installed: before, it asks for the
    owner of each object, again and again.
    """
    async with asyncio.timeout(120):
        while await crowd.watches() < WATCHES:  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(1)
    await crowd.submit(["first"])
    await crowd.until("the first job", lambda: crowd.phases()["Running"] == 1, 120)
    await crowd.delete(["first"])
    async with asyncio.timeout(120):
        while await crowd.pods():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(1)
