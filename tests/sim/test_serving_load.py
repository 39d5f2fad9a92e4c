"""ModelDeployments whose pods follow the load, in worlds with faults, deaths, users and meddlers."""

from __future__ import annotations

import pytest

from sim.bugs import Bug
from sim.serving import play
from sim.serving_bugs import found
from sim.serving_load_bugs import BUGS

WORLDS = 10


@pytest.mark.parametrize("first", range(0, 2 * WORLDS, WORLDS))
def test_the_number_of_pods_follows_the_load_in_any_world(first: int) -> None:
    worlds = [play(seed, loaded=True) for seed in range(first, first + WORLDS)]
    changes = sum(world.load.changes for world in worlds if world.load is not None)
    assert changes > WORLDS, "the load has hardly changed anything: this shows nothing"
    assert sum(world.operator.promoted for world in worlds) > WORLDS / 2, "hardly any version answered"


def test_pods_go_and_come_back_where_there_may_be_none() -> None:
    zeros = [
        world.zero for seed in range(2 * WORLDS, 3 * WORLDS) if (world := play(seed, loaded=True)).zero is not None
    ]
    assert sum(zero.slept for zero in zeros) > len(zeros) / 2, "hardly anybody fell asleep: this shows nothing"
    assert sum(zero.woken for zero in zeros) > len(zeros) / 3, "hardly anybody was woken: this shows nothing"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    found(bug, 2 * WORLDS, loaded=True)
