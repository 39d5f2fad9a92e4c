"""Gangs of which only one fits at a time: each has its turn in the end, whatever half of its room each of them took."""

from __future__ import annotations

import random

import pytest

from headway_operator.engine import kube
from sim.schedule import JobPlan, Schedule
from sim.world import World

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


def crowd(seed: int) -> Schedule:
    """Two to five jobs of two to five pods, at nearly the same time, where there is room for the largest alone."""
    chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing it
    scheduling = {"gang": "Release", "releaseSeconds": 10, "startupDeadlineSeconds": 86_400}
    jobs = []
    for name in NAMES[: chance.randint(2, len(NAMES))]:
        workers = chance.randint(1, 4)
        spec = {"workers": {"replicas": workers}, "scheduling": scheduling, "retry": {"infrastructure": 1000}}
        jobs.append(JobPlan(name, chance.uniform(0.0, 3.0), workers, 30, spec))
    largest = max(job.workers for job in jobs) + 1
    return Schedule(
        seed=seed,
        jobs=tuple(jobs),
        operators=1,
        nodes=2,
        slots=-(-largest // 2),
        resync=60.0,
        calm=30.0,
        actions=(),
    )


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_gangs_that_block_each_other_step_back_and_all_finish(first: int) -> None:
    releases = 0
    for seed in range(first, first + 10):
        world = World(crowd(seed))
        world.run()
        for job in world.server.of(kube.JOBS):
            assert job["status"]["phase"] == "Succeeded", (seed, job["status"])
            assert job["status"].get("failures", {}).get("unschedulable", 0) == 0
            releases += sum(entry["releases"] for entry in job["status"]["attempts"])
    assert releases > 0, "nobody stood in anybody's way: this shows nothing"
