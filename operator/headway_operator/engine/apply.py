"""Carries a Plan out: concurrent, idempotent, conflict-safe; one status write, last, and only if it changed."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from headway_api import wire
from headway_api.status import TrainingJobStatus
from headway_operator.engine import kube
from headway_operator.engine.kube import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    FencedError,
    InvalidError,
    Kube,
    NotFoundError,
    Object,
    Resource,
    RetryableError,
)
from headway_operator.engine.store import Cache
from headway_operator.training.plan.model import Job, NewPod, Plan, Pod, Refusal
from headway_operator.training.plan.text import bounded
from headway_operator.training.records import Key
from headway_operator.training.render import gang, network, objects, pods
from headway_operator.training.render import namespace as namespace_objects
from headway_operator.training.render.merge import RenderError
from headway_operator.training.render.objects import AttemptOf

CONCURRENCY = 16
"""Calls of one job at a time: a job of ten thousand workers leaves room for the others."""
TOKEN_BYTES = 32
CACHED = (kube.PODS, kube.CONFIG_MAPS)
UNWATCHED = (kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES)
PREPARED_SECONDS = 600.0
"""So old may the knowledge be that a namespace has its ServiceAccount and RoleBinding: somebody may delete them."""
EXPECTED_GRACE = 30.0
"""How long a deletion takes that we asked for and the watch has not shown yet."""


@dataclass(slots=True)
class Applied:
    """What became of a Plan."""

    refused: dict[str, Refusal] = field(default_factory=dict)
    """Pods that the API server did not take, by name. The status was not written if there are any."""
    wrote_status: bool = False
    deleted_job: bool = False
    was_wrong: bool = False
    """The cache was wrong about what exists and has been mended: look again."""


@dataclass(slots=True)
class _Made:
    """Objects of a job."""

    job_uid: str
    uids: dict[tuple[int, str], str] = field(default_factory=dict)
    """Their uids, by attempt and kind."""


class Applier:
    """Carries Plans out over the port, and lets the cache know at once."""

    def __init__(
        self,
        api: Kube,
        cache: Cache,
        *,
        pull_policy: str,
        now: Callable[[], float],
        new_token: Callable[[], str] = lambda: secrets.token_hex(TOKEN_BYTES),
    ) -> None:
        self._api = api
        self._cache = cache
        self._pull_policy = pull_policy
        self._now = now
        self._new_token = new_token
        self._prepared: dict[str, float] = {}
        """Namespaces that had what a namespace needs, and when."""
        self._made: dict[Key, _Made] = {}
        """By job: its objects that are not watched, as far as we made them and have not deleted them."""

    async def apply(self, job: Job, plan: Plan, status: str) -> Applied:
        """Carry the plan out. `status` is what the API server has, as JSON, to write only the difference.

        Raises KubeError where the API server does not answer or the job is not what it was; the rest has been tried.
        """
        applied = Applied()
        if plan.create or plan.ensure_objects:
            await self._create(job, plan, applied)
        await _all([partial(self._delete_pod, job, pod, applied) for pod in plan.delete])
        for attempt in plan.delete_objects:
            await self._delete_objects(job, attempt)
        if plan.delete_job:
            applied.deleted_job = await self._delete_job(job)
        elif plan.status is not None and not applied.refused:
            await self._write_status(job, plan.status, status)
            applied.wrote_status = True
        return applied

    async def _create(self, job: Job, plan: Plan, applied: Applied) -> None:
        if job.spec is None:
            return
        attempt = AttemptOf(job.namespace, job.name, job.uid, plan.attempt, plan.workers, job.spec, plan.grouped)
        if plan.ensure_objects:
            if not plan.create:
                await self._still_there(job)
            try:
                await self._ensure_objects(job, attempt, plan.ensure_objects)
            except (DeniedError, InvalidError) as error:
                if not plan.create:
                    raise
                self._refuse_all(job, plan, applied, _refusal(error))
                return
        await self._create_pods(job, plan, attempt, applied)

    async def _create_pods(self, job: Job, plan: Plan, attempt: AttemptOf, applied: Applied) -> None:
        """The head first: workers would wait in vain for one that is not taken, as while an earlier job's is going."""

        async def create(new: NewPod) -> None:
            try:
                body = pods.pod(attempt, new, self._pull_policy)
                made = await self._ensure(kube.PODS, job, body)
            except (DeniedError, InvalidError, RenderError) as error:
                # What is denied may be for want of the ServiceAccount, if somebody deleted it.
                self._prepared.pop(job.namespace, None)
                applied.refused[new.name(job.name, job.uid, plan.attempt)] = _refusal(error)
            else:
                self._cache.created_pod((job.namespace, job.name), made, self._now())

        await _all([partial(create, new) for new in plan.create if new.role == wire.ROLE_HEAD])
        if applied.refused:
            self._refuse_all(job, plan, applied, next(iter(applied.refused.values())))
            return
        await _all([partial(create, new) for new in plan.create if new.role != wire.ROLE_HEAD])

    @staticmethod
    def _refuse_all(job: Job, plan: Plan, applied: Applied, refusal: Refusal) -> None:
        applied.refused |= {new.name(job.name, job.uid, plan.attempt): refusal for new in plan.create}

    async def _ensure_objects(self, job: Job, attempt: AttemptOf, kinds: frozenset[str]) -> None:
        """All that pods need to start; the pods come after.

        The ConfigMap is first, as it is last to go: where there is none, nothing else has to be looked for. The rest is
        made at the same time.
        """

        async def other(resource: Resource, body: Object) -> None:
            made = await self._ensure(resource, job, body)
            self._remember(job, attempt.number, resource, made)

        async def group() -> None:
            try:
                await other(kube.POD_GROUPS, gang.pod_group(attempt))
            except NotFoundError as error:
                # The job is there, but the kind is not any more: not what NotFoundError means to our callers.
                raise RetryableError(f"the API server does not serve PodGroups any more: {error}") from error

        if "ConfigMap" in kinds:
            made = await self._ensure(kube.CONFIG_MAPS, job, objects.config_map(attempt))
            self._cache.created_config((job.namespace, job.name), made, self._now())
        calls: dict[str, list[Callable[[], Awaitable[Any]]]] = {
            "Secret": [
                partial(self._prepare_namespace, job.namespace),
                partial(other, kube.SECRETS, objects.secret(attempt, self._new_token())),
            ],
            "Service": [partial(other, kube.SERVICES, network.service(attempt))],
            "NetworkPolicy": [partial(other, kube.NETWORK_POLICIES, network.network_policy(attempt))],
            "PodGroup": [group],
        }
        await _all([call for kind, some in calls.items() if kind in kinds for call in some])

    async def missing(self, job: Job, attempt: int, *, grouped: bool) -> frozenset[str]:
        """The kinds of an attempt's unwatched objects that do not exist.

        Raises NotFoundError where the job is gone: what it lacks is gone with it, and would be again.
        """
        await self._still_there(job)
        name = wire.object_name(job.name, job.uid, attempt)
        found: set[str] = set()

        async def look_for(resource: Resource) -> None:
            try:
                await self._api.get(resource, job.namespace, name, metadata_only=True)
            except NotFoundError:
                found.add(resource.kind)

        kinds = (*UNWATCHED, kube.POD_GROUPS) if grouped else UNWATCHED
        await _all([partial(look_for, resource) for resource in kinds])
        return frozenset(found)

    def left(self, key: Key, uid: str) -> frozenset[int]:
        """Attempts of a job whose unwatched objects were made here, and not deleted here."""
        made = self._made.get(key)
        return frozenset(attempt for attempt, _ in made.uids) if made and made.job_uid == uid else frozenset()

    def forget(self, key: Key) -> None:
        """The job does not exist any more."""
        self._made.pop(key, None)

    def _of(self, job: Job) -> dict[tuple[int, str], str]:
        made = self._made.get((job.namespace, job.name))
        return made.uids if made and made.job_uid == job.uid else {}

    def _remember(self, job: Job, attempt: int, resource: Resource, made: Object) -> None:
        key = (job.namespace, job.name)
        if key not in self._made or self._made[key].job_uid != job.uid:
            self._made[key] = _Made(job.uid)
        self._made[key].uids[attempt, resource.plural] = made["metadata"]["uid"]

    async def _still_there(self, job: Job) -> None:
        """Raises NotFoundError where the job is gone: what it lacks is gone with it, and would be again."""
        found = await self._api.get(kube.JOBS, job.namespace, job.name, metadata_only=True)
        if found["metadata"]["uid"] != job.uid:
            raise NotFoundError(f"the job {job.namespace}/{job.name} of uid {job.uid} is gone")

    async def _prepare_namespace(self, namespace: str) -> None:
        if self._now() < self._prepared.get(namespace, float("-inf")) + PREPARED_SECONDS:
            return
        for resource, body in (
            (kube.SERVICE_ACCOUNTS, namespace_objects.service_account(namespace)),
            (kube.ROLE_BINDINGS, namespace_objects.role_binding(namespace)),
        ):
            try:
                await self._api.create(resource, namespace, body)
            except AlreadyExistsError:
                continue
        self._prepared[namespace] = self._now()

    async def _ensure(self, resource: Resource, job: Job, body: Object) -> Object:
        """Create an object, or find that it is there already and ours; returns as much of it as the cache needs."""
        try:
            return await self._api.create(resource, job.namespace, body)
        except AlreadyExistsError:
            name = body["metadata"]["name"]
            try:
                found = await self._api.get(resource, job.namespace, name, metadata_only=resource not in CACHED)
            except NotFoundError:
                # It is not the job that is gone: this has to be tried again.
                raise ConflictError(f"{resource.kind} {name} was in the way, and has just gone") from None
            _check_ours(resource, job, found)
            return found

    async def _delete_pod(self, job: Job, pod: Pod, applied: Applied) -> None:
        """Delete a pod. A head that has ended unnoticed is not: its last word would go with it."""
        key = (job.namespace, job.name)
        version = str(pod.version) if pod.role == wire.ROLE_HEAD and not pod.ended else None
        try:
            await self._api.delete(kube.PODS, job.namespace, pod.name, uid=pod.uid, version=version)
        except NotFoundError:
            self._cache.gone_pod(key, pod)
            applied.was_wrong = True
        except ConflictError:
            found = await self._api.get(kube.PODS, job.namespace, pod.name)
            if found["metadata"]["uid"] != pod.uid:
                self._cache.gone_pod(key, pod)
            self._cache.see_pod(None, found, self._now())
            raise
        else:
            self._cache.deleting_pod(key, pod, self._now() + EXPECTED_GRACE)

    async def _delete_objects(self, job: Job, attempt: int) -> None:
        """The ConfigMap goes last: while it is there, the rest may be. Its name is that of the rest, also in 0.1.0."""
        key = (job.namespace, job.name)
        records = [record for record in self._cache.configs_of(key, job.uid) if record.attempt == attempt]
        grouped = any(record.grouped for record in records) or (attempt, kube.POD_GROUPS.plural) in self._of(job)
        kinds = (*UNWATCHED, kube.POD_GROUPS) if grouped else UNWATCHED
        names = {record.name for record in records} or {wire.object_name(job.name, job.uid, attempt)}
        await _all([partial(self._delete_own, job, attempt, resource, name) for resource in kinds for name in names])
        for record in records:
            await self._delete(kube.CONFIG_MAPS, job, record.name, record.uid)
            self._cache.deleted_config(key, record)

    async def _delete_own(self, job: Job, attempt: int, resource: Resource, name: str) -> None:
        """Delete the attempt's object of a kind that is not watched, unless the one of that name is somebody else's."""
        known = self._of(job) if name == wire.object_name(job.name, job.uid, attempt) else {}
        uid = known.get((attempt, resource.plural))
        if uid is None:
            try:
                found = await self._api.get(resource, job.namespace, name, metadata_only=True)
                _check_ours(resource, job, found)
            except (NotFoundError, DeniedError, ConflictError):
                return
            uid = found["metadata"]["uid"]
        await self._delete(resource, job, name, uid)
        if known.pop((attempt, resource.plural), None) and not known:
            self.forget((job.namespace, job.name))

    async def _delete(self, resource: Resource, job: Job, name: str, uid: str) -> None:
        try:
            await self._api.delete(resource, job.namespace, name, uid=uid)
        except (NotFoundError, ConflictError):
            # Conflict: the name belongs to another object by now.
            return

    async def _delete_job(self, job: Job) -> bool:
        try:
            await self._api.delete(kube.JOBS, job.namespace, job.name, uid=job.uid, version=job.version)
        except NotFoundError:
            return False
        return True

    async def _write_status(self, job: Job, status: TrainingJobStatus, before: str) -> None:
        after = status.model_dump_json(by_alias=True, exclude_none=True)
        patch = {
            # The write is of what was looked at, or not at all.
            "metadata": {"uid": job.uid, "resourceVersion": job.version},
            "status": merge_patch(json.loads(before), json.loads(after)),
        }
        metadata = (await self._api.patch_status(kube.JOBS, job.namespace, job.name, patch))["metadata"]
        version = int(metadata["resourceVersion"])
        self._cache.wrote_status((job.namespace, job.name), job.uid, version, status, after)


