"""What the metrics learn of jobs: how long starts, stops and recoveries take, and how attempts and jobs end.

Times are as this process saw them. A start, stop or recovery that began before this process did is not measured, so
that no restart of the operator makes numbers up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from headway_api.status import ENDED_STATES, FINISHED, SPENT, Attempt, Cause, TimeStatus, TuningStatus
from headway_operator.engine.exposition import Entry
from headway_operator.engine.kinds import View
from headway_operator.engine.metrics import LONG, MetricSet
from headway_operator.engine.steps import Decision
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.model import Job, Observed, Plan, Pod
from headway_operator.training.plan.status import condition_of, read_progress

PHASES = ("pods_created", "pods_scheduled", "pods_ready", "first_step")
READY = PHASES.index("pods_ready")
STEP = PHASES.index("first_step")
MOST_RESOURCES = 32
MOST_AWAITED = 30
"""So many reconciles in which a driver has said something, but of no step, are made sooner than its words ask for. They
last half a minute at the least; that a step then shows up to a status write later changes little of what is measured.
"""
OTHER = "other"
"""Of kinds of GPU beyond these."""


class JobMetrics:
    """The metrics of TrainingJobs."""

    def __init__(self, metrics: MetricSet) -> None:
        self._exemplar = metrics.exemplar
        metrics.read_when_scraped(
            Entry("headway_jobs", "gauge", ("phase",), "TrainingJobs by phase; New: not reconciled yet")
        )
        self.start_phase_seconds = metrics.histogram(
            "headway_start_phase_seconds",
            "Seconds of each part of a start: first_reconcile (from the job's creation), and of each attempt "
            "pods_created, pods_scheduled, pods_ready, first_step (the first optimiser step that was reported); "
            "exemplars name the job",
            LONG, "phase",
        )  # fmt: skip
        self.startup_seconds = metrics.histogram(
            "headway_attempt_startup_seconds", "Seconds from an attempt's start until all its pods were ready", LONG
        )
        self.running_seconds = metrics.histogram(
            "headway_attempt_running_seconds", "Seconds from all pods ready to the attempt's end", LONG
        )
        self.stop_seconds = metrics.histogram(
            "headway_stop_seconds",
            "Seconds from the decision to stop an attempt (Suspended, DeadlineExceeded, ...) to the end of its driver, "
            "which saves a checkpoint meanwhile",
            LONG, "cause",
        )  # fmt: skip
        self.recovery_seconds = metrics.histogram(
            "headway_recovery_seconds",
            "Seconds from the loss of a worker or a head until all pods were ready again (until=running), and until an "
            "optimiser step was reported again (until=step); exemplars name the job",
            LONG, "lost", "until",
        )  # fmt: skip
        self.attempts_ended = metrics.counter(
            "headway_attempts_ended", "Attempts that ended, by cause; Succeeded among them", "cause"
        )
        self.jobs_ended = metrics.counter(
            "headway_jobs_ended", "Jobs that ended, by the cause of the last attempt; Succeeded among them", "cause"
        )
        self.jobs_expired = metrics.counter(
            "headway_jobs_expired", "Finished jobs that were deleted as their ttlSecondsAfterFinished was over"
        )
        self.workers_replaced = metrics.counter("headway_workers_replaced", "Workers that were lost and replaced")
        self.trials = metrics.counter(
            "headway_tuning_trials", "Trials of spec.tuning that ended, by state: completed, stopped, failed", "state"
        )
        self.gpu_seconds = metrics.counter(
            "headway_gpu_seconds",
            "Seconds for which GPUs were held by pods of jobs, times their number, by what they went into: the states "
            f"of headway_job_time_seconds_total. It stays when jobs go; beyond {MOST_RESOURCES} kinds of GPU the rest "
            f"is `{OTHER}`",
            "job_namespace", "gpu_resource", "state",
        )  # fmt: skip
        for state in ENDED_STATES:
            self.trials.labels(state)
        for phase in ("first_reconcile", *PHASES):
            self.start_phase_seconds.labels(phase)
        for lost in ("worker", "head"):
            for until in ("running", "step"):
                self.recovery_seconds.labels(lost, until)
        # A counter that appears with its first number hides that from increase(): these begin at 0.
        for cause in ("Succeeded", *get_args(Cause)):
            self.attempts_ended.labels(cause)
            self.jobs_ended.labels(cause)

    def named(self, job: Job) -> dict[str, str] | None:
        """The exemplar that names a job."""
        return self._exemplar("TrainingJob", job.namespace, job.name)


@dataclass(slots=True)
class _Course:
    """How far the attempt of a job has come."""

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
    in_vain: int = 0
    """How often the first step was waited for, and the driver had said something else since its pods were ready."""


class JobMeasures:
    """Follows the course of each job; it is kept in the memory of the job's key."""

    def __init__(self, metrics: JobMetrics) -> None:
        self._metrics = metrics
        self._resources: set[str] = set()
        """The kinds of GPU that were counted: tenants name them."""

    def decided(self, course: Any, view: View, decision: Decision) -> Any:
        """A decision was made. It may be made again, if it could not be carried out."""
        if decision.detail is None:
            return course
        job, observed, plan = decision.detail.job, decision.detail.observed, decision.detail.plan
        return self._follow(course, job, observed, plan, view.now)

    def wrote(self, course: Any, view: View, decision: Decision) -> Any:
        """A status was written: count what it says for the first time."""
        job, after, now = decision.detail.job, decision.detail.plan.status, view.now
        known = {attempt.number: attempt for attempt in job.status.attempts}
        for attempt in after.attempts:
            old = known.get(attempt.number)
            if attempt == old:
                continue
            self._count(attempt, old)
            if course is not None and (old is None or old.end_time is None):
                self._stops_and_losses(course, attempt, now)
        self._count_trials(after.tuning, job.status.tuning)
        for resource, gpus in gpus_held(job, decision.detail.observed).items():
            for state, seconds in spent_since(job.status.time, after.time).items():
                name = self._known_resource(resource)
                self._metrics.gpu_seconds.labels(job.namespace, name, state).inc(gpus * seconds)
        if course is not None and after.phase == "Suspended":
            course.lost = ""
        if after.phase in FINISHED and job.status.phase not in FINISHED:
            failed = condition_of(after, "Failed")
            self._metrics.jobs_ended.labels(failed.reason if failed is not None else "Succeeded").inc()
            return None
        return course

    def deleted(self, view: View) -> None:  # noqa: ARG002 - all of them count alike
        """A finished job was deleted for its age."""
        self._metrics.jobs_expired.inc()

    def awaits(self, course: Any) -> bool:
        """Whether the first step of a start or of a recovery is waited for: a driver's report tells of it.

        None is, of an attempt that is being stopped, and of a driver that speaks on and on, but of no step.
        """
        if course is None or course.phase != STEP or course.stopping_since is not None:
            return False
        return bool(course.in_vain < MOST_AWAITED)

    def _known_resource(self, name: str) -> str:
        if len(self._resources) < MOST_RESOURCES:
            self._resources.add(name)
        return name if name in self._resources else OTHER

    def _follow(self, course: _Course | None, job: Job, observed: Observed, plan: Plan, now: float) -> _Course | None:
        if course is None:
            if job.status.phase is None and plan.status is not None:
                first = self._metrics.start_phase_seconds.labels("first_reconcile")
                first.observe(max(0.0, now - job.created), self._metrics.named(job))
            elif job.status.phase in FINISHED:
                return None
            course = _Course(job.status.attempt)
        if plan.create and plan.attempt > course.attempt:
            course.attempt, course.phase, course.since, course.stopping_since = plan.attempt, 0, now, None
        elif not course.lost and any(pod.number for pod in plan.create):
            course.lost, course.lost_at, course.phase, course.since = "worker", now, READY, now
        if course.phase < len(PHASES):
            self._go_on(course, job, observed, now)
        return course

    def _count(self, attempt: Attempt, old: Attempt | None) -> None:
        start, running, end = map(to_seconds, (attempt.start_time, attempt.running_time, attempt.end_time))
        if running is not None and (old is None or old.running_time is None):
            self._metrics.startup_seconds.observe(running - (start or running))
        if end is not None and (old is None or old.end_time is None):
            self._metrics.attempts_ended.labels(attempt.cause or "Succeeded").inc()
            if running is not None:
                self._metrics.running_seconds.observe(end - running)
        self._metrics.workers_replaced.inc(attempt.workers_replaced - (old.workers_replaced if old else 0))

    def _count_trials(self, tuning: TuningStatus | None, old: TuningStatus | None) -> None:
        for state in ENDED_STATES if tuning is not None else ():
            ended = getattr(tuning, state) - (getattr(old, state) if old is not None else 0)
            self._metrics.trials.labels(state).inc(max(0, ended))

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
                took = max(0.0, now - course.since)
                self._metrics.start_phase_seconds.labels(phase).observe(took, self._metrics.named(job))
            if course.phase == READY:
                course.text, course.in_vain = _text(observed, course.attempt), 0
            if course.lost and course.phase >= READY:
                until = "running" if course.phase == READY else "step"
                took = max(0.0, now - course.lost_at)
                self._metrics.recovery_seconds.labels(course.lost, until).observe(took, self._metrics.named(job))
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
            reached = step is not None and said is not None and step > (said.resumed_from_step or 0)
            course.in_vain += not reached
            return reached
        if course.phase == READY:
            return sum(1 for pod in pods if pod.ready and pod.deleting is None) >= wanted
        if course.phase == 1:
            return sum(1 for pod in pods if pod.node is not None) >= wanted
        return len(pods) >= wanted


