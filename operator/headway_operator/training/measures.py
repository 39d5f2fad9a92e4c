"""What the metrics learn of jobs: how long starts, stops and recoveries take, and how attempts and jobs end.

Times are as this process saw them. A start, stop or recovery that began before this process did is not measured, so
that no restart of the operator makes numbers up.
"""

from __future__ import annotations

from dataclasses import dataclass

from headway_api.status import FINISHED, Attempt, TrainingJobStatus
from headway_operator.engine.times import to_seconds
from headway_operator.metrics import Metrics
from headway_operator.training.plan.model import Job, Observed, Plan, Pod
from headway_operator.training.plan.status import condition_of, read_progress
from headway_operator.training.records import Key

PHASES = ("pods_created", "pods_scheduled", "pods_ready", "first_step")
READY = PHASES.index("pods_ready")
STEP = PHASES.index("first_step")


@dataclass(slots=True)
class _Course:
    """How far the attempt of a job has come."""

    uid: str
    attempt: int
    phase: int = len(PHASES)
    """The index in PHASES of what is waited for; their number: nothing is."""
    since: float = 0.0
    lost: str = ""
    """What was lost and is not made up for yet: head or worker; empty if nothing is."""
    lost_at: float = 0.0
    text: str = ""
    """What the driver said when all pods were ready: a step reported later is a new one."""
    stopping_since: float | None = None


class Witness:
    """Looks on while the controller works."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._courses: dict[Key, _Course] = {}

    def __len__(self) -> int:
        return len(self._courses)

    def looked(self, job: Job, observed: Observed, plan: Plan, now: float) -> None:
        """A job was looked at, and this was decided. It may be decided again, if it could not be carried out."""
        key = job.namespace, job.name
        course = self._courses.get(key)
        if course is None or course.uid != job.uid:
            if job.status.phase is None and plan.status is not None:
                self._metrics.start_phase_seconds.labels("first_look").observe(max(0.0, now - job.created))
            elif job.status.phase in FINISHED:
                return
            course = self._courses[key] = _Course(job.uid, job.status.attempt)
        if plan.attempt > course.attempt:
            course.attempt, course.phase, course.since, course.stopping_since = plan.attempt, 0, now, None
        elif not course.lost and any(pod.number for pod in plan.create):
            course.lost, course.lost_at, course.phase, course.since = "worker", now, READY, now
        if course.phase < len(PHASES):
            self._go_on(course, job, observed, now)

    def wrote(self, job: Job, after: TrainingJobStatus, now: float) -> None:
        """A status was written: count what it says for the first time."""
        known = {attempt.number: attempt for attempt in job.status.attempts}
        course = self._courses.get((job.namespace, job.name))
        for attempt in after.attempts:
            old = known.get(attempt.number)
            if attempt == old:
                continue
            self._count(attempt, old)
            if course is not None and (old is None or old.end_time is None):
                self._stops_and_losses(course, attempt, now)
        if course is not None and after.phase == "Suspended":
            course.lost = ""
        if after.phase in FINISHED and job.status.phase not in FINISHED:
            failed = condition_of(after, "Failed")
            self._metrics.jobs_ended.labels(failed.reason if failed is not None else "Succeeded").inc()
            self._courses.pop((job.namespace, job.name), None)

    def expired(self) -> None:
        """A finished job was deleted for its age."""
        self._metrics.jobs_expired.inc()

    def gone(self, key: Key) -> None:
        """The job does not exist any more."""
        self._courses.pop(key, None)

    def _count(self, attempt: Attempt, old: Attempt | None) -> None:
        start, running, end = map(to_seconds, (attempt.start_time, attempt.running_time, attempt.end_time))
        if running is not None and (old is None or old.running_time is None):
            self._metrics.startup_seconds.observe(running - (start or running))
        if end is not None and (old is None or old.end_time is None):
            self._metrics.attempts_ended.labels(attempt.cause or "Succeeded").inc()
            self._metrics.running_seconds.observe(end - (running or end))
        self._metrics.workers_replaced.inc(attempt.workers_replaced - (old.workers_replaced if old else 0))

    def _stops_and_losses(self, course: _Course, attempt: Attempt, now: float) -> None:
        if attempt.end_time is None:
            if attempt.cause is not None and course.stopping_since is None:
                course.stopping_since = now
            return
        since, course.stopping_since = course.stopping_since, None
        if since is not None:
            self._metrics.stop_seconds.labels(attempt.cause or "Succeeded").observe(now - since)
        ran = attempt.running_time is not None and attempt.cause not in (None, "Suspended", "Released", "Upgraded")
        course.lost, course.lost_at = ("head", now if since is None else since) if ran else ("", now)

    def _go_on(self, course: _Course, job: Job, observed: Observed, now: float) -> None:
        pods = [pod for pod in observed.pods if pod.attempt == course.attempt and not pod.ended]
        wanted = 1 + (job.status.workers.desired if job.status.workers is not None else 1)
        while course.phase < len(PHASES) and job.status.attempt == course.attempt:
            if not self._reached(course, job, pods, wanted, observed):
                return
            phase = PHASES[course.phase]
            if course.lost != "worker":
                self._metrics.start_phase_seconds.labels(phase).observe(max(0.0, now - course.since))
            if course.phase == READY:
                course.text = _text(observed, course.attempt)
            if course.lost and course.phase >= READY:
                until = "running" if course.phase == READY else "step"
                self._metrics.recovery_seconds.labels(course.lost, until).observe(max(0.0, now - course.lost_at))
            if course.phase == STEP:
                course.lost = ""
            course.phase, course.since = course.phase + 1, now

    @staticmethod
    def _reached(course: _Course, job: Job, pods: list[Pod], wanted: int, observed: Observed) -> bool:
        if course.phase == STEP:
            text = _text(observed, course.attempt)
            if text == course.text:
                return False
            said = read_progress(text, course.attempt, job.uid)
            step = said.progress.step if said is not None else None
            return step is not None and said is not None and step > (said.resumed_from_step or 0)
        if course.phase == READY:
            return sum(1 for pod in pods if pod.ready and pod.deleting is None) >= wanted
        if course.phase == 1:
            return sum(1 for pod in pods if pod.node is not None) >= wanted
        return len(pods) >= wanted


def _text(observed: Observed, attempt: int) -> str:
    return next((config.progress for config in observed.configs if config.attempt == attempt), "")
