"""Pods of an attempt that failed, which stay for a while after their end: `spec.retry.keepFailedPods`."""

from __future__ import annotations

from headway_api.status import Attempt
from headway_operator.engine.times import to_seconds
from headway_operator.policies import retry
from headway_operator.training.plan.model import Job, Observed, Pod

END_SECONDS = 15.0
"""So long after their attempt's end pods may take to end by themselves; one that is deleted takes its log along."""
FAILED = (*retry.POLICIES, "GateFailed", "DeadlineExceeded", "InvalidSpec")


def kept(job: Job, observed: Observed, now: float) -> tuple[list[Pod], float | None]:
    """The pods that are to stay, and when to decide again about those that have not ended yet."""
    last = _last_failed(job)
    if last is None:
        return [], None
    over = (to_seconds(last.end_time) or now) + END_SECONDS
    of = [pod for pod in observed.pods if pod.attempt == last.number and not pod.gone and pod.deleting is None]
    waits = [pod for pod in of if not pod.ended and now < over]
    return [pod for pod in of if pod.ended] + waits, over if waits else None


def _last_failed(job: Job) -> Attempt | None:
    if job.spec is None or job.spec.retry.keep_failed_pods == "Never" or job.spec.suspend:
        return None
    if job.status.phase == "Succeeded":
        return None
    return next((each for each in reversed(job.status.attempts) if each.end_time and each.cause in FAILED), None)
