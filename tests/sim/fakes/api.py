"""An API server in memory, as far as the operator can tell the difference; and a client of it that can have faults."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headway_operator.engine import kube
from headway_operator.engine.kube import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    FencedError,
    NotFoundError,
    Object,
    Resource,
)
from headway_operator.engine.times import to_text

Place = tuple[str, str, str]
"""Resource, namespace, name."""
PAGE = 3
_NESTED = (dict, list)
COUNTED = (kube.JOBS.plural, kube.MODEL_DEPLOYMENTS.plural, kube.DEPLOYMENTS.plural)
"""Of these the API server counts the changes of the spec."""
DEFAULT_GRACE = 30
"""The grace of a pod that asks for none."""


def clone(value: Any) -> Any:
    """A copy of plain JSON, many times faster than copy.deepcopy: most of it are leaves, which cost no call."""
    if isinstance(value, dict):
        return {key: clone(inner) if isinstance(inner, _NESTED) else inner for key, inner in value.items()}
    if isinstance(value, list):
        return [clone(inner) if isinstance(inner, _NESTED) else inner for inner in value]
    return value


def selected(body: Object, selector: str) -> bool:
    """Whether an object has the labels of a selector."""
    if not selector:
        return True
    labels = body["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, _, value in (part.partition("=") for part in selector.split(",")))


def _same_fields(body: Object, selector: str) -> bool:
    """Field selectors of the shape a.b=x,c=y."""

    def value(path: str) -> Any:
        found: Any = body
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    return all(value(path) == wanted for path, _, wanted in (part.partition("=") for part in selector.split(",")))


def uid_of(number: int) -> str:
    """The uid of the so-many-th object: no two begin alike, as names hold their beginning."""
    mixed = (number * 0x9E37_79B1 % 2**20) << 12 | number % 2**12
    return f"{mixed:08x}-0000-4000-8000-{number:012d}"


class Event(NamedTuple):
    """What a watch shows."""

    resource: str
    type: str | None
    body: Object
    before: Object | None = None
    """What it was, where it is MODIFIED."""


def as_selected(event: Event, selector: str) -> Event | None:
    """The event, as a watch with a selector shows it: what does not match any more is DELETED to it."""
    matches = selected(event.body, selector)
    if event.before is None or selected(event.before, selector) == matches:
        return event if matches else None
    return event._replace(type="ADDED" if matches else "DELETED", before=None)


@dataclass
class ApiServer:
    """The objects, and what the watches will show of their changes.

    An object that is here is never changed, but replaced: whoever was given it may keep it.
    """

    now: Callable[[], float]
    objects: dict[Place, Object] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    writes: list[Call] = field(default_factory=list)
    """Every write of the operator that took effect."""
    stored: Callable[[Object], Object] = clone
    """What is kept of a body that is created."""
    judge: Callable[[Object | None, Object], None] = lambda before, after: None  # noqa: ARG005 - anything goes
    """Raises InvalidError for a job that may not become, from what it was, what is written; and prunes it."""
    forbidden: set[str] = field(default_factory=set)
    """Namespaces in which the operator may do nothing."""
    ending: set[str] = field(default_factory=set)
    """Namespaces that are being deleted, or have been: nothing is created there any more."""
    _versions: Any = field(default_factory=lambda: itertools.count(1))
    _last: int = 0

    def version(self) -> int:
        """The newest resourceVersion."""
        return self._last

    def of(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """All objects of a kind."""
        return [
            body
            for (plural, where, _), body in self.objects.items()
            if plural == resource.plural and namespace in (None, where)
        ]

    def find(self, resource: Resource, name: str, namespace: str = "default") -> Object | None:
        """One object, or None."""
        return self.objects.get((resource.plural, namespace, name))

    def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """Create an object."""
        if namespace in self.ending:
            raise DeniedError(f"the namespace {namespace} is being terminated")
        body = self.stored(body)
        meta = body["metadata"]
        place = (resource.plural, namespace, meta["name"])
        if place in self.objects:
            raise AlreadyExistsError(f'{resource.plural} "{meta["name"]}" already exists')
        if resource == kube.JOBS:
            self.judge(None, body)
        self._stamp(meta)
        meta |= {
            "namespace": namespace,
            "uid": uid_of(self._last),
            "creationTimestamp": to_text(self.now()),
        }
        if resource.plural in COUNTED:
            meta["generation"] = 1
        if resource == kube.PODS:
            body["status"] = {"phase": "Pending"}
        self.objects[place] = body
        self._tell("ADDED", resource.plural, body)
        return body

    def change(self, resource: Resource, name: str, edit: Callable[[Object], None], namespace: str = "default") -> None:
        """Change an object, as kubelet, scheduler or a user would."""
        before = self.objects.get((resource.plural, namespace, name))
        if before is None:
            return
        body = clone(before)
        edit(body)
        if body == before:
            return
        if resource == kube.JOBS:
            self.judge(before, body)
        self.objects[resource.plural, namespace, name] = body
        if resource.plural in COUNTED and body.get("spec") != before.get("spec"):
            body["metadata"]["generation"] += 1
        self._stamp(body["metadata"])
        self.events.append(Event(resource.plural, "MODIFIED", body, before))

    def report(self, resource: Resource, name: str, status: Object, namespace: str = "default") -> None:
        """A controller or a kubelet says what an object's status is; what is said again and again costs little."""
        before = self.objects.get((resource.plural, namespace, name))
        if before is None or before.get("status") == status:
            return
        body = {**before, "metadata": dict(before["metadata"]), "status": status}
        self.objects[resource.plural, namespace, name] = body
        self._stamp(body["metadata"])
        self.events.append(Event(resource.plural, "MODIFIED", body, before))

    def delete(self, resource: Resource, name: str, namespace: str = "default") -> None:
        """Delete an object; a pod that runs gets its grace first."""
        body = self.objects[resource.plural, namespace, name]
        phase = (body.get("status") or {}).get("phase")
        if resource == kube.PODS and (body.get("spec") or {}).get("nodeName") and phase in ("Pending", "Running"):
            grace = body["spec"].get("terminationGracePeriodSeconds") or DEFAULT_GRACE

            def mark(pod: Object) -> None:
                if "deletionTimestamp" not in pod["metadata"]:
                    pod["metadata"]["deletionTimestamp"] = to_text(self.now() + grace)
                    pod["metadata"]["deletionGracePeriodSeconds"] = grace

            self.change(resource, name, mark, namespace)
        else:
            self.remove(resource, name, namespace)

    def remove(self, resource: Resource, name: str, namespace: str = "default") -> None:
        """An object is no more."""
        body = self.objects.pop((resource.plural, namespace, name))
        body = body | {"metadata": dict(body["metadata"])}
        self._stamp(body["metadata"])
        self._tell("DELETED", resource.plural, body)

    def collect_garbage(self) -> bool:
        """Delete what belongs to objects that are gone; whether there was any."""
        alive = {body["metadata"]["uid"] for body in self.objects.values()}
        found = False
        for (plural, namespace, name), body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences") or ()
            going = body["metadata"].get("deletionTimestamp")
            if owners and not going and all(owner["uid"] not in alive for owner in owners):
                resource = kube.PODS if plural == kube.PODS.plural else Resource("", "v1", plural, "")
                self.delete(resource, name, namespace)
                found = True
        return found

    def _stamp(self, meta: dict[str, Any]) -> None:
        self._last = next(self._versions)
        meta["resourceVersion"] = str(self._last)

    def _tell(self, kind: str, plural: str, body: Object) -> None:
        self.events.append(Event(plural, kind, body))


