"""500 jobs created at once, until all run, beside a bare kopf operator that takes turns with Headway.

And beside a process that copies what Headway makes: what the objects of a job cost, whoever makes them.

Each turn has a fresh control plane, which shares the machine's cores with the operator. CPU is that of the operator's
process. The best of each counts: other work only adds.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.crowd import paper
from bench.references import (
    BARE_OPERATOR,
    KUBERAY,
    KUBERAY_CPU,
    KUBERAY_JOBS,
    KUBERAY_MEMORY,
    KUBERAY_SECONDS,
    by_bare_cpu,
    by_bare_seconds,
)
from bench.report import Goal, Measured, Reference
from bench.running import Started, bare_started, copied_started, ours_started


def jobs(jobs: int = KUBERAY_JOBS, rounds: int = 2) -> Iterator[Measured]:
    """Jobs of a head and a worker, created at once, until all are Running."""
    rivals, figures, copies = [], [], []
    for _ in range(rounds):
        with paper() as site:
            rivals.append(bare_started(site, jobs))
        with paper() as site:
            figures.append(ours_started(site, jobs))
        with paper() as site:
            copies.append(copied_started(site, jobs))
    rival, ours, copied = _best(rivals), _best(figures), _best(copies)
    rival_cpu, cpu = 1000 * rival.cpu / jobs, 1000 * ours.cpu / jobs
    close = Goal("at most", 1.15, "ratio")
    yield Measured(named(jobs, "all Running"), ours.seconds, "s", Reference(BARE_OPERATOR, rival.seconds), close)
    yield Measured(named(jobs, "CPU a job"), cpu, "ms", Reference(BARE_OPERATOR, rival_cpu), close)
    yield Measured(
        named(jobs, "peak memory"), ours.peak, "MB", Reference(BARE_OPERATOR, rival.peak), Goal("at most", 180, "value")
    )
    floor = Reference("the same objects, made by a process that decides nothing", copied.seconds)
    yield Measured(named(jobs, "all Running, beside what its objects cost"), ours.seconds, "s", floor, close)
    if jobs == KUBERAY_JOBS:
        seconds = by_bare_seconds(KUBERAY, KUBERAY_SECONDS, rival.seconds)
        yield Measured(
            named(jobs, "all Running, beside KubeRay"), ours.seconds, "s", seconds, Goal("at most", 0.4, "ratio")
        )
        spent = by_bare_cpu(KUBERAY, KUBERAY_CPU, rival_cpu)
        yield Measured(named(jobs, "CPU a job, beside KubeRay"), cpu, "ms", spent, Goal("at most", 1.0, "ratio"))
        yield Measured(named(jobs, "peak memory, beside KubeRay"), ours.peak, "MB", KUBERAY_MEMORY)


def named(jobs: int, what: str) -> str:
    """The name of a figure of so many jobs."""
    return f"{jobs} jobs: {what}"


def _best(runs: list[Started]) -> Started:
    return Started(*(min(getattr(run, name) for run in runs) for name in Started.__dataclass_fields__))
