"""What meets several pods over some time, though it is one event: a network that fails, a drained node, a lost zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway_api import wire
from headway_operator.engine import kube
from sim.kubelet import Container, Node, set_condition
from sim.schedule import Action

if TYPE_CHECKING:
    from sim.world import World

LONGEST_GAP = 4.0
"""Seconds between the ends of two workers that one fault has met."""
LONGEST_DRAIN = 30.0


def fail_network(world: World, container: Container, action: Action) -> None:
    """The workers of a job do not reach their head any more, and end one after the other; the head lives on."""
    workers = world.cluster.workers(container.of)
    gap = LONGEST_GAP * (action.much % 10) / 9
    world.note("network", f"the workers of {container.whose.job} do not reach their head; they end {gap:.1f} s apart")
    for number, worker in enumerate(workers):
        world.agenda.after(1.0 + number * gap, world.cluster.end_container, worker, wire.EXIT_UNREACHABLE)


def drain(world: World, node: Node, action: Action) -> None:
    """`kubectl drain`: no new pods come, and those that are there are evicted, one after the other."""
    seconds = 1.0 + action.much % LONGEST_DRAIN
    gap = LONGEST_GAP * (action.much % 10) / 9
    world.note(node.name, f"is drained; its pods are evicted {gap:.1f} s apart")
    node.room = 0
    there = world.cluster.on(node)
    world.checks.struck(container.whose for container in there)
    for number, container in enumerate(there):
        world.agenda.after(number * gap, evict, world, container)
    world.agenda.after(seconds + len(there) * gap, _uncordon, world, node)


def upgrade(world: World, action: Action) -> None:
    """Each node in its turn, as when their system is upgraded."""
    for number, node in enumerate(world.cluster.nodes):
        world.agenda.after(number * (10.0 + action.much % 50), drain, world, node, action)


def lose_zone(world: World, action: Action) -> None:
    """All nodes but one go within seconds, and come back."""
    first = action.which % len(world.cluster.nodes)
    lost = [node for number, node in enumerate(world.cluster.nodes) if number != first]
    world.note("zone", f"is lost: {', '.join(node.name for node in lost)}")
    for number, node in enumerate(lost):
        world.agenda.after(number * LONGEST_GAP, world.cluster.lose_node, node)
        world.agenda.after(20.0 + action.much % 200, world.cluster.find_node, node)


def evict(world: World, container: Container) -> None:
    """The eviction API: the pod says that it is disrupted, and goes in its grace."""
    pod = world.cluster.pod(container)
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return
    name, namespace = container.name, container.namespace
    world.note("drain", f"evicts {name}")
    disrupted = ("DisruptionTarget", "True", "EvictionByEvictionAPI")
    world.server.change(kube.PODS, name, lambda body: set_condition(body, *disrupted), namespace)
    world.server.delete(kube.PODS, name, namespace)


def _uncordon(world: World, node: Node) -> None:
    node.room = node.slots
    world.cluster.kick()
