"""Thousands of jobs that run and say how far they are: how soon a change of a spec is seen to, and what that costs.

The operator has one core, which it shares with whatever else the kernel puts there; API server, etcd, kwok and the
drivers have all cores. The drivers speak as often as they were told when their attempt began, over HTTP.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.clones import PATTERN, Copies
from bench.crowd import MERGE_PATCH, PODS, TRAINING_JOBS, Crowd, Usage, paper
from bench.drivers import BEGUN, percentile
from bench.report import Goal, Measured
from cluster.paper import Operator, Paper

JOBS_A_NODE = 450
"""Of two pods each; a node takes a thousand."""
CORES_OF_OPERATOR = frozenset({0})
SETTLE_SECONDS = 20.0
"""Until the drivers have all begun, and the comparison that follows the operator's start is over."""
RESYNC_SECONDS = 60
"""Five times as often as by default, so that several comparisons fall into the time that is measured."""
LOST_SECONDS = 30.0
PROGRAMS = ("kube-apiserver", "etcd", "kwok")


@dataclass(slots=True)
class Found:
    """What was measured."""

    bring_up: float = 0.0
    start: float = 0.0
    """Seconds from the operator's start until each job was reconciled."""
    seconds: float = 0.0
    changes: list[float] = field(default_factory=list)
    """Seconds from the call that changes a spec until the status says that it was seen to."""
    cpu: float = 0.0
    """Of one core."""
    memory: float = 0.0
    peak: float = 0.0
    writes: float = 0.0
    """Writes of statuses a second."""
    missed: float = 0.0
    warnings: list[str] = field(default_factory=list)
    drivers: dict[str, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    """Of one core, by program."""


def progress(jobs: int = 5000, seconds: float = 150.0, changes_a_second: float = 2.0) -> Iterator[Measured]:
    """Running jobs whose drivers speak as told, on one core; specs are changed meanwhile."""

    with paper(nodes=2 + jobs // JOBS_A_NODE) as site:
        found = asyncio.run(_measure(site, jobs, seconds, changes_a_second))
    if found.warnings:
        sys.stderr.write("the operator warned: " + "\n".join(found.warnings[:5]) + "\n")
    what = f"{jobs} jobs that speak"

    def named(name: str) -> str:
        return f"{what}: {name}"

    p99 = percentile(found.changes, 99)
    yield Measured(named("spec change -> reconciled, p99"), p99, "s", goal=Goal("at most", 2.0, "value"))
    yield Measured(named("spec change -> reconciled, median"), percentile(found.changes, 50), "s")
    yield Measured(named("spec changes measured"), len(found.changes), "")
    yield Measured(named("peak memory"), found.peak, "MB", goal=Goal("at most", 400, "value"))
    yield Measured(named("operator's CPU"), 100 * found.cpu, "% of a core")
    yield Measured(named("patches of drivers"), found.drivers["perSecond"], "1/s")
    yield Measured(named("patches of drivers that failed"), found.drivers["failures"], "")
    yield Measured(named("a driver's patch, p99"), found.drivers["p99Seconds"], "s")
    yield Measured(named("writes of statuses"), found.writes, "1/s")
    yield Measured(named("changes that a watch missed"), found.missed, "", goal=Goal("at most", 0, "value"))
    yield Measured(named("warnings"), len(found.warnings), "", goal=Goal("at most", 0, "value"))
    yield Measured(named("operator started: each reconciled"), found.start, "s")
    for program, share in found.others.items():
        yield Measured(named(f"{program}'s CPU"), 100 * share, "% of a core")


async def _measure(site: Paper, jobs: int, seconds: float, changes_a_second: float) -> Found:
    found = Found()
    async with Crowd.on(site.cluster) as crowd:
        names = [f"job-{number}" for number in range(jobs)]
        began = time.monotonic()
        await _bring_up(site, crowd, names)
        found.bring_up = time.monotonic() - began
        sys.stderr.write(f"{jobs} jobs brought up in {found.bring_up:.0f} s\n")
        began = time.monotonic()
        crowd.operator = operator = _pinned(site)
        await _until_reconciled(operator, jobs)
        found.start = time.monotonic() - began
        with _drivers(site, found):
            await asyncio.sleep(SETTLE_SECONDS)
            await _window(crowd, operator, programs(site), found, seconds=seconds, changes_a_second=changes_a_second)
        found.warnings = [
            str(line.get("message", line)) for line in operator.lines() if line.get("level") in ("WARNING", "ERROR")
        ]
        if operator.process.poll() is not None or crowd.phases() != {"Running": jobs}:
            raise RuntimeError(f"not all go on: {operator.process.poll()} {dict(crowd.phases())} {found.warnings[:3]}")
        if operator.get("/healthz") != "ok":
            raise RuntimeError(f"the operator is not well: {operator.get('/healthz')}")
    return found


async def _bring_up(site: Paper, crowd: Crowd, names: list[str]) -> None:
    with site.operator():
        await crowd.submit([PATTERN])
        await crowd.until("the pattern runs", lambda: crowd.phases()["Running"] == 1, 120)
        await asyncio.sleep(1)
    copies = await Copies.of_pattern(crowd)
    await copies.make(names)
    await crowd.until("the copies", lambda: set(crowd.jobs) == set(names), 60)
    params = {"fieldSelector": "status.phase!=Running", "limit": "1"}
    async with asyncio.timeout(300):
        while True:
            async with crowd.session.get(PODS, params=params) as answer:
                if not (await answer.json())["items"]:
                    return
            await asyncio.sleep(1)


def _pinned(site: Paper) -> Operator:
    """The operator, on one core."""
    operator = site.start("--resync-seconds", str(RESYNC_SECONDS))
    os.sched_setaffinity(operator.process.pid, CORES_OF_OPERATOR)
    return operator


async def _until_reconciled(operator: Operator, jobs: int) -> None:
    async with asyncio.timeout(180):
        while (operator.metric("headway_reconcile_seconds_count") or 0) < jobs:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.5)


@contextmanager
def _drivers(site: Paper, found: Found) -> Iterator[None]:
    words = [sys.executable, "-m", "bench.drivers", str(site.cluster.kubeconfig)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != BEGUN:
            raise RuntimeError("the drivers have not begun")
        yield
        process.terminate()
        found.drivers = json.loads(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        process.wait()


async def _window(
    crowd: Crowd, operator: Operator, others: dict[str, int], found: Found, *, seconds: float, changes_a_second: float
) -> None:
    """Change specs for so long, and take stock before and after."""
    names = list(crowd.jobs)
    before, calls, began = Usage.of(operator.process.pid), operator.calls(), time.monotonic()
    spent = {name: Usage.of(pid).cpu for name, pid in others.items()}
    async with asyncio.TaskGroup() as group:
        for number in range(round(seconds * changes_a_second)):
            await asyncio.sleep(began + number / changes_a_second - time.monotonic())
            group.create_task(_change(crowd, random.choice(names), number, found))  # noqa: S311 - no secret
    found.seconds = time.monotonic() - began
    after, more = Usage.of(operator.process.pid), operator.calls()
    found.cpu, found.memory, found.peak = (after.cpu - before.cpu) / found.seconds, after.memory, after.peak
    found.others = {name: (Usage.of(pid).cpu - spent[name]) / found.seconds for name, pid in others.items()}
    write = ("patch", "trainingjobs")
    found.writes = (more[write] - calls[write]) / found.seconds
    found.missed = _sum(operator, "headway_watch_missed_changes_total")


async def _change(crowd: Crowd, name: str, number: int, found: Found) -> None:
    """Change a deadline that is far away, and wait until the status is of that spec."""
    body = {"spec": {"activeDeadlineSeconds": 1_000_000 + number}}
    began = time.monotonic()
    async with crowd.session.patch(f"{TRAINING_JOBS.path}/{name}", json=body, headers=MERGE_PATCH) as answer:
        made = await answer.json()
        if answer.status >= 300:
            raise RuntimeError(f"{name}: {made}")
    generation = made["metadata"]["generation"]
    await crowd.until(
        f"{name} reconciled",
        lambda: crowd.jobs[name].get("status", {}).get("observedGeneration", 0) >= generation,
        LOST_SECONDS,
    )
    found.changes.append(time.monotonic() - began)


def programs(site: Paper, names: Collection[str] = PROGRAMS) -> dict[str, int]:
    """The pids of the control plane's programs: their words name the cluster's folder."""
    folder = str(site.cluster.kubeconfig.parent)
    found: dict[str, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        name = Path(words[0]).name
        if name in names and any(folder in word for word in words):
            found[name] = int(path.name)
    return found


def _sum(operator: Operator, metric: str) -> float:
    lines = (operator.get("/metrics") or "").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))
