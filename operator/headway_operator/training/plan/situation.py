"""An attempt at one moment: what the status says of it, what was observed of its objects, what its driver reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.status import Attempt
from headway_operator.engine.steps import Refusal
from headway_operator.policies.retry import Account
from headway_operator.training.plan.losses import Lost
from headway_operator.training.plan.model import AttemptConfig, Fact, Job, NewPod, Observed
from headway_operator.training.plan.podset import PodSet, pod_set
from headway_operator.training.plan.status import pods_refused, read_progress


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be decided before this time."""

    until: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Something has to be read from the API server before it can be decided."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decisions about an attempt rest upon."""

    job: Job
    observed: Observed
    now: float
    attempt: Attempt
    """As the status has it, with what the driver reports since."""
    pods: PodSet
    config: AttemptConfig | None = None
    """The attempt's ConfigMap."""
    report: wire.ProgressFile | None = None
    """What its driver reports there."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """What the API server refused of the attempt, by pod."""
    lost: Mapping[int, Lost] = field(default_factory=dict)
    """The places that are to be filled again, with why."""
    account: Account = field(default_factory=Account)
    """The failures of the job, with those that are recorded now."""

    @classmethod
    def of(cls, job: Job, observed: Observed, now: float, attempt: Attempt) -> Situation:
        """The situation of an attempt."""
        prefix = f"{wire.object_name(job.name, job.uid, attempt.number)}-"
        configs = [config for config in observed.configs if config.attempt == attempt.number]
        config = next((config for config in configs if attempt.name in (None, config.name)), None)
        report = None
        if config is not None and attempt.name is not None:
            # What a driver of 0.1.0 reports may be that of an earlier job of the same name.
            report = read_progress(config.progress, attempt.number, job.uid)
        return cls(
            job=job,
            observed=observed,
            now=now,
            attempt=_with_report(attempt, report),
            pods=pod_set(observed, attempt, desired_workers(job, observed, attempt), now),
            config=config,
            report=report,
            refusals={name: why for name, why in observed.refusals.items() if name.startswith(prefix)},
        )

    @property
    def spec(self) -> TrainingJobSpec:
        """The job's spec, for decisions that are only made where it is known."""
        if self.job.spec is None:
            raise ValueError("the spec of the job is not known")
        return self.job.spec

    @property
    def word_uid(self) -> str:
        """The uid in the driver's last word; none in that of a driver of 0.1.0."""
        return self.job.uid if self.attempt.name is not None else ""

    @property
    def ran(self) -> bool:
        """Whether all pods of the attempt have been ready once."""
        return self.attempt.running_time is not None

    @property
    def is_new(self) -> bool:
        """Whether the status does not tell of the attempt yet."""
        return self.job.status.attempt < self.attempt.number

    @property
    def incomplete(self) -> bool:
        """Whether the attempt's first pods may not all have been created yet."""
        refused = pods_refused(self.job.status) is not None and not self.ran
        return self.is_new or (refused and self._first_refused())

    def _first_refused(self) -> bool:
        """Whether what the status says was refused may be one of the attempt's first pods.

        It may also be one that was to take a lost one's place. Where it is known that nothing else was refused, a place
        without a trace has been lost, and is not filled under a name that it had. A process that has just begun does
        not know it, and takes it for a first one: the other way round, an attempt whose first pods a quota has refused
        would be charged with losses that never were. What this leaves uncounted is at most one loss for each restart
        of the operator, of an attempt that has not yet had all its pods at once; it takes a fault of the operator's
        cluster, which no tenant can bring about, and from the first refusal on it is known again.
        """
        return not self.refusals or any(self._name(pod) in self.refusals for pod in self._first())

    @property
    def unsure_of_first(self) -> bool:
        """Whether only the status tells of refused pods, not which: so after a restart of the operator."""
        return not self.is_new and not self.refusals

    def _first(self) -> Iterator[NewPod]:
        """The pods that an attempt begins with."""
        yield NewPod("head")
        for index in range(self.pods.desired):
            yield NewPod("worker", index)

    def _name(self, pod: NewPod) -> str:
        return pod.name(self.job.name, self.job.uid, self.attempt.number)

    def refused_until(self, pod: NewPod) -> float | None:
        """When a pod that was refused a moment ago may be asked for again; None: now."""
        refusal = self.refusals.get(self._name(pod))
        return refusal.retry_at if refusal is not None and self.now < refusal.retry_at else None


def desired_workers(job: Job, observed: Observed, attempt: Attempt) -> int:
    """The workers of an attempt. A changed number counts from the next attempt on: the world size is fixed.

    An attempt that the status does not tell of yet has as many as its driver was told to wait for.
    """
    status = job.status
    if status.attempt == attempt.number and status.workers is not None and status.workers.desired > 0:
        return status.workers.desired
    told = observed.told(attempt.number)[0]
    if told > 0:
        return told
    return job.spec.workers.replicas if job.spec is not None else 1


def _with_report(attempt: Attempt, report: wire.ProgressFile | None) -> Attempt:
    if report is None:
        return attempt
    update = {"resumed_from_step": report.resumed_from_step, "steps_lost": report.steps_lost}
    return attempt.model_copy(update={key: value for key, value in update.items() if value is not None})
