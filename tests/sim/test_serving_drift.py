"""ModelDeployments whose requests are watched for drift, in worlds with faults, deaths, users and meddlers."""

from __future__ import annotations

import pytest

from sim.bugs import Bug
from sim.serving import play
from sim.serving_bugs import found
from sim.serving_drift import FIRST_DRIFT_SEED
from sim.serving_drift_bugs import BUGS

WORLDS = 10


def test_the_status_says_of_drift_what_was_said_of_late_in_any_world() -> None:
    worlds = [play(seed) for seed in range(FIRST_DRIFT_SEED, FIRST_DRIFT_SEED + WORLDS)]
    told = sum(world.drift.told for world in worlds if world.drift is not None)
    assert told > 5 * WORLDS, "hardly anything was said of drift: this shows nothing"
    assert sum(world.operator.promoted for world in worlds) > WORLDS / 2, "hardly any version answered"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    found(bug, 2 * WORLDS)
