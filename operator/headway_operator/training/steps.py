"""From a plan to the engine's steps, with every manifest rendered. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from headway_api import wire
from headway_api.status import Attempt
from headway_operator.engine import kube
from headway_operator.engine.keys import Ref
from headway_operator.engine.kube import Resource
from headway_operator.engine.steps import (
    Delete,
    DeleteOwned,
    DeleteSelf,
    Ensure,
    EnsureShared,
    EventsAbout,
    Exists,
    Facts,
    Read,
    Refusal,
    Stage,
    Verify,
)
from headway_operator.engine.text import bounded
from headway_operator.policies import accounts
from headway_operator.training.plan.model import UNWATCHED, Job, NewPod, Observed, Plan, Pod
from headway_operator.training.render import gang, network, objects, pods
from headway_operator.training.render.merge import RenderError
from headway_operator.training.render.objects import AttemptOf, Manifest

SCALE_UP_REASONS = ("TriggeredScaleUp", "Nominated")
"""What Cluster Autoscaler and Karpenter say of a pod for which they are making a node."""
RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES, kube.POD_GROUPS)
}
"""An attempt's objects but its pods, by the kinds that plans speak of."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What manifests depend on beside the job."""

    pull_policy: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The steps of a plan."""

    stages: tuple[Stage, ...]
    refused: dict[str, Refusal]
    """Pods whose templates are of no shape, by name."""


def reads(job: Job, plan: Plan, observed: Observed) -> tuple[Read, ...]:
    """What a plan asks to be read."""
    found: list[Read] = []
    name = wire.object_name(job.name, job.uid, plan.attempt)
    if "live" in plan.read:
        found.append(Verify(tuple(_expected(job, plan, observed)), whole=_workers_missing(job, observed)))
    if "left" in plan.read:
        found.append(Verify(tuple(_left_workers(job, observed))))
    if "objects" in plan.read:
        kinds = (*UNWATCHED, "PodGroup") if plan.grouped else UNWATCHED
        found.append(Exists(tuple(Ref(RESOURCES[kind], name) for kind in kinds)))
    if "scaleUps" in plan.read:
        waiting = [pod for pod in observed.pods if pod.attempt == plan.attempt and pod.node is None and not pod.ended]
        found.append(EventsAbout(tuple(Ref(kube.PODS, pod.name) for pod in waiting), SCALE_UP_REASONS))
    return tuple(found)


def _expected(job: Job, plan: Plan, observed: Observed) -> Iterator[Ref]:
    """What may exist unseen: head and ConfigMap of the newest attempts, and workers of which there is no trace."""
    newest = max([plan.attempt, job.status.attempt, *(pod.attempt for pod in observed.pods)])
    for attempt in {newest, job.status.attempt, job.status.attempt + 1} - {0}:
        yield Ref(kube.PODS, wire.head_name(job.name, job.uid, attempt))
        yield Ref(kube.CONFIG_MAPS, wire.object_name(job.name, job.uid, attempt))
    yield from _unseen_workers(job, observed)


def _unseen_workers(job: Job, observed: Observed) -> Iterator[Ref]:
    """By all the names that they may have: a place may have been filled anew since, any number of times."""
    running = next((entry for entry in job.status.attempts if entry.end_time is None), None)
    if running is None or job.status.workers is None:
        return
    seen = {pod.index for pod in observed.pods if pod.attempt == running.number and pod.role == wire.ROLE_WORKER}
    for index in sorted(set(range(job.status.workers.desired)) - seen):
        yield from _worker_names(job, running, index)


def _left_workers(job: Job, observed: Observed) -> Iterator[Ref]:
    """The workers that the attempt which ended last may have left unseen; its first one in any case."""
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is None:
        return
    yield _first_worker(job, last)
    seen = {pod.name for pod in observed.pods}
    for index in range(job.status.workers.desired if job.status.workers is not None else 1):
        yield from (ref for ref in _worker_names(job, last, index) if ref.name not in seen)


def has_looked_for_left(job: Job, facts: Facts) -> bool:
    """Whether the workers that the last attempt may have left were read."""
    last = job.status.attempts[-1] if job.status.attempts else None
    first = _first_worker(job, last) if last is not None else None
    return any(isinstance(read, Verify) and first in read.refs for read in facts.done)


def _first_worker(job: Job, attempt: Attempt) -> Ref:
    return Ref(kube.PODS, wire.worker_name(job.name, job.uid, attempt.number, 0, 0))


def _worker_names(job: Job, attempt: Attempt, index: int) -> Iterator[Ref]:
    for number in range(attempt.workers_replaced + 2):
        yield Ref(kube.PODS, wire.worker_name(job.name, job.uid, attempt.number, index, number))


def _workers_missing(job: Job, observed: Observed) -> bool:
    """Whether the open attempt has fewer workers than it should: whoever replaced them may have names of its own."""
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is None or last.end_time is not None or job.status.workers is None:
        return False
    places = {pod.index for pod in observed.pods if pod.attempt == last.number and pod.role == wire.ROLE_WORKER}
    return len(places) < job.status.workers.desired


def render(job: Job, plan: Plan, observed: Observed, settings: Settings, token: str) -> Rendered:
    """The steps of a plan. `token` is what the processes of a new attempt are to know each other by."""
    making: list[Stage] = []
    refused: dict[str, Refusal] = {}
    if job.spec is not None and (plan.create or plan.ensure_objects or plan.dry_run):
        attempt = AttemptOf(
            namespace=job.namespace,
            job=job.name,
            uid=job.uid,
            number=plan.attempt,
            workers=plan.workers,
            spec=job.spec,
            grouped=plan.grouped,
            progress_seconds=observed.progress_interval,
        )
        maker = _Maker(attempt, plan, settings, refused, new=job.status.attempt < plan.attempt)
        making = [*maker.judged(), *maker.objects(observed, token), *maker.pods()]
    stages = (stage for stage in (*making, *_taking_away(job, plan, observed)) if stage.steps)
    return Rendered(tuple(stages), refused)


@dataclass(frozen=True, slots=True)
class _Maker:
    """What makes an attempt's objects."""

    attempt: AttemptOf
    plan: Plan
    settings: Settings
    refused: dict[str, Refusal]
    new: bool
    """Whether the status does not tell of the attempt yet."""

    def judged(self) -> Iterator[Stage]:
        """Pods that the API server is to judge before anything is made, with the account that they name."""
        stage = self._pods(self.plan.dry_run, dry_run=True)
        if stage.steps:
            yield Stage(self._shared())
            yield stage

    def objects(self, observed: Observed, token: str) -> Iterator[Stage]:
        """The ConfigMap is made first, as it goes last: where there is none, nothing else has to be looked for."""
        attempt, wanted = self.attempt, self.plan.ensure_objects
        # Where there are pods to be made, what keeps them from it is told in their names.
        must = not self.plan.create
        if "ConfigMap" in wanted and all(config.name != attempt.name for config in observed.configs):
            yield Stage((Ensure(kube.CONFIG_MAPS, objects.config_map(attempt), must=must),))
        bodies: dict[str, Callable[[], Manifest]] = {
            "Secret": lambda: objects.secret(attempt, token),
            "Service": lambda: network.service(attempt),
            "NetworkPolicy": lambda: network.network_policy(attempt),
            "PodGroup": lambda: gang.pod_group(attempt),
        }
        # What was made for pods that were refused then is not asked for again on each turn; what was read just now as
        # missing is.
        made = frozenset() if "objects" in observed.read else observed.made
        # The spec may have changed since an earlier process made the Secret, and the ConfigMap of then be deleted.
        unused = self.new and all(pod.attempt != attempt.number for pod in observed.pods)
        kinds = [kind for kind in bodies if kind in wanted and (RESOURCES[kind].plural, attempt.name) not in made]
        others = tuple(Ensure(RESOURCES[kind], bodies[kind](), must=must, unused=unused) for kind in kinds)
        yield Stage((*(self._shared() if self.plan.create else ()), *others))

    def pods(self) -> Iterator[Stage]:
        """Workers come after the head: they would wait in vain for one that is not taken."""
        yield self._pods(new for new in self.plan.create if new.role == wire.ROLE_HEAD)
        yield self._pods(new for new in self.plan.create if new.role != wire.ROLE_HEAD)

    def _pods(self, new: Iterable[NewPod], *, dry_run: bool = False) -> Stage:
        steps = []
        for each in new:
            try:
                body = pods.pod(self.attempt, each, self.settings.pull_policy)
            except RenderError as error:
                name = each.name(self.attempt.job, self.attempt.uid, self.attempt.number)
                self.refused[name] = Refusal("Invalid", bounded(str(error)))
            else:
                steps.append(Ensure(kube.PODS, body, dry_run=dry_run))
        return Stage(tuple(steps))

    def _shared(self) -> tuple[EnsureShared, ...]:
        return accounts.ensured(self.attempt.namespace, wire.SERVICE_ACCOUNT)


