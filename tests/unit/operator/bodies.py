"""Objects as the API server sends them, and parts of the engine with what tests need of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from headway_api import API_VERSION, wire
from headway_operator.engine import kube
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.metrics import EngineMetrics, MetricSet
from headway_operator.engine.store import News, Store
from headway_operator.engine.times import to_text
from headway_operator.engine.workers import Workers
from headway_operator.training.kind import TrainingJobs
from headway_operator.training.measures import JobMeasures, JobMetrics
from sim.builders import DEFAULTS, T0, UID

KEY = Key("TrainingJob", "default", "digits")
HEAD = wire.head_name("digits", UID, 1)
CONFIG = wire.object_name("digits", UID, 1)


def training_jobs(**changes: Any) -> TrainingJobs:
    """The kind, with settings of its own."""
    measures = JobMeasures(JobMetrics(MetricSet()))
    settings: dict[str, Any] = {"defaults": DEFAULTS, "pull_policy": "IfNotPresent", "measures": measures}
    return TrainingJobs(**(settings | changes))


def owner(uid: str = UID, job: str = "digits", **changes: Any) -> list[dict[str, Any]]:
    """The ownerReferences of a job's object."""
    return [{"apiVersion": API_VERSION, "kind": "TrainingJob", "name": job, "uid": uid, "controller": True, **changes}]


def job_body(version: int = 1, uid: str = UID, spec: Any = None, **status: Any) -> dict[str, Any]:
    """A job."""
    return {
        "metadata": {
            "namespace": "default",
            "name": "digits",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": to_text(T0),
        },
        "spec": spec or {},
        "status": status,
    }


def pod_body(
    version: int = 1, uid: str = "p1", job_uid: str = UID, name: str | None = None, **status: Any
) -> dict[str, Any]:
    """A job's pod; its head, if no other name is given."""
    return {
        "metadata": {
            "namespace": "default",
            "name": name or wire.head_name("digits", job_uid, 1),
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": to_text(T0),
            "ownerReferences": owner(job_uid),
            "labels": {wire.LABEL_MANAGED_BY: wire.MANAGED_BY, wire.LABEL_JOB: "digits", wire.LABEL_JOB_UID: job_uid},
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", **status},
    }


def config_body(version: int = 1, progress: str = "", name: str = CONFIG, **annotations: str) -> dict[str, Any]:
    """The ConfigMap of an attempt."""
    return {
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": "c1",
            "resourceVersion": str(version),
            "ownerReferences": owner(),
            "annotations": annotations,
        },
        "data": {wire.KEY_PROGRESS: progress},
    }


def owner_record() -> Owner:
    """The job, as the store keeps it."""
    store = Store((training_jobs(),))
    store.see(kube.JOBS, "ADDED", job_body(), T0)
    known = store.owner(KEY)
    assert known is not None
    return known


async def _tell(_: Key, __: BaseException) -> None:
    """Nobody is told."""


def workers_on(
    reconcile: Callable[[Key], Awaitable[float | None]],
    *,
    limit: int = 4,
    now: Callable[[], float] = lambda: T0,
    tell: Callable[[Key, BaseException], Awaitable[None]] = _tell,
    due: Callable[[News], float | None] = lambda news: None,  # noqa: ARG005 - all news are acted upon at once
    metrics: EngineMetrics | None = None,
) -> Workers:
    """Workers."""
    counted = metrics or EngineMetrics(MetricSet())
    return Workers(reconcile, tell=tell, due=due, limit=limit, now=now, metrics=counted)
