"""The way between an operator's process and the API server: it takes time, and things go wrong on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from headway_operator.engine.kube import (
    ConflictError,
    DeniedError,
    FencedError,
    KubeError,
    Object,
    Resource,
    RetryableError,
)
from sim.agenda import at_once
from sim.fakes.api import Call, FakeKube
from sim.versions import as_created, as_patched, as_seen

if TYPE_CHECKING:
    from sim.process import Process

FAULTS = (
    "crash before",
    "crash after",
    "no answer, not done",
    "no answer, done",
    "no answer, done late",
    "busy",
    "error, not done",
    "error, done",
    "conflict",
    "denied",
    "freeze before",
    "freeze after",
)
READS = ("get", "list")
MEANWHILE = "suspended meanwhile"
"""While an object of a job is read, its user suspends it, and the watch shows that before the answer comes."""
MEANWHILE_SECONDS = 1.0
PATIENCE = 30.0
LEASE_PATIENCE = 2.0
"""After so long a call counts as unanswered, as in HttpKube."""


class Armed(NamedTuple):
    """A fault that is to strike the next call but so many."""

    skip: int
    kind: str
    seconds: float
    """How long it lasts, where it lasts."""


class Link:
    """The operator's port, by way of a network: requests and answers are under way for some time."""

    def __init__(self, process: Process, may_write: Callable[[], bool], *, for_lease: bool = False) -> None:
        self._process = process
        self._world = process.world
        self._may_write = may_write
        self._for_lease = for_lease
        self._far = FakeKube(process.world.server)

    async def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Object:
        """One object."""
        call = Call("get", resource.plural, name, namespace)
        found: Object = await self._call(
            call, lambda: self._far.get(resource, namespace, name, metadata_only=metadata_only)
        )
        return as_seen(self._process.version, resource, found)

    async def serves(self, resource: Resource) -> bool:
        """Whether there is such a kind."""
        served: bool = await self._call(Call("get", resource.plural, ""), lambda: self._far.serves(resource))
        return served

    async def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """All objects, as they were when the list began."""

        async def collect() -> list[tuple[list[Object], int]]:
            pages = self._far.pages(resource, namespace, labels=labels, fields=fields, metadata_only=metadata_only)
            return [page async for page in pages]

        call = Call("list", resource.plural, labels.rpartition("=")[2], namespace or "")
        for bodies, listed_at in await self._call(call, collect):
            yield [as_seen(self._process.version, resource, body) for body in bodies], listed_at

    async def create(self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object, or see whether it could be."""
        call = Call("create", resource.plural, body["metadata"]["name"], namespace)
        body = as_created(self._process.version, body)
        made: Object = await self._call(call, lambda: self._far.create(resource, namespace, body, dry_run=dry_run))
        return made if dry_run else self._tell(resource, made)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Replace an object."""
        call = Call("update", resource.plural, name, namespace)
        replaced: Object = await self._call(call, lambda: self._far.replace(resource, namespace, name, body))
        return replaced

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into an object."""
        call = Call("patch", resource.plural, name, namespace)
        return self._tell(resource, await self._call(call, lambda: self._far.patch(resource, namespace, name, patch)))

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into a status."""
        call = Call("patch", resource.plural, name, namespace)
        patch = as_patched(self._process.version, patch)
        made = await self._call(call, lambda: self._far.patch_status(resource, namespace, name, patch))
        return self._tell(resource, made)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """Delete an object."""
        call = Call("delete", resource.plural, name, namespace)
        await self._call(call, lambda: self._far.delete(resource, namespace, name, uid=uid, version=version))

    def _tell(self, resource: Resource, made: Object) -> Object:
        """As HttpKube does it."""
        if not self._for_lease:
            self._process.freshness.written(resource, made)
        return made

    def _is_read_of_job(self, call: Call) -> bool:
        return call.verb == "get" and self._place(call) in self._world.uids

    @staticmethod
    def _place(call: Call) -> tuple[str, str]:
        """Of the job that a call is about."""
        return call.namespace, call.name.split("-")[0]

    async def _call(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        if self._process.died:
            raise asyncio.CancelledError
        if call.verb not in READS and not self._may_write():
            raise FencedError("not the leader")
        armed = None if self._for_lease else self._process.struck()
        if armed is not None and armed.kind == MEANWHILE and not self._is_read_of_job(call):
            self._process.armed.insert(0, armed)
            armed = None
        kind = armed.kind if armed else ""
        if (kind == "denied" and call.verb != "create") or (kind == "conflict" and call.verb != "patch"):
            kind = "busy"
        if not self._for_lease:
            self._world.checks.sent(self._process, call)
        if kind:
            self._world.note(self._process.name, f"{call.verb} {call.resource} {call.name}: {kind}")
        answer: asyncio.Future[Any] = self._process.loop.create_future()
        if kind == "crash before":
            self._process.die("crashes")
        elif kind == "freeze before":
            self._process.freeze(armed.seconds if armed else 1.0)
            self._process.at_thaw(lambda: self._send(call, act, answer, "late"))
        else:
            self._send(call, act, answer, kind, armed.seconds if armed else 0.0)
        return await answer

    def _send(
        self, call: Call, act: Callable[[], Awaitable[Any]], answer: asyncio.Future[Any], kind: str, seconds: float = 0
    ) -> None:
        """The request leaves the process."""
        world = self._world
        patience = LEASE_PATIENCE if self._for_lease else PATIENCE
        if self._process.cut_off:
            world.agenda.after(world.some(0.01, 2.0), _answer, answer, None, _no_answer())
            return
        if kind == "no answer, not done":
            world.agenda.after(min(patience, seconds or patience), _answer, answer, None, _no_answer())
            return
        early = _early(kind, seconds)
        if early is not None:
            world.agenda.after(world.latency(), _answer, answer, None, early)
            return
        if kind == "no answer, done late":
            world.agenda.after(min(patience, seconds), _answer, answer, None, _no_answer())
            world.late_writes += 1
            world.agenda.after(seconds * 2, self._arrive_late, call, act, answer)
            return
        if kind == MEANWHILE:
            world.suspend(self._place(call))
        world.agenda.after(world.latency(), self._arrive, call, act, answer, kind, world.now)

    def _arrive_late(self, call: Call, act: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        self._world.late_writes -= 1
        self._arrive(call, act, answer, "late", self._world.now)

    def _arrive(self, call: Call, act: Callable[[], Any], answer: asyncio.Future[Any], kind: str, began: float) -> None:
        """The request is at the API server, and is carried out."""
        world = self._world
        result: Any = None
        error: KubeError | None = None
        world.checks.arrives(call)
        try:
            result = at_once(act())
        except KubeError as raised:
            error = raised
        if call.verb not in READS and not self._for_lease:
            world.checks.wrote(self._process, call, error, late=kind == "late")
        delay = world.latency()
        if kind == "crash after":
            self._process.die("crashes")
        elif kind == "freeze after":
            self._process.freeze(10.0)
        elif kind == MEANWHILE:
            delay += MEANWHILE_SECONDS
        elif kind == "no answer, done":
            delay, error = min(PATIENCE, 1 + delay * 500), _no_answer()
        elif kind == "error, done":
            error = RetryableError("internal error")
        world.agenda.after(delay, self._answered, world.server_now, began, answer, result, error)

    def _answered(
        self, dated: float, began: float, answer: asyncio.Future[Any], result: Any, error: KubeError | None
    ) -> None:
        """An answer of the API server arrives, with the time at which it was given."""
        if not answer.done() and not self._for_lease:
            self._process.learn(dated, began)
        _answer(answer, result, error)


def _no_answer() -> KubeError:
    return RetryableError("the API server did not answer")


def _early(kind: str, seconds: float) -> KubeError | None:
    """What is answered in place of doing what was asked for."""
    match kind:
        case "busy":
            return RetryableError("too many requests", 1.0 + int(seconds) % 5)
        case "error, not done":
            return RetryableError("internal error")
        case "conflict":
            return ConflictError("the object has been modified")
        case "denied":
            return DeniedError("exceeded quota")
    return None


def _answer(answer: asyncio.Future[Any], result: Any, error: KubeError | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