def gpus_held(job: Job, observed: Observed) -> Mapping[str, int]:
    """The GPUs that pods have held since the last status, by resource: those that have a node, and had not ended then.

    A pod and the one that took its place may both be there: a worker's place counts once.
    """
    if job.spec is None:
        return {}
    last = job.status.attempts[-1] if job.status.attempts else None
    going = last is None or last.end_time is None
    number = job.status.attempt if last is not None else 1
    # What ends an attempt is seen together with the end: until then it was held.
    pods = [
        pod for pod in observed.pods if pod.node is not None and (not pod.ended or (going and pod.attempt == number))
    ]
    held: dict[str, int] = {}
    for role, asked in (("head", job.spec.head.resources), ("worker", job.spec.workers.resources)):
        places = {(pod.attempt, pod.index) for pod in pods if pod.role == role}
        if asked.gpu and places:
            held[asked.gpu_resource] = held.get(asked.gpu_resource, 0) + asked.gpu * len(places)
    return held


def spent_since(before: TimeStatus | None, after: TimeStatus | None) -> Mapping[str, int]:
    """The seconds that one status counts more than another, by state."""
    known = before.seconds if before is not None else {}
    grown = {state: after.seconds.get(state, 0) - known.get(state, 0) for state in SPENT} if after is not None else {}
    return {state: seconds for state, seconds in grown.items() if seconds > 0}


def _text(observed: Observed, attempt: int) -> str:
    return next((config.progress for config in observed.configs if config.attempt == attempt), "")
