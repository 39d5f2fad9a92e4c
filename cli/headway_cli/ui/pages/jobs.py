"""The page of all jobs, the newest first."""

from __future__ import annotations

from dataclasses import dataclass

from headway_cli.cluster.fields import Object, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import objects
from headway_cli.cluster.names import FINISHED, TRAINING_JOBS
from headway_cli.cluster.tables import gpus
from headway_cli.cluster.times import duration, instant
from headway_cli.ui.asking import Asked, Route, View
from headway_cli.ui.listing import Listed, listed, shortened

PHASES = ("Running", "Starting", "Queued", "Pending", "Suspended", "Failed", "Succeeded")
KEPT_SECONDS = 3.0
EVERY, EVERY_OF_MANY, MANY = 5.0, 30.0, 1000
"""Seconds between two looks, and those where there are many jobs: 10,000 are 30 MB of the API server's work."""


@dataclass(frozen=True)
class Row(Listed):
    """What the table has of a job."""

    percent: int | None
    left: str
    workers: str
    gpus: int
    metric: str
    goodput: int | None
    trials: str
    took: str
    """How long, of one that has ended."""


def row(job: Object) -> Row:
    """A job in the table."""
    now_in = phase(job)
    left = whole(job, "status", "progress", "etaSeconds") if now_in == "Running" else None
    percent = whole(job, "status", "progress", "percent") if now_in not in FINISHED else None
    message = text(job, "status", "summary", "message") if now_in not in ("Running", "Succeeded", "Suspended") else ""
    return Row(
        namespace=text(job, "metadata", "namespace"),
        name=text(job, "metadata", "name"),
        phase=now_in,
        percent=min(max(percent, 0), 100) if percent is not None else None,
        left=duration(max(left, 0)) if left is not None else "",
        workers=text(job, "status", "summary", "workers") if now_in not in FINISHED else "",
        gpus=gpus(job) if now_in not in (*FINISHED, "Suspended") else 0,
        metric=text(job, "status", "summary", "metric"),
        goodput=whole(job, "status", "time", "goodputPercent"),
        created=text(job, "metadata", "creationTimestamp"),
        message=shortened(message),
        trials=text(job, "status", "summary", "trials"),
        took=took(job),
    )


def took(job: Object) -> str:
    """How long a job took that has ended; "" of one that has not."""
    began, ended = instant(text(job, "status", "startTime")), instant(text(job, "status", "completionTime"))
    return duration(max(0.0, (ended - began).total_seconds())) if began is not None and ended is not None else ""


def rows(asked: Asked, namespace: str) -> list[Row]:
    """All jobs of a namespace, the newest first. Raises ClusterError."""

    def read() -> list[Row]:
        found = [row(job) for job in objects(asked.kubectl(namespace).get(TRAINING_JOBS))]
        found.sort(key=lambda each: (each.namespace, each.name))
        return sorted(found, key=lambda each: each.created, reverse=True)

    return asked.kept(("jobs", namespace), KEPT_SECONDS, read)


def jobs(asked: Asked) -> View:
    """All jobs, or those of a namespace, a phase, and with a text in their names."""
    found, data = listed(asked, "/jobs", PHASES, lambda namespace: rows(asked, namespace))
    data["phases"] = [(each, sum(row.phase == each for row in found)) for each in PHASES]
    return View("jobs.html", "Jobs", data, every=EVERY if len(found) < MANY else EVERY_OF_MANY)


ROUTES = (Route("/", jobs, "home"), Route("/jobs", jobs, "jobs", nav="Jobs"))
