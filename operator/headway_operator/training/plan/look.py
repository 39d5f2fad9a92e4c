"""One look at a job: gathers what is to be done while the policies speak, and makes the Plan of it."""

from __future__ import annotations

from headway_api import wire
from headway_api.status import Attempt
from headway_operator.training.plan.ends import overdue
from headway_operator.training.plan.model import AttemptConfig, Fact, Job, NewPod, Notice, Observed, Plan, Pod, Refusal
from headway_operator.training.plan.status import Draft, read_progress, urgent

GOING_SECONDS = 60.0
"""After so long it is looked whether pods that were deleted are gone, should nobody say so."""


class Look:
    """What one look at a job has found and decided so far."""

    def __init__(self, job: Job, observed: Observed, now: float) -> None:
        self.job = job
        self.observed = observed
        self.now = now
        self.draft = Draft(job, now)
        self.draft.refused = observed.status_refused
        self.refusals: dict[str, Refusal] = {}
        """What the API server refused of the attempt that is being looked at."""
        self.config: AttemptConfig | None = None
        """Its ConfigMap."""
        self.said: wire.ProgressFile | None = None
        """What its driver says there."""
        self.word_uid = job.uid
        """The uid in its driver's last word; none in that of a driver of 0.1.0."""
        self.notices: list[Notice] = []
        self.read: set[Fact] = set()
        self._attempt = 0
        self._workers = 0
        self._create: list[NewPod] = []
        self._ensure: frozenset[str] = frozenset()
        self.grouped = False
        """Whether the attempt's pods are scheduled as one PodGroup."""
        self._delete: dict[str, Pod] = {}
        self._delete_objects: set[int] = set()
        self._delete_job = False
        self._forget: list[Pod] = []
        self._wake: float | None = None

    def turn_to(self, attempt: Attempt) -> None:
        """From here on it is about this attempt."""
        number, name = attempt.number, attempt.name
        self._attempt = number
        prefix = f"{wire.object_name(self.job.name, self.job.uid, number)}-"
        self.refusals = {name: why for name, why in self.observed.refusals.items() if name.startswith(prefix)}
        configs = [config for config in self.observed.configs if config.attempt == number]
        self.config = next((config for config in configs if name in (None, config.name)), None)
        # What a driver of 0.1.0 says in a ConfigMap may be that of an earlier job of the same name.
        heard = self.config if name is not None else None
        self.said = read_progress(heard.progress, number, self.job.uid) if heard is not None else None
        self.word_uid = self.job.uid if name is not None else ""

    def create(self, workers: int, pods: list[NewPod], *, ensure: frozenset[str]) -> bool:
        """Create pods of the attempt, which has so many workers, those that were refused a moment ago excepted.

        `ensure` are the kinds of objects to be made sure of first, also if there are no pods to create.

        Returns whether any are left to be created.
        """
        self._workers = workers
        for pod in pods:
            held_back = self.refused_until(pod)
            if held_back is None:
                self._create.append(pod)
            else:
                self.wake_at(held_back)
        if self._create or not pods:
            self._ensure = ensure
        return bool(self._create)

    def refused_until(self, pod: NewPod) -> float | None:
        """When a pod that was refused a moment ago may be asked for again; None: now."""
        refusal = self.refusals.get(pod.name(self.job.name, self.job.uid, self._attempt))
        return refusal.retry_at if refusal is not None and self.now < refusal.retry_at else None

    def delete(self, pod: Pod) -> None:
        """Delete a pod, unless that has been asked for already."""
        if not pod.gone and pod.deleting is None:
            self._delete[pod.uid] = pod
            self.wake_at(self.now + GOING_SECONDS)

    def delete_objects(self, attempt: int) -> None:
        """Delete an attempt's ConfigMap, Secret, Service and NetworkPolicy. They go at once: go on at once."""
        self._delete_objects.add(attempt)
        self.again()

    def delete_job(self) -> None:
        """Delete the job itself."""
        self._delete_job = True

    def forget(self, pod: Pod) -> None:
        """The last word of a deleted pod is recorded."""
        if pod.gone:
            self._forget.append(pod)

    def notice(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell people."""
        self.notices.append(Notice(reason, message, warning))

    def wake_at(self, when: float) -> None:
        """Look again then, at the latest; a time that has passed already is no reason to look without end."""
        self._wake_at(when if when > self.now else self.now + 1.0)

    def again(self) -> None:
        """Look again at once: what was decided takes effect when the status says it."""
        self._wake_at(self.now)

    def held(self) -> list[Pod]:
        """The pods that are still there. A pod whose node has not answered for too long is waited for no longer.

        Before that is believed, the API server is asked.
        """
        held = []
        for pod in self.observed.pods:
            if pod.gone:
                continue
            if not overdue(pod, self.now):
                held.append(pod)
            elif not self.observed.live:
                self.read.add("live")
        return held

    def _wake_at(self, when: float) -> None:
        self._wake = when if self._wake is None else min(self._wake, when)

    def plan(self) -> Plan:
        """The Plan. A status that says nothing new is not written; one that can wait waits its interval."""
        status = self.draft.build()
        write = status if status != self.job.status else None
        if write is not None and not urgent(self.job.status, write) and self.observed.last_write is not None:
            due = self.observed.last_write + self.observed.write_interval
            if self.now < due:
                self.wake_at(due)
                write = None
        return Plan(
            attempt=self._attempt,
            workers=self._workers,
            create=tuple(self._create),
            ensure_objects=self._ensure,
            grouped=self.grouped,
            delete=tuple(self._delete.values()),
            delete_objects=tuple(sorted(self._delete_objects)),
            delete_job=self._delete_job,
            status=write,
            notices=tuple(self.notices),
            forget=tuple(self._forget),
            read=frozenset(self.read - self.observed.read),
            requeue_at=self._wake,
        )
