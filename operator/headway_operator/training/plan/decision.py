"""What has been decided about a job: built up step by step, and made a Plan of at the end."""

from __future__ import annotations

from headway_operator.training.plan.ends import overdue
from headway_operator.training.plan.model import Fact, Job, NewPod, Notice, Observed, Plan, Pod
from headway_operator.training.plan.situation import Situation
from headway_operator.training.plan.status import StatusDraft, urgent
from headway_operator.training.plan.timekeeping import timed

GOING_SECONDS = 60.0
"""After so long it is checked whether pods that were deleted are gone, should nobody say so."""


class Decision:
    """What is to be done about a job, as far as it has been decided."""

    def __init__(self, job: Job, observed: Observed, now: float) -> None:
        self.job = job
        self.observed = observed
        self.now = now
        self.status = StatusDraft(job, now, refused=observed.status_refused)
        self._attempt = 0
        self._workers = 0
        self._grouped = False
        self._create: list[NewPod] = []
        self._ensure: frozenset[str] = frozenset()
        self._dry_run: list[NewPod] = []
        self._kept: set[str] = set()
        self._delete: dict[str, Pod] = {}
        self._delete_objects: set[int] = set()
        self._delete_job = False
        self._notices: list[Notice] = []
        self._forget: list[Pod] = []
        self._read: set[Fact] = set()
        self._requeue_at: float | None = None

    def about(self, attempt: int, *, grouped: bool = False) -> None:
        """The attempt that is created, completed or read about; grouped: its pods are scheduled as one PodGroup."""
        self._attempt, self._grouped = attempt, grouped

    def create(self, situation: Situation, pods: list[NewPod], *, ensure: frozenset[str]) -> bool:
        """Create pods of the attempt, those that were refused a moment ago excepted.

        `ensure` are the kinds of objects to be made sure of first, also if there are no pods to create.

        Returns whether any are left to be created.
        """
        self._workers = situation.pods.desired
        for pod in pods:
            refused_until = situation.refused_until(pod)
            if refused_until is None:
                self._create.append(pod)
            else:
                self.wake_at(refused_until)
        if self._create or not pods:
            self._ensure = ensure
        return bool(self._create)

    def dry_run(self, pods: list[NewPod]) -> None:
        """Have the API server judge pods before anything is made."""
        self._dry_run = list(pods)

    def delete(self, pod: Pod) -> None:
        """Delete a pod, unless that has been asked for already, or it is kept."""
        if not pod.gone and pod.deleting is None and pod.uid not in self._kept:
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

    def notice(self, reason: str, message: str, *, warning: bool = False, cause: str = "") -> None:
        """Tell people."""
        self._notices.append(Notice(reason, message, warning, cause))

    def ask(self, fact: Fact) -> None:
        """Have something read from the API server, and decide again then."""
        self._read.add(fact)

    def wake_at(self, when: float) -> None:
        """Decide again then, at the latest; a time that has passed already is no reason to do so without end."""
        self._wake_at(when if when > self.now else self.now + 1.0)

    def again(self) -> None:
        """Decide again at once: what was decided takes effect when the status says it."""
        self._wake_at(self.now)

    def keep(self, pods: list[Pod], until: float | None) -> None:
        """These pods are not deleted, unless that has been asked for already; `until`: those that have not ended."""
        self._kept = {pod.uid for pod in pods}
        if until is not None:
            self.wake_at(until)

    def held(self) -> list[Pod]:
        """The pods that are still there, but those that are kept and have ended.

        A pod whose node has not answered for too long is waited for no longer. Before anything is done without waiting
        for it, the API server is asked; while others are waited for, their ends need not be paid for by that.
        """
        there = [pod for pod in self.observed.pods if not (pod.gone or (pod.ended and pod.uid in self._kept))]
        held = [pod for pod in there if not overdue(pod, self.now)]
        if there and not held and not self.observed.live:
            self.ask("live")
        return held

    def _wake_at(self, when: float) -> None:
        self._requeue_at = when if self._requeue_at is None else min(self._requeue_at, when)

    def plan(self) -> Plan:
        """The Plan. A status that says nothing new is not written; one that can wait waits its interval."""
        status = self.status.build()
        write = status if status != self.job.status else None
        if write is not None and not urgent(self.job.status, write) and self.observed.last_write is not None:
            due = self.observed.last_write + self.observed.write_interval
            if self.now < due:
                self.wake_at(due)
                write = None
        if write is not None:
            time = timed(self.job.status, write, self.status.heard, self.now)
            write = write.model_copy(update={"time": time})
        return Plan(
            attempt=self._attempt,
            workers=self._workers,
            create=tuple(self._create),
            dry_run=tuple(self._dry_run) if self._create else (),
            ensure_objects=self._ensure,
            grouped=self._grouped,
            delete=tuple(self._delete.values()),
            delete_objects=tuple(sorted(self._delete_objects)),
            delete_job=self._delete_job,
            status=write,
            # They are posted with the status that tells of the same; until that is written they would be logged again.
            notices=tuple(self._notices) if write is not None else (),
            forget=tuple(self._forget),
            read=frozenset(self._read - self.observed.read),
            requeue_at=self._requeue_at,
        )
