"""Carries decisions out: concurrent, idempotent, conflict-safe. It knows no kind.

Stages come one after the other, and a stage that is refused keeps those after it from making anything. Where something
was refused a moment ago, the next try begins with one object, then two, then four: a quota is not asked ten thousand
times. The status is written last, and only if nothing was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.keys import Key, Ref, controller_of
from headway_operator.engine.kinds import Owner
from headway_operator.engine.kube import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    FencedError,
    InvalidError,
    Kube,
    NotFoundError,
    Object,
    RetryableError,
)
from headway_operator.engine.memory import STATUS_REFUSED_SECONDS, Memory
from headway_operator.engine.steps import (
    Change,
    Decision,
    Delete,
    DeleteOwned,
    DeleteSelf,
    Ensure,
    EnsureShared,
    Refusal,
    StatusWrite,
    Step,
)
from headway_operator.engine.store import Store
from headway_operator.engine.text import bounded

CONCURRENCY = 16
"""Calls for one key at a time: an object of ten thousand children leaves room for the others."""
SHARED_SECONDS = 600.0
"""So old may the knowledge be that a namespace has what its objects share: somebody may delete it."""
SHARED_KEPT = 50_000
EXPECTED_GRACE = 30.0
"""How long a deletion takes that we asked for and the watch has not shown yet."""


@dataclass(slots=True)
class Applied:
    """What became of a decision."""

    refused: dict[str, Refusal] = field(default_factory=dict)
    """Objects that the API server did not take, by name, and those that were not asked for because of that. The status
    was not written if there are any."""
    asked: set[str] = field(default_factory=set)
    """The names of the objects that were to be made or changed."""
    wrote_status: bool = False
    deleted_self: bool = False
    was_wrong: bool = False
    """The store was wrong about what exists and has been corrected: reconcile again."""


class Applier:
    """Carries decisions out over the port, and lets the store know at once."""

    def __init__(self, api: Kube, store: Store, now: Callable[[], float]) -> None:
        self._api = api
        self._store = store
        self._now = now
        self._shared: dict[tuple[str, Ref], float] = {}
        """By namespace and reference: when it was made sure of."""

    async def apply(self, owner: Owner, decision: Decision, memory: Memory) -> Applied:
        """Carry a decision out.

        Raises KubeError where the API server does not answer or the object is not what it was; the rest has been tried.
        """
        applied = Applied(refused=dict(decision.refused), asked={step.name for step in decision.ensures()})
        for stage in decision.stages:
            making = [step for step in stage.steps if isinstance(step, Ensure | EnsureShared)]
            if making and not applied.refused:
                self._still_asked_for(owner)
                await self._make(owner, making, memory, applied)
                if applied.was_wrong:
                    # What comes next, and the status, was decided without what is there.
                    return applied
            await _all([partial(self._take_away, owner, step, memory, applied) for step in _others(stage.steps)])
        if applied.refused:
            # What comes after a refusal was not asked for.
            first, existing = next(iter(applied.refused.values())), self._existing(owner, memory)
            applied.refused |= {
                name: first for name in applied.asked if name not in existing and name not in applied.refused
            }
        elif decision.status is not None and not applied.deleted_self:
            await self._write_status(owner, decision.status, memory)
            applied.wrote_status = True
        return applied

    def _existing(self, owner: Owner, memory: Memory) -> set[str]:
        known = self._store.children(owner).values()
        return {record.name for records in known for record in records} | {ref.name for ref in memory.made}

    def _still_asked_for(self, owner: Owner) -> None:
        """Raises ConflictError where the object has changed since it was decided to make something for it."""
        known = self._store.owner(owner.key)
        if known is None or known.uid != owner.uid or known.deleting or known.generation != owner.generation:
            raise ConflictError(f"{owner.key} has changed since this was decided")

    # Making

    async def _make(self, owner: Owner, steps: list[Ensure | EnsureShared], memory: Memory, applied: Applied) -> None:
        """All steps at the same time; in growing batches where something was refused a moment ago."""
        if any(isinstance(step, Ensure) and step.must for step in steps) and not await self._is_there(owner):
            # What it lacks is gone with it, and would be again.
            raise NotFoundError(f"{owner.key} of uid {owner.uid} is gone")
        size = 1 if memory.refused_times else CONCURRENCY
        while steps and not applied.refused:
            batch, steps = steps[:size], steps[size:]
            await _all([partial(self._make_one, owner, step, memory, applied) for step in batch])
            size *= 2

    async def _make_one(self, owner: Owner, step: Ensure | EnsureShared, memory: Memory, applied: Applied) -> None:
        if applied.refused:
            return
        try:
            if isinstance(step, EnsureShared):
                await self._ensure_shared(owner.key.namespace, step)
            else:
                await self._ensure(owner, step, memory, applied)
        except (DeniedError, InvalidError) as error:
            if isinstance(error, DeniedError) and "serviceaccount" in str(error):
                # It may be for want of what the namespace's objects share, if somebody deleted it.
                self._forget_shared(owner.key.namespace)
            if isinstance(step, Ensure) and step.must:
                raise
            applied.refused[step.body["metadata"]["name"]] = _refusal(error)
        except RetryableError:
            memory.unsure |= isinstance(step, Ensure) and not step.dry_run
            raise

    async def _ensure(self, owner: Owner, step: Ensure, memory: Memory, applied: Applied) -> None:
        """Create an object, or find that it is there already and the owner's; the store or the memory learns of it."""
        resource, namespace = step.resource, owner.key.namespace
        watched = any(resource == child.resource for child in self._store.kinds[owner.key.kind].children)
        found = False
        try:
            made = await self._api.create(resource, namespace, step.body, dry_run=step.dry_run)
            # Only its metadata comes back; the watch will show nothing newer until it changes.
            made = {**step.body, "metadata": made["metadata"]}
        except AlreadyExistsError:
            if step.dry_run:
                return
            made = await self._found(owner, step, watched=watched)
            found = not (step.unused and _says_otherwise(made, step.body))
            if not found:
                made = await self._anew(namespace, step, made["metadata"]["uid"])
        except NotFoundError as error:
            if not await self._is_there(owner):
                raise
            # The owner is there, but the resource is not any more: not what NotFoundError means to our callers.
            raise RetryableError(f"the API server does not serve {resource.plural} any more: {error}") from error
        if step.dry_run:
            return
        if watched:
            news = self._store.created(owner.key, resource, made, self._now())
            if found and news:
                # It may say otherwise than what was to be made, and others may be there that no watch has shown.
                applied.was_wrong = memory.unsure = True
        else:
            memory.made[Ref(resource, step.name)] = made["metadata"]["uid"]

    async def _found(self, owner: Owner, step: Ensure, *, watched: bool) -> Object:
        name = step.name
        try:
            found = await self._api.get(step.resource, owner.key.namespace, name, metadata_only=not watched)
        except NotFoundError:
            # It is not the owner that is gone: this has to be tried again.
            raise ConflictError(f"{step.resource.kind} {name} was in the way, and has just gone") from None
        if not _is_own(owner, found):
            raise DeniedError(
                f"there is a {step.resource.kind} {name} that is not of this {owner.key.kind}: delete it, or give the "
                f"{owner.key.kind} another name"
            )
        if found["metadata"].get("deletionTimestamp") and step.resource is not kube.PODS:
            raise ConflictError(f"{step.resource.kind} {name} is just being deleted")
        return found

    async def _anew(self, namespace: str, step: Ensure, uid: str) -> Object:
        """Take an object away that nothing rests on, and make it as it is to be now. Raises KubeError."""
        with contextlib.suppress(NotFoundError):
            await self._api.delete(step.resource, namespace, step.name, uid=uid)
        try:
            made = await self._api.create(step.resource, namespace, step.body)
        except AlreadyExistsError:
            raise ConflictError(f"{step.resource.kind} {step.name} has yet to go") from None
        return {**step.body, "metadata": made["metadata"]}

    async def _is_there(self, owner: Owner) -> bool:
        kind = self._store.kinds[owner.key.kind]
        try:
            found = await self._api.get(kind.resource, owner.key.namespace, owner.key.name, metadata_only=True)
        except NotFoundError:
            return False
        return bool(found["metadata"]["uid"] == owner.uid)

    async def _ensure_shared(self, namespace: str, step: EnsureShared) -> None:
        of = namespace, Ref(step.resource, step.body["metadata"]["name"])
        if self._now() < self._shared.get(of, float("-inf")) + SHARED_SECONDS:
            return
        with contextlib.suppress(AlreadyExistsError):
            await self._api.create(step.resource, namespace, step.body)
        if len(self._shared) >= SHARED_KEPT:
            self._shared.clear()
        self._shared[of] = self._now()

    def _forget_shared(self, namespace: str) -> None:
        for of in [of for of in self._shared if of[0] == namespace]:
            del self._shared[of]

    # Taking away

    async def _take_away(self, owner: Owner, step: Step, memory: Memory, applied: Applied) -> None:
        if isinstance(step, Change):
            await self._change(owner, step, applied)
        elif isinstance(step, Delete):
            await self._delete(owner.key, step, applied)
        elif isinstance(step, DeleteOwned):
            await self._delete_owned(owner, step, memory)
        elif isinstance(step, DeleteSelf):
            applied.deleted_self = await self._delete_self(owner)

    async def _change(self, owner: Owner, step: Change, applied: Applied) -> None:
        """Change a watched child, if it is as it was when that was decided; the store learns of it."""
        if applied.refused:
            return
        self._still_asked_for(owner)
        ref, namespace = step.ref, owner.key.namespace
        applied.asked.add(ref.name)
        patch = {**step.patch, "metadata": {"uid": step.uid, "resourceVersion": str(step.version)}}
        try:
            made = await self._api.patch(ref.resource, namespace, ref.name, patch)
        except NotFoundError:
            self._store.gone(owner.key, ref, step.uid)
            applied.was_wrong = True
        except ConflictError:
            await self._read_again(owner.key, ref, step.uid)
            raise
        except (DeniedError, InvalidError) as error:
            applied.refused[ref.name] = _refusal(error)
        else:
            self._store.see(ref.resource, None, made, self._now())

    async def _delete(self, key: Key, step: Delete, applied: Applied) -> None:
        """Delete a watched child. One whose version is given is not deleted if it has changed unnoticed."""
        ref = step.ref
        version = str(step.version) if step.version is not None else None
        try:
            await self._api.delete(ref.resource, key.namespace, ref.name, uid=step.uid, version=version)
        except NotFoundError:
            self._store.gone(key, ref, step.uid)
            applied.was_wrong = True
        except ConflictError:
            await self._read_again(key, ref, step.uid)
            raise
        else:
            self._store.deleting(key, ref, step.uid, self._now() + EXPECTED_GRACE)

    async def _read_again(self, key: Key, ref: Ref, uid: str) -> None:
        """Read a watched child that is not what it was when something was decided about it. Raises KubeError."""
        found = await self._api.get(ref.resource, key.namespace, ref.name)
        if found["metadata"]["uid"] != uid:
            self._store.gone(key, ref, uid)
        self._store.see(ref.resource, None, found, self._now())

    async def _delete_owned(self, owner: Owner, step: DeleteOwned, memory: Memory) -> None:
        """Delete a child that nobody watches, unless the one of that name is somebody else's."""
        ref, namespace = step.ref, owner.key.namespace
        uid = memory.made.get(ref)
        try:
            if uid is None:
                found = await self._api.get(ref.resource, namespace, ref.name, metadata_only=True)
                if not _is_own(owner, found):
                    return
                uid = found["metadata"]["uid"]
            await self._api.delete(ref.resource, namespace, ref.name, uid=uid)
        except (NotFoundError, ConflictError):
            # Conflict: the name belongs to another object by now.
            pass
        memory.made.pop(ref, None)

    async def _delete_self(self, owner: Owner) -> bool:
        resource = self._store.kinds[owner.key.kind].resource
        try:
            await self._api.delete(
                resource, owner.key.namespace, owner.key.name, uid=owner.uid, version=str(owner.version)
            )
        except NotFoundError:
            return False
        return True

    # The status

    async def _write_status(self, owner: Owner, status: StatusWrite, memory: Memory) -> None:
        """Write the status; where the API server refuses it, what is essential of it."""
        try:
            await self.patch_status(owner, status.whole, status.phase)
        except InvalidError:
            memory.status_refused_until = self._now() + STATUS_REFUSED_SECONDS
            await self.patch_status(owner, status.essential(), status.phase)

    async def patch_status(self, owner: Owner, after: dict[str, Any], phase: str) -> None:
        """Make `after` the object's status, if the object is still what was decided about."""
        patch = {
            "metadata": {"uid": owner.uid, "resourceVersion": str(owner.version)},
            "status": merge_patch(owner.status.value(), after),
        }
        resource = self._store.kinds[owner.key.kind].resource
        try:
            made = await self._api.patch_status(resource, owner.key.namespace, owner.key.name, patch)
        except ConflictError:
            await self._catch_up(owner.key)
            raise
        version = int(made["metadata"]["resourceVersion"])
        self._store.wrote_status(owner.key, owner.uid, version, after, phase)

    async def _catch_up(self, key: Key) -> None:
        """Read an object that is not what it was: where the watch is late, one conflict would follow the other."""
        resource = self._store.kinds[key.kind].resource
        with contextlib.suppress(kube.KubeError):
            found = await self._api.get(resource, key.namespace, key.name)
            self._store.see(resource, None, found, self._now())


def _others(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if not isinstance(step, Ensure | EnsureShared)]


def _refusal(error: Exception) -> Refusal:
    return Refusal("Denied" if isinstance(error, DeniedError) else "Invalid", bounded(str(error)))


def _is_own(owner: Owner, found: Object) -> bool:
    """Whether an object is one that this very owner controls."""
    controller = controller_of(found)
    return controller is not None and controller.uid == owner.uid


def _says_otherwise(found: Object, wanted: Object) -> bool:
    """Whether an object contradicts another in an annotation that both have."""
    said = found["metadata"].get("annotations") or {}
    return any(said.get(name, text) != text for name, text in (wanted["metadata"].get("annotations") or {}).items())


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