def _refusal(error: Exception) -> Refusal:
    return Refusal("Denied" if isinstance(error, DeniedError) else "Invalid", bounded(str(error)))


def merge_patch(before: Any, after: dict[str, Any]) -> dict[str, Any]:
    """The RFC 7386 merge patch that makes `after` of `before`."""
    if not isinstance(before, dict):
        return after
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif value != old or key not in before:
            patch[key] = value
    return patch


def _check_ours(resource: Resource, job: Job, found: Object) -> None:
    """Raises unless the object is one that this very job owns."""
    meta = found["metadata"]
    if any(owner.get("uid") == job.uid for owner in meta.get("ownerReferences") or ()):
        if meta.get("deletionTimestamp") and resource is not kube.PODS:
            raise ConflictError(f"{resource.kind} {meta['name']} is just being deleted")
        return
    raise DeniedError(
        f"there is a {resource.kind} {meta['name']} that is not this job's (it may be an earlier job's, and go): "
        "delete it, or give the job another name"
    )


async def _all(calls: Iterable[Callable[[], Awaitable[Any]]]) -> None:
    """Make all calls, some at a time; then raise the first error, if any.

    After one that no other call would fare better with, no further ones are begun.
    """
    todo = list(calls)
    if not todo:
        return
    if len(todo) == 1:
        await todo[0]()
        return
    errors: list[BaseException] = []
    waiting = iter(todo)

    async def work() -> None:
        nonlocal waiting
        while (call := next(waiting, None)) is not None:
            try:
                await call()
            except kube.KubeError as error:
                errors.append(error)
                if isinstance(error, RetryableError | FencedError):
                    waiting = iter(())

    await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, len(todo)))))
    if errors:
        raise errors[0]