def _taking_away(job: Job, plan: Plan, observed: Observed) -> Iterator[Stage]:
    """The ConfigMap goes last: while it is there, the rest may be."""
    yield Stage(tuple(_delete_pod(pod) for pod in plan.delete))
    for number in plan.delete_objects:
        names = {config.name for config in observed.configs if config.attempt == number}
        names |= {name for _, name in observed.made if _attempt_of(job, name) == number}
        names |= {wire.object_name(job.name, job.uid, number)}
        kinds = [*UNWATCHED]
        grouped = any(config.grouped for config in observed.configs if config.attempt == number)
        if grouped or any(plural == kube.POD_GROUPS.plural and name in names for plural, name in observed.made):
            kinds.append("PodGroup")
        yield Stage(tuple(DeleteOwned(Ref(RESOURCES[kind], name)) for name in sorted(names) for kind in kinds))
        yield Stage(
            tuple(
                Delete(Ref(kube.CONFIG_MAPS, config.name), config.uid)
                for config in observed.configs
                if config.attempt == number
            )
        )
    if plan.delete_job:
        yield Stage((DeleteSelf(),))


def _delete_pod(pod: Pod) -> Delete:
    """A head that has ended unnoticed is not deleted: its last word would go with it."""
    version = pod.version if pod.role == wire.ROLE_HEAD and not pod.ended else None
    return Delete(Ref(kube.PODS, pod.name), pod.uid, version)


def attempts_of(job: Job, made: frozenset[tuple[str, str]]) -> frozenset[int]:
    """The attempts that objects were made for."""
    found = (_attempt_of(job, name) for _, name in made)
    return frozenset(number for number in found if number is not None)


def _attempt_of(job: Job, name: str) -> int | None:
    prefix = f"{job.name}-{job.uid[: wire.UID_LENGTH]}-"
    rest = name[len(prefix) :] if name.startswith(prefix) else ""
    return int(rest) if rest.isascii() and rest.isdecimal() else None
