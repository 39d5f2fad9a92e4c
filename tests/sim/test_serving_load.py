"""ModelDeployments whose pods follow the load, in worlds with faults, deaths, users and meddlers."""

from __future__ import annotations

import pytest

from headway_operator.serving.plan import autoscale, decide, load, scaling
from sim.bugs import Bug
from sim.serving import play
from sim.serving_bugs import found

WORLDS = 10
BUGS = (
    Bug(
        "an old word about the load counts for ever",
        0,
        "nothing was heard of the load",
        ((load.heard, "situation.now - record.load_heard <= FRESH_SECONDS", "True"),),
    ),
    Bug(
        "nobody heard is taken for nothing in flight",
        0,
        "nothing was heard of the load",
        (
            (load.seen_of, "if workload is None or of is None:", "if workload is None:"),
            (load.seen_of, "in_flight=of.in_flight, servers=of.servers", "in_flight=0.0, servers=1"),
        ),
    ),
    Bug(
        "pods go in the middle of a rollout",
        0,
        "while versions change places",
        (
            (
                load.moving,
                "book.candidate is not None or book.previous is not None or book.rollout is not None",
                "False",
            ),
        ),
    ),
    Bug(
        "what was asked for lately is forgotten",
        0,
        "lately more were asked for",
        ((scaling.scaled, "max((asked, *(each.replicas for each in recent)))", "asked"),),
    ),
    Bug(
        "more pods than max are made",
        0,
        "were asked for",
        ((autoscale._within, "min(max(replicas, wanted.min), wanted.max)", "max(replicas, wanted.min)"),),
    ),
    Bug(
        "a step up has no bound",
        0,
        "pods at once",
        ((scaling.scaled, "min(asked, STEP * max(desired, 1))", "asked"),),
    ),
    Bug(
        "pods are made as spec.replicas says, whatever the load",
        0,
        "in the end there are the Deployments",
        ((autoscale.pods, "Pods(known.desired,", "Pods(spec.replicas,"),),
    ),
    Bug(
        "the judge goes with the rollout",
        0,
        "in the end there are the Deployments",
        ((decide.plan, "or (bool(replicas) and scaling is not None)", ""),),
    ),
)


@pytest.mark.parametrize("first", range(0, 2 * WORLDS, WORLDS))
def test_the_number_of_pods_follows_the_load_in_any_world(first: int) -> None:
    worlds = [play(seed, loaded=True) for seed in range(first, first + WORLDS)]
    changes = sum(world.load.changes for world in worlds if world.load is not None)
    assert changes > WORLDS, "the load has hardly changed anything: this shows nothing"
    assert sum(world.operator.promoted for world in worlds) > WORLDS / 2, "hardly any version answered"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    found(bug, 2 * WORLDS, loaded=True)
