"""ModelDeployments in worlds with faults, deaths, users and meddlers: the promises hold, and planted bugs are found."""

from __future__ import annotations

import pytest

from sim.bugs import Bug
from sim.serving import play
from sim.serving_bugs import BUGS, found
from sim.serving_kserve import FIRST_KSERVE_SEED
from sim.serving_routes import FIRST_SEED

WORLDS = 20


@pytest.mark.parametrize("first", range(0, 3 * WORLDS, WORLDS))
def test_the_promises_hold_in_any_world_and_all_comes_to_rest(first: int) -> None:
    promoted = taken_back = 0
    for seed in range(first, first + WORLDS):
        world = play(seed)
        promoted, taken_back = promoted + world.operator.promoted, taken_back + world.operator.taken_back
    assert promoted > WORLDS, "hardly any version answered: this shows nothing"
    assert taken_back > WORLDS, "hardly any version was rejected: this shows nothing"


def test_the_promises_hold_where_a_gateway_splits() -> None:
    shared = promoted = 0
    for seed in range(FIRST_SEED, FIRST_SEED + WORLDS):
        world = play(seed)
        assert world.routes is not None
        shared, promoted = shared + world.routes.shared, promoted + world.operator.promoted
    assert promoted > WORLDS, "hardly any version answered: this shows nothing"
    assert shared >= WORLDS // 2, "hardly any candidate had a weight: this shows nothing"


def test_the_promises_hold_where_kserve_makes_pods_and_people_change_their_minds_about_it() -> None:
    made = promoted = taken_back = 0
    for seed in range(FIRST_KSERVE_SEED, FIRST_KSERVE_SEED + WORLDS):
        world = play(seed)
        assert world.pods.kserve is not None
        made += world.pods.kserve.made
        promoted, taken_back = promoted + world.operator.promoted, taken_back + world.operator.taken_back
    assert made > 2 * WORLDS, "hardly any version was by KServe: this shows nothing"
    assert promoted > WORLDS, "hardly any version answered: this shows nothing"
    assert taken_back > WORLDS // 2, "hardly any version was rejected: this shows nothing"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    found(bug, WORLDS)


def test_the_same_seed_makes_the_same_world() -> None:
    assert play(3).timeline == play(3).timeline
    assert play(3).timeline != play(4).timeline
