"""The operator's heart in worlds where anything may happen at any time: 2,000 schedules, each from its seed.

`make sim` plays more of them; CONTRIBUTING.md says how to read a failure.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from headway_operator.engine import kube
from sim.network import FAULTS
from sim.oddities import draw
from sim.runner import play, play_many, shrink
from sim.schedule import Action, JobPlan, Schedule
from sim.world import World

SCHEDULES = 2000
CHUNK = 500
QUIET = Schedule(
    seed=0,
    jobs=(JobPlan("alpha", 0.0, 2, 40, {"workers": {"replicas": 2}}),),
    operators=1,
    nodes=2,
    slots=12,
    resync=300.0,
    calm=5.0,
    actions=(),
)


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_whatever_happens_every_job_comes_to_an_end_that_is_told_as_it_was(first: int) -> None:
    failed = play_many(first, CHUNK, os.cpu_count() or 1).failed
    found = play(draw(failed[0])) if failed else None
    assert found is None, f"{len(failed)} schedules fail, their seeds: {failed}\n\n{shrink(found)}"


def test_left_alone_a_job_succeeds_in_one_attempt_with_few_calls() -> None:
    world = World(QUIET).run()
    job = world.server.find(kube.JOBS, "alpha")
    assert job is not None
    assert (job["status"]["phase"], job["status"]["attempt"]) == ("Succeeded", 1)
    assert len(world.server.of(kube.PODS)) == 0
    tale = world.checks.tales[job["metadata"]["uid"]]
    assert tale.calls <= 35, "an object, a pod, a status or a deletion costs one call"


@pytest.mark.parametrize("fault", range(len(FAULTS)), ids=FAULTS)
def test_one_fault_at_any_call_costs_a_job_no_attempt(fault: int) -> None:
    for skipped in range(12):
        struck = Action(at=0.0, what="fault", which=1 + 7 * skipped, much=fault)
        world = World(replace(QUIET, actions=(struck,))).run()
        job = world.server.find(kube.JOBS, "alpha")
        assert job is not None
        assert (job["status"]["phase"], job["status"]["attempt"]) == ("Succeeded", 1), world.timeline


def test_the_same_seed_makes_the_same_world() -> None:
    one, other = World(draw(3)), World(draw(3))
    assert one.run().timeline == other.run().timeline
    assert one.timeline != World(draw(4)).run().timeline


def test_a_frozen_leader_s_place_is_taken_and_it_does_not_write_when_it_thaws() -> None:
    frozen = Action(at=6.0, what="freeze operator", which=1, much=30)
    world = World(replace(QUIET, operators=2, calm=60.0, actions=(frozen,))).run()
    thawed = next(when for when, who, what in world.timeline if (who, what) == ("operator-1", "thaws"))
    took_over = next(when for when, who, what in world.timeline if (who, what) == ("operator-2", "holds the Lease"))
    assert took_over - 6.0 <= 15.0
    assert [what for when, who, what in world.timeline if when > thawed and who == "operator-1"] == [
        "ends: it has lost the Lease"
    ]
