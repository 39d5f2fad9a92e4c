"""Six hours of a cluster, as Prometheus would have scraped them: what dashboards show in their pictures."""

from __future__ import annotations

import math

from drawn.deployments import add_deployments
from drawn.history import HOURS, SINCE, History, Value, about, steady, wave
from drawn.jobs import JOBS, LEADER, LOST, add_courses, add_jobs

OTHER = LEADER | {"instance": "10.0.2.4:8080", "pod": "headway-1"}
CALLS = (
    ("patch", "trainingjobs", "200", 2.4), ("create", "pods", "201", 0.02), ("update", "leases", "200", 0.5),
    ("patch", "modeldeployments", "200", 0.2), ("create", "events", "201", 0.05), ("patch", "pods", "409", 0.001),
)  # fmt: skip
ALERTS = (
    ("HeadwayJobNoProgress", "warning", "churn"), ("HeadwayJobGpuIdle", "warning", "churn"),
    ("HeadwayJobGoodputLow", "info", "tabular"),
)  # fmt: skip


def world() -> History:
    """All of it."""
    made = History()
    _processes(made)
    _queue(made)
    _phases(made)
    _api(made)
    add_courses(made)
    add_jobs(made)
    add_deployments(made)
    for alert, severity, name in ALERTS:
        job = next(job for job in JOBS if job.name == name)
        labels = {"alertname": alert, "alertstate": "firing", "severity": severity, **job.named}
        made.gauge("ALERTS", labels, lambda hour: 1 if hour > HOURS - 0.2 else None)
    return made


def _waits(hour: float) -> float:
    """How long the oldest object waits: longer when a node was lost."""
    return max(0.0, 40 * math.exp(-(((hour - LOST[0]) * 20) ** 2)) + 0.4 * wave("queue", hour, 2))


def _processes(made: History) -> None:
    for who, leads, cores, memory in ((LEADER, 1, 0.12, 210e6), (OTHER, 0, 0.01, 120e6)):
        made.gauge("headway_is_leader", who, steady(leads))
        made.gauge("headway_build_info", who | {"version": "0.1.0", "python": "3.12.4"}, steady(1))
        made.gauge("headway_clock_offset_seconds", who, about(0.02, who["pod"], 0.4))
        made.counter("process_cpu_seconds_total", who, about(cores, "cpu", 0.3))
        made.gauge("process_resident_memory_bytes", who, about(memory, who["pod"] + "memory", 0.03))


def _queue(made: History) -> None:
    told: dict[str, Value] = {
        "queue_oldest_seconds": _waits,
        "queue_depth": lambda hour: round(_waits(hour) / 3),
        "reconcile_longest_seconds": lambda hour: _waits(hour) / 8,
        "resync_last_timestamp_seconds": lambda hour: SINCE + hour * 3600 // 600 * 600 - 40,
        "job_metrics_omitted": steady(0),
    }
    for name, value in told.items():
        made.gauge(f"headway_{name}", LEADER, value)
    for result, rate in (("done", 6.0), ("conflict", 0.05), ("retry", 0.02), ("gone", 0.01), ("bug", 0.0)):
        made.counter("headway_reconciles_total", LEADER | {"result": result}, about(rate, "reconciles", 0.3))
    made.histogram("headway_reconcile_seconds", LEADER, steady(6), 0.008)
    made.histogram("headway_queue_seconds", LEADER, lambda hour: 6 + _waits(hour), 0.02)
    for result, rate in (("posted", 0.05), ("repeated", 0.2), ("dropped", 0.0), ("failed", 0.0)):
        made.counter("headway_events_total", LEADER | {"result": result}, steady(rate))


def _phases(made: History) -> None:
    told: dict[str, Value] = {
        "Queued": lambda hour: float(hour > 5.2),
        "Starting": lambda hour: float(1.5 <= hour < 1.55),
        "Running": lambda hour: sum(job.runs and job.begun <= hour for job in JOBS),
        "Suspended": steady(1),
        "Succeeded": lambda hour: 41 + hour // 0.7,
        "Failed": steady(3),
    }
    for phase, value in told.items():
        made.gauge("headway_jobs", LEADER | {"phase": phase}, value)
    for phase, count in (("Ready", 2), ("Degraded", 1)):
        made.gauge("headway_deployments", LEADER | {"phase": phase}, steady(count))


def _api(made: History) -> None:
    for verb, resource, code, rate in CALLS:
        labels = LEADER | {"verb": verb, "resource": resource, "code": code}
        made.counter("headway_api_calls_total", labels, about(rate, verb + resource, 0.2))
    throttled = LEADER | {"verb": "patch", "resource": "trainingjobs", "code": "429"}
    made.counter("headway_api_calls_total", throttled, lambda hour: 0.3 if LOST[0] <= hour < LOST[1] else 0.0)
    for resource in ("trainingjobs", "pods", "configmaps", "modeldeployments"):
        labels = LEADER | {"resource": resource}
        made.gauge("headway_watch_behind_seconds", labels, steady(0))
        made.histogram("headway_watch_lag_seconds", labels, steady(1), 0.015)
