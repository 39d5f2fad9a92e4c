"""The page of all jobs, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway_cli.cluster.fields import Object, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import is_name, objects
from headway_cli.cluster.names import FINISHED, TRAINING_JOBS
from headway_cli.cluster.tables import gpus
from headway_cli.cluster.times import duration, instant, seconds_since
from headway_cli.ui.asking import EVERYWHERE, Asked, Route, View
from headway_cli.ui.paging import Link, page_of

PHASES = ("Running", "Starting", "Queued", "Pending", "Suspended", "Failed", "Succeeded")
KEPT_SECONDS = 3.0
EVERY, EVERY_OF_MANY, MANY = 5.0, 30.0, 1000
"""Seconds between two looks, and those where there are many jobs: 10,000 are 30 MB of the API server's work."""
MOST_MESSAGE = 200
"""Characters of a message; its own page has all of them."""
MOST_NAMESPACES = 200
"""Names that the field for a namespace proposes."""


@dataclass(frozen=True)
class Row:
    """What the table has of a job: small, as it is kept for all jobs of a cluster."""

    namespace: str
    name: str
    phase: str
    percent: int | None
    left: str
    workers: str
    gpus: int
    metric: str
    goodput: int | None
    created: str
    message: str
    trials: str
    took: str
    """How long, of one that has ended."""

    @property
    def has_page(self) -> bool:
        """Whether the names are such as Kubernetes gives."""
        return is_name(self.namespace) and is_name(self.name)


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
        message=f"{message[:MOST_MESSAGE]}..." if len(message) > MOST_MESSAGE else message,
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
    namespace, wanted, part = asked.namespace(), asked.word("phase", PHASES), asked.word("name")
    number = asked.whole("page", 1)
    found = rows(asked, namespace)
    counts = {each: sum(row.phase == each for row in found) for each in PHASES}
    chosen = [each for each in found if (not wanted or each.phase == wanted) and part in each.name]
    pager = page_of(chosen, number)
    data = {
        "namespace": namespace,
        "everywhere": namespace == EVERYWHERE,
        "namespaces": _namespaces(found),
        "phases": [(each, counts[each]) for each in PHASES],
        "wanted": wanted,
        "part": part,
        "all": len(found),
        "pager": pager,
        "rows": [(each, seconds_since(each.created, asked.now)) for each in pager.items],
        "link": Link("/jobs", {"namespace": asked.query.get("namespace", ""), "phase": wanted, "name": part}),
    }
    return View("jobs.html", "Jobs", data, every=EVERY if len(found) < MANY else EVERY_OF_MANY)


def _namespaces(found: Sequence[Row]) -> list[str]:
    return sorted({each.namespace for each in found})[:MOST_NAMESPACES]


ROUTES = (Route("/", jobs, "home"), Route("/jobs", jobs, "jobs", nav="Jobs"))
