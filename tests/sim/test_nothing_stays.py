"""An operator that has seen a thousand jobs come and go holds no more than one that has seen twenty."""

from __future__ import annotations

from collections import Counter

import pytest

from headway_operator.engine import kube
from held_things import held
from sim.schedule import Action, JobPlan, Schedule
from sim.world import World

FEW = 20
EVERY_SECONDS = 4.0


def schedule(count: int) -> Schedule:
    """So many jobs one after the other, each gone when it has ended: by its age, or by a user's hand while it runs."""
    spec = {"workers": {"replicas": 1}, "ttlSecondsAfterFinished": 0}
    jobs = [JobPlan(f"job-{number}", EVERY_SECONDS * number, 1, 30, spec) for number in range(count)]
    actions = [
        Action(EVERY_SECONDS * number + 12.0 + number % 7, what, number, number)
        for number in range(count)
        for what in (("delete job",), ("crash",), ())[number % 3]
    ]
    return Schedule(
        seed=count,
        jobs=tuple(jobs),
        operators=1,
        nodes=2,
        slots=200,
        resync=60.0,
        calm=EVERY_SECONDS * count + 60.0,
        actions=tuple(sorted(actions)),
        chatty=1.0,
    )


def held_by_operator(world: World) -> Counter[str]:
    """What its only process holds."""
    (process,) = world.processes
    for _ in range(2):  # what was deleted is remembered until the comparison after the next
        process.store.age()
    parts = (process.store, process.workers, process.reconciler, process.freshness, process.comparison)
    return held("headway_operator", *parts)


@pytest.mark.parametrize("many", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_what_an_operator_holds_does_not_grow_with_the_jobs_that_have_gone(many: int) -> None:
    few, world = held_by_operator(World(schedule(FEW)).run()), World(schedule(many)).run()
    assert len(world.uids) == many
    assert not world.server.of(kube.JOBS)
    assert held_by_operator(world) == few
