"""What a tenant does beside the operator, who may write into a namespace of jobs: copies, forgeries, other labels.

Nothing of it is the operator's to take for its own, or to delete; and no job that is left alone may notice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.kube import AlreadyExistsError, DeniedError, Object, Resource
from sim.fakes.api import clone
from sim.schedule import Action
from sim.words import OTHER_UID

if TYPE_CHECKING:
    from sim.world import World

COPIED = (kube.PODS, kube.CONFIG_MAPS, kube.SECRETS)
NAMED = (kube.PODS, kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES)
NUMBERS = ("²", "9" * 5000, "99999", "9" * 18, "-1", "1e3", "nan", "inf", "0x10", " 7", "", "٣")
"""What stands where a number should."""
LABELS = (wire.LABEL_JOB, wire.LABEL_JOB_UID, wire.LABEL_ATTEMPT, wire.LABEL_ROLE, wire.LABEL_WORKER, wire.LABEL_GANG)
LABEL_LENGTH = 63


def copy(world: World, action: Action) -> None:
    """`kubectl get -o yaml`, another name, `kubectl apply`: labels and ownerReferences come along."""
    resource = COPIED[action.much % len(COPIED)]
    body = _one_of_ours(world, resource, action)
    if body is None:
        return
    before, name = ("a-copy-of" if action.much % 2 else "z-copy-of"), body["metadata"]["name"]
    made = clone(body)
    made["metadata"]["name"] = f"{before}-{name}-{action.which}"
    if resource == kube.CONFIG_MAPS:
        made["data"] = {wire.KEY_PROGRESS: claim(body)}
    _make(world, resource, made, f"copies {name}")


def claim(config: Object) -> str:
    """The word of a driver that its job is done."""
    labels = config["metadata"].get("labels") or {}
    whose = {"uid": labels.get(wire.LABEL_JOB_UID), "attempt": int(labels.get(wire.LABEL_ATTEMPT) or 1)}
    return json.dumps(whose | {"outcome": whose | {"outcome": "Succeeded", "message": "says a copy"}})


def stray(world: World, action: Action) -> None:
    """A ConfigMap with labels like ours, of a job that nobody knows, with something odd where a number should be."""
    number = NUMBERS[action.which % len(NUMBERS)]
    mine: Object = {"kind": "ConfigMap", "metadata": {"name": f"mine-{action.which}", "namespace": "default"}}
    owner = _make(world, kube.CONFIG_MAPS, mine, "makes one of its own")
    if owner is None:
        return
    uid = owner["metadata"]["uid"]
    meta = {
        "name": f"{wire.object_name('nobody', uid, 1)}-{action.which}",
        "namespace": "default",
        "labels": {
            wire.LABEL_MANAGED_BY: wire.MANAGED_BY,
            wire.LABEL_JOB: "nobody",
            wire.LABEL_JOB_UID: uid,
            wire.LABEL_ATTEMPT: number[:LABEL_LENGTH] if action.much % 2 else "1",
        },
        "annotations": _odd(number),
        "ownerReferences": [{"kind": "ConfigMap", "name": mine["metadata"]["name"], "uid": uid, "controller": True}],
    }
    body = {"kind": "ConfigMap", "metadata": meta, "data": {wire.KEY_PROGRESS: "x" * 1000}}
    _make(world, kube.CONFIG_MAPS, body, f"makes a stray ConfigMap with {number[:10]!r}")


def annotate(world: World, action: Action) -> None:
    """Something odd where the operator reads a number.

    How many workers an attempt has that no status tells of yet stands there alone: who rewrites that, and changes the
    number in the spec as well, has a driver that waits for workers which nobody knows of.
    """
    number = NUMBERS[action.much % len(NUMBERS)]
    body = _one_of_ours(world, kube.CONFIG_MAPS, action)
    if body is None:
        return
    whose = world.whose.get(body["metadata"]["uid"])
    job = world.server.find(kube.JOBS, whose.job, whose.namespace) if whose is not None else None
    told = whose is None or (job is not None and (job.get("status") or {}).get("attempt", 0) >= whose.attempt)
    odd = _odd(number) if told else {wire.ANNOTATION_WRITER: number}
    _edit(world, kube.CONFIG_MAPS, body, "annotations", odd)


def relabel(world: World, action: Action) -> None:
    """A label of ours becomes another: the object is ours by its name and its owner all the same."""
    resource = COPIED[action.much % len(COPIED)]
    body = _one_of_ours(world, resource, action)
    if body is not None:
        values = (OTHER_UID, "7", "another", NUMBERS[action.which % len(NUMBERS)][:LABEL_LENGTH])
        _edit(world, resource, body, "labels", {LABELS[action.much % len(LABELS)]: values[action.which % 4]})


def unlabel(world: World, action: Action) -> None:
    """The label by which the watches select is taken away: nothing else is wrong with the object."""
    resource = COPIED[action.much % 2]
    body = _one_of_ours(world, resource, action)
    if body is not None and wire.LABEL_MANAGED_BY in body["metadata"].get("labels", {}):
        world.checks.hidden(body)
        _edit(world, resource, body, "labels", {wire.LABEL_MANAGED_BY: None})


def squat(world: World, action: Action) -> None:
    """An object has the name that one of the operator's is going to have, and is another's. It goes in the end."""
    jobs = world.server.of(kube.JOBS)
    if not jobs:
        return
    job, resource = jobs[action.which % len(jobs)], NAMED[action.much % len(NAMED)]
    meta, begun = job["metadata"], (job.get("status") or {}).get("attempt", 0)
    name = wire.object_name(meta["name"], meta["uid"], begun + 1)
    if resource == kube.PODS and action.much % 3:
        name = wire.worker_name(meta["name"], meta["uid"], begun, action.which % 2, 1 + action.much % 2)
    elif resource == kube.PODS:
        name = wire.head_name(meta["name"], meta["uid"], begun + 1)
    made = _make(world, resource, {"kind": resource.kind, "metadata": {"name": name, **_where(meta)}}, "squats")
    if made is not None:
        world.squatters.append((resource, made))


def evict_squatters(world: World) -> None:
    """A person reads what the status says, and deletes what is in the way."""
    for resource, body in world.squatters:
        meta = body["metadata"]
        found = world.server.find(resource, meta["name"], meta["namespace"])
        if found is not None and found["metadata"]["uid"] == meta["uid"]:
            world.note("somebody", f"deletes the {resource.kind} {meta['name']}, which was in the way")
            world.server.remove(resource, meta["name"], meta["namespace"])


def _where(meta: Object) -> dict[str, str]:
    return {"namespace": meta["namespace"]}


def _odd(number: str) -> dict[str, str]:
    return {wire.ANNOTATION_WORKERS: number, wire.ANNOTATION_WRITER: number}


def _one_of_ours(world: World, resource: Resource, action: Action) -> Object | None:
    """An object that the operator has made."""
    found = [body for body in world.server.of(resource) if body["metadata"]["uid"] not in world.foreign]
    return found[action.which % len(found)] if found else None


def _make(world: World, resource: Resource, body: Object, told: str) -> Object | None:
    """An object that is not the operator's."""
    meta = body["metadata"]
    try:
        made = world.server.create(resource, meta["namespace"], body)
    except (AlreadyExistsError, DeniedError):
        return None
    world.foreign.add(made["metadata"]["uid"])
    world.note("tenant", f"{told}: {resource.kind} {meta['name']}")
    return made


def _edit(world: World, resource: Resource, body: Object, field: str, values: dict[str, Any]) -> None:
    meta = body["metadata"]
    world.note("tenant", f"sets {field} {str(values)[:100]} of the {resource.kind} {meta['name']}")

    def edit(body: Object) -> None:
        known = {**(body["metadata"].get(field) or {}), **values}
        body["metadata"][field] = {key: value for key, value in known.items() if value is not None}

    world.server.change(resource, meta["name"], edit, meta["namespace"])


TENANTS: dict[str, Callable[[World, Action], None]] = {
    "copy": copy,
    "stray": stray,
    "annotate": annotate,
    "relabel": relabel,
    "unlabel": unlabel,
    "squat": squat,
}
"""What tenants do, by its name in a schedule."""
