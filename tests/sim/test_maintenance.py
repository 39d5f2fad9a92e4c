"""What is routine on a cluster fails no job: node pools are upgraded, zones go, spot nodes are taken away for a week.

Each world is half a day to a week long in virtual time. A few seeds are always played, more by `make test-long`, and as
many as one likes by `SEEDS=100 pytest -m long tests/sim/test_maintenance.py`, which takes an hour and a half.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from headway_operator.engine import kube
from sim.builders import T0
from sim.disruptions import drain, lose_zone
from sim.kubelet import Node
from sim.schedule import Action, JobPlan, Schedule
from sim.trainer import STEPS
from sim.world import World

HOUR = 3600.0
PACE = 30.0
REPORT_SECONDS = 3.0 * PACE
"""Between two reports of the driver, on average."""
GONE_SECONDS, BACK_SECONDS = 90.0, 240.0
"""After so long a node that was switched off is deleted, and another takes its place."""
QUICK, MANY = 2, int(os.environ.get("SEEDS", "5"))


def job_of(seed: int, workers: int, hours: float, calm: float) -> World:
    """One job that trains for so many hours if nothing interrupts it; a node for each pod, and two to spare."""
    steps = int(hours * HOUR / REPORT_SECONDS) * STEPS
    job = JobPlan("alpha", 0.0, workers, steps, {"workers": {"replicas": workers}})
    return World(
        Schedule(
            seed=seed,
            jobs=(job,),
            operators=1,
            nodes=workers + 3,
            slots=1,
            resync=HOUR,
            calm=calm * HOUR,
            actions=(),
            pace=PACE,
        )
    )


def one_each_ten_minutes(world: World, take: Callable[[World, Node], None]) -> World:
    """Each node in its turn, in any order."""
    chance = random.Random(world.schedule.seed)  # noqa: S311 - nobody is to be kept from guessing it
    nodes = chance.sample(world.cluster.nodes, len(world.cluster.nodes))
    for turn, node in enumerate(nodes):
        world.agenda.at(T0 + 600.0 * turn + chance.uniform(60.0, 120.0), take, world, node)
    return world


def drain_node(world: World, node: Node) -> None:
    """As `kubectl drain` does it; the node is back half a minute later."""
    drain(world, node, Action(0.0, "drain", 0, 29))


def take_away(world: World, node: Node) -> None:
    """Nobody drains it first: it is switched off, deleted by its cloud, and another one comes."""
    world.cluster.lose_node(node, off=True)
    world.agenda.after(GONE_SECONDS, world.cluster.give_node_up, node)
    world.agenda.after(BACK_SECONDS, world.cluster.find_node, node)


def drained(seed: int) -> World:
    """A node pool is upgraded: each node of a job of 64 workers is drained, one each ten minutes."""
    return one_each_ten_minutes(job_of(seed, workers=64, hours=10.0, calm=12.5), drain_node)


def taken_away(seed: int) -> World:
    """The same, where nobody drains them first."""
    return one_each_ten_minutes(job_of(seed, workers=64, hours=7.0, calm=12.5), take_away)


def spot_week(seed: int) -> World:
    """A job of eight workers on spot nodes loses one of its nodes an hour, for a week."""
    world = job_of(seed, workers=8, hours=150.0, calm=168.0)
    chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it
    for hour in range(168):
        world.agenda.at(T0 + HOUR * (hour + chance.random()), lambda: take_away(world, _busy(world, chance)))
    return world


def _busy(world: World, chance: random.Random) -> Node:
    """A node that has a pod, if any has."""
    busy = [node for node in world.cluster.nodes if node.reachable and world.cluster.on(node)]
    return chance.choice(busy or world.cluster.nodes)


def zones(seed: int) -> World:
    """Every three hours all nodes but one go, one after the other, with the head or without it, and come back."""
    world = job_of(seed, workers=16, hours=16.0, calm=25.0)
    chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it
    for turn in range(8):
        lost = Action(0.0, "lose zone", chance.randrange(1000), chance.randrange(1000))
        world.agenda.at(T0 + 3 * HOUR * turn + chance.uniform(60.0, HOUR), lose_zone, world, lost)
    return world


WORLDS: dict[str, Callable[[int], World]] = {
    "drained": drained,
    "taken away": taken_away,
    "a week on spot nodes": spot_week,
    "zones that go": zones,
}


def play(world: World) -> dict[str, Any]:
    """The status of the job at the end."""
    world.run()
    (job,) = world.server.of(kube.JOBS)
    status: dict[str, Any] = job["status"]
    return status


def succeeds(kind: str, seed: int) -> None:
    status = play(WORLDS[kind](seed))
    assert status["phase"] == "Succeeded", status


@pytest.mark.parametrize("seed", range(QUICK))
@pytest.mark.parametrize("kind", ["drained", "zones that go"])
def test_what_is_routine_fails_no_job(kind: str, seed: int) -> None:
    succeeds(kind, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(MANY))
@pytest.mark.parametrize("kind", WORLDS)
def test_what_is_routine_fails_no_job_whatever_the_order(kind: str, seed: int) -> None:
    succeeds(kind, seed)