class Call(NamedTuple):
    """A call of the API."""

    verb: str
    resource: str
    name: str
    namespace: str = ""


Fault = Callable[[Call], None]
"""Raises what goes wrong with a call."""


class FakeKube:
    """The operator's port, onto an ApiServer."""

    def __init__(
        self,
        server: ApiServer,
        *,
        before: Fault = lambda call: None,  # noqa: ARG005 - nothing goes wrong
        after: Fault = lambda call: None,  # noqa: ARG005 - nothing goes wrong
        may_write: Callable[[], bool] = lambda: True,
        written: Callable[[Resource, Object], None] = lambda resource, made: None,  # noqa: ARG005 - nobody asks
    ) -> None:
        self.server = server
        self._written = written
        """As of HttpKube: told of what was created or changed, once the answer is there."""
        self.before = before
        self.after = after
        self.calls: list[Call] = []
        self._may_write = may_write

    async def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Object:
        """One object."""
        self._call("get", resource, name, namespace)
        body = self.server.objects.get((resource.plural, namespace, name))
        if body is None:
            raise NotFoundError(f'{resource.plural} "{name}" not found')
        found: Object = {"metadata": body["metadata"]} if metadata_only else clone(body)
        return found

    async def serves(self, resource: Resource) -> bool:
        """All kinds that anybody asks for."""
        self._call("get", resource, "", "")
        return True

    async def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """All objects, in small pages."""
        self._call("list", resource, "", namespace or "")
        found = [body for body in self.server.of(resource, namespace) if selected(body, labels)]
        found = [body for body in found if not fields or _same_fields(body, fields)]
        found = [{"metadata": body["metadata"]} if metadata_only else body for body in found]
        version = self.server.version()
        for start in range(0, max(1, len(found)), PAGE):
            yield found[start : start + PAGE], version

    async def create(self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object, or see whether it could be."""
        name = body["metadata"]["name"]
        self._call("create", resource, name, namespace)
        if dry_run:
            return {"metadata": body["metadata"]}
        made = self.server.create(resource, namespace, body)
        self._done("create", resource, name, namespace)
        self._written(resource, made)
        return {"metadata": made["metadata"]}

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Replace an object of the same version."""
        self._call("update", resource, name, namespace)
        known = self.server.objects.get((resource.plural, namespace, name))
        if known is None:
            raise NotFoundError(f'{resource.plural} "{name}" not found')
        if known["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ConflictError("the object has been modified")
        self.server.change(resource, name, lambda old: old.update(clone(body)), namespace)
        self._done("update", resource, name, namespace)
        replaced: Object = clone(self.server.objects[resource.plural, namespace, name])
        return replaced

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into an object, if uid and version are those of the patch."""
        self._call("patch", resource, name, namespace)
        known = self.server.objects.get((resource.plural, namespace, name))
        if known is None:
            raise NotFoundError(f'{resource.plural} "{name}" not found')
        for condition, value in patch.get("metadata", {}).items():
            if known["metadata"][condition] != value:
                raise ConflictError(f"{condition} is not {value}")
        rest = {key: value for key, value in patch.items() if key != "metadata"}
        self.server.change(resource, name, lambda old: _merge(old, rest), namespace)
        self._done("patch", resource, name, namespace)
        changed: Object = clone(self.server.objects[resource.plural, namespace, name])
        self._written(resource, changed)
        return changed

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into a status, if uid and version are those of the patch."""
        self._call("patch", resource, name, namespace)
        known = self.server.objects.get((resource.plural, namespace, name))
        if known is None:
            raise NotFoundError(f'{resource.plural} "{name}" not found')
        for condition, value in patch.get("metadata", {}).items():
            if known["metadata"][condition] != value:
                raise ConflictError(f"{condition} is not {value}")
        self.server.change(resource, name, lambda old: _merge(old, {"status": patch["status"]}), namespace)
        self._done("patch", resource, name, namespace)
        made: Object = {"metadata": self.server.objects[resource.plural, namespace, name]["metadata"]}
        self._written(resource, made)
        return made

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """Delete an object, if uid and version are these."""
        self._call("delete", resource, name, namespace)
        known = self.server.objects.get((resource.plural, namespace, name))
        if known is None:
            raise NotFoundError(f'{resource.plural} "{name}" not found')
        meta = known["metadata"]
        if uid not in (None, meta["uid"]) or version not in (None, meta["resourceVersion"]):
            raise ConflictError("the object is another one")
        self.server.delete(resource, name, namespace)
        self._done("delete", resource, name, namespace)

    def _call(self, verb: str, resource: Resource, name: str, namespace: str) -> None:
        call = Call(verb, resource.plural, name, namespace)
        self.calls.append(call)
        if namespace in self.server.forbidden:
            raise DeniedError(f"the operator may not {verb} {resource.plural} in the namespace {namespace}")
        if verb not in ("get", "list") and not self._may_write():
            raise FencedError("not the leader")
        self.before(call)

    def _done(self, verb: str, resource: Resource, name: str, namespace: str) -> None:
        call = Call(verb, resource.plural, name, namespace)
        self.server.writes.append(call)
        self.after(call)


def _merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7386."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            inner = target.get(key)
            if not isinstance(inner, dict):
                inner = target[key] = {}
            _merge(inner, value)
        else:
            target[key] = clone(value)
