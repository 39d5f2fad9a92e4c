"""Several namespaces that the operator watches, of which one is deleted, or not its own to read any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway_operator.engine import kube
from headway_operator.engine.kube import Object, Resource
from sim.schedule import Action

if TYPE_CHECKING:
    from sim.world import World

EMPTIED_SECONDS = 5.0
"""Within so many seconds the namespace controller deletes what is in a namespace."""
KINDS = {resource.plural: resource for resource in (kube.JOBS, kube.PODS)}


def delete_namespace(world: World, action: Action) -> None:
    """`kubectl delete namespace`: what is in it goes, the operator's rights at some time with it."""
    namespace = _one_of(world, action)
    if namespace is None or namespace in world.server.ending:
        return
    world.note("admin", f"deletes the namespace {namespace}")
    world.server.ending.add(namespace)
    world.checks.struck(whose for whose in world.whose.values() if whose.namespace == namespace)
    world.agenda.after(world.some(0.0, EMPTIED_SECONDS), world.server.forbidden.add, namespace)
    for plural, where, name in list(world.server.objects):
        if where == namespace:
            resource = KINDS.get(plural) or Resource("", "v1", plural, "")
            world.agenda.after(world.some(0.0, EMPTIED_SECONDS), _delete, world, resource, name, namespace)


def forbid_namespace(world: World, action: Action) -> None:
    """A RoleBinding is gone: the operator may do nothing in a namespace for a while."""
    namespace = _one_of(world, action)
    if namespace is not None:
        world.note("admin", f"takes the operator's rights in the namespace {namespace} away")
        world.server.forbidden.add(namespace)


def permit(world: World) -> None:
    """The operator has its rights again in all namespaces that are left."""
    for namespace in sorted(world.server.forbidden - world.server.ending):
        world.note("admin", f"gives the operator its rights in the namespace {namespace} again")
        world.server.forbidden.discard(namespace)
        for process in world.processes:
            process.regain(namespace)


def _one_of(world: World, action: Action) -> str | None:
    namespaces = world.schedule.namespaces
    return namespaces[action.which % len(namespaces)] if namespaces else None


def _delete(world: World, resource: Resource, name: str, namespace: str) -> None:
    found: Object | None = world.server.find(resource, name, namespace)
    if found is not None:
        world.server.delete(resource, name, namespace)
