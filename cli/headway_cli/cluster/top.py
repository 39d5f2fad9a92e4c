"""Who holds the GPUs, and what comes of it. Pure, but for asking a Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headway_cli.cluster import prometheus
from headway_cli.cluster.fields import Object, entries, number, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.tables import Row, gpus
from headway_cli.cluster.times import grouped, seconds_since, short

GIB = 1 << 30
SORTS = ("gpus", "use", "goodput", "hours")
HEADS = ["NAMESPACE", "JOB", "PHASE", "GPUS", "USE", "MEMORY", "ROWS/S", "GOODPUT", "GPU-HOURS", "WAITS"]
_ORDER = ("Running", "Starting", "Queued", "Pending", "Suspended")
Name = tuple[str, str]
"""Namespace and name of a job."""


@dataclass(frozen=True)
class GpuUse:
    """What DCGM has measured of a job's GPUs."""

    ratio: Mapping[Name, float]
    """Their mean utilisation, from 0 to 1."""
    memory: Mapping[Name, float]
    """Bytes of the fullest of them."""


NOTHING = GpuUse({}, {})


def measured(url: str) -> GpuUse:
    """What a Prometheus with the chart's recording rules (gpu-rules.yaml) knows. Raises ClusterError."""
    ratio = prometheus.ask(url, "avg by (job_namespace, job_name) (headway:gpu_utilization:ratio)")
    memory = prometheus.ask(url, "max by (job_namespace, job_name) (headway:gpu_memory_used:bytes)")
    return GpuUse(_by_job(ratio), _by_job(memory))


def rows(jobs: Sequence[Object], use: GpuUse, now: datetime, sort: str = "gpus") -> list[Row]:
    """A row for each job that has not ended: those that hold most first, then those that wait."""
    living = [job for job in jobs if phase(job) not in FINISHED]
    keys: dict[str, Callable[[Object], float]] = {
        "gpus": gpus,
        "use": lambda job: use.ratio.get(_name(job), -1.0),
        "goodput": lambda job: number(job, "status", "time", "goodputPercent") or -1.0,
        "hours": lambda job: gpu_hours(job, now),
    }
    living.sort(key=lambda job: (_place(job), -keys[sort](job), _name(job)))
    return [_row(job, use, now) for job in living]


def gpu_hours(job: Object, now: datetime) -> float:
    """Hours for which the job has held all its pods, by its GPUs as they are now."""
    seconds = float(whole(job, "status", "activeSeconds") or 0)
    attempts = entries(job, "status", "attempts")
    if attempts and not text(attempts[-1], "endTime"):
        seconds += seconds_since(text(attempts[-1], "runningTime"), now) or 0
    return seconds * gpus(job) / 3600


def _row(job: Object, use: GpuUse, now: datetime) -> Row:
    name = _name(job)
    ratio, memory = use.ratio.get(name), use.memory.get(name)
    running = phase(job) == "Running"
    rate = number(job, "status", "progress", "samplesPerSecond") if running else None
    goodput = whole(job, "status", "time", "goodputPercent")
    return [
        *name,
        phase(job),
        str(gpus(job)),
        f"{ratio:.0%}" if ratio is not None else "-",
        f"{memory / GIB:.0f} GiB" if memory is not None else "-",
        grouped(rate) if rate is not None else "-",
        f"{goodput}%" if goodput is not None else "-",
        f"{gpu_hours(job, now):,.1f}",
        "" if running else _waits(job, now),
    ]


def _waits(job: Object, now: datetime) -> str:
    begin = text(job, "metadata", "creationTimestamp")
    attempts = entries(job, "status", "attempts")
    if attempts:
        newest = attempts[-1]
        begin = text(newest, "queuedTime") or text(newest, "endTime") or text(newest, "startTime") or begin
    seconds = seconds_since(begin, now)
    age = short(seconds) if seconds is not None else ""
    return f"{age}: {text(job, 'status', 'summary', 'message')}"


def _place(job: Object) -> int:
    return _ORDER.index(phase(job)) if phase(job) in _ORDER else len(_ORDER)


def _name(job: Object) -> Name:
    return text(job, "metadata", "namespace"), text(job, "metadata", "name")


def _by_job(found: Sequence[tuple[Mapping[str, str], float]]) -> dict[Name, float]:
    return {(labels.get("job_namespace", ""), labels.get("job_name", "")): value for labels, value in found}
