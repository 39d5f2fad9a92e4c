"""Each oddity for itself, where all else is quiet: what it may cost a job, and that the others notice nothing."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest

from headway_operator.engine import kube
from sim import words
from sim.disruptions import LONGEST_GAP
from sim.oddities import ODDITIES, TUNING, draw
from sim.schedule import Action, JobPlan, Schedule, plain
from sim.versions import FIELD, NEWER, OURS, STRICTER
from sim.world import World

SPEC: dict[str, Any] = {"workers": {"replicas": 2}}
STOP_SECONDS = 130
"""How long a driver may take to stop."""
QUIET = Schedule(
    seed=0,
    jobs=(JobPlan("alpha", 0.0, 2, 100, SPEC), JobPlan("beta", 0.5, 2, 40, SPEC)),
    operators=1,
    nodes=3,
    slots=12,
    resync=300.0,
    calm=45.0,
    actions=(),
)


def played(*actions: Action, **changes: Any) -> World:
    """A quiet world in which but these things happen, at rest."""
    return World(replace(QUIET, actions=tuple(sorted(actions)), **changes)).run()


def status(world: World, name: str = "alpha", namespace: str = "default") -> dict[str, Any]:
    job = world.server.find(kube.JOBS, name, namespace)
    assert job is not None, world.timeline
    found: dict[str, Any] = job["status"]
    return found


def succeeded(world: World, name: str = "alpha", namespace: str = "default") -> bool:
    """Whether a job has ended well in its first attempt, and met no failure."""
    found = status(world, name, namespace)
    return (found["phase"], found["attempt"], found.get("failures")) == ("Succeeded", 1, None)


def happened(world: World, what: str) -> bool:
    return any(what in told for _, _, told in world.timeline)


@pytest.mark.parametrize("name", range(len(words.NAMES)), ids=words.NAMES)
def test_whatever_a_driver_says_its_job_obeys(name: int) -> None:
    odd = Action(at=7.0, what="odd driver", which=0, much=name)
    stop = Action(at=12.0, what="suspend", which=0, much=0)
    world = played(odd, stop, jobs=(replace(QUIET.jobs[0], steps=1000),), calm=20.0)
    assert happened(world, f"says {words.NAMES[name]}")
    assert status(world)["phase"] == "Suspended"
    assert not world.server.of(kube.PODS)


@pytest.mark.parametrize("first", range(0, len(words.NAMES), 8))
def test_an_odd_driver_is_held_to_its_deadline_and_the_other_job_notices_nothing(first: int) -> None:
    slow = replace(QUIET.jobs[0], spec=SPEC | {"activeDeadlineSeconds": 20}, steps=1000)
    for name in range(first, min(first + 8, len(words.NAMES))):
        world = played(Action(at=7.0, what="odd driver", which=0, much=name), jobs=(slow, QUIET.jobs[1]))
        assert (status(world)["phase"], status(world)["activeSeconds"] <= 20 + STOP_SECONDS) == ("Failed", True), (
            words.NAMES[name]
        )
        assert succeeded(world, "beta")


def test_an_operator_of_both_kinds_waits_for_no_watch_to_show_a_job_s_service() -> None:
    world = played(deployments=True)
    assert succeeded(world)
    assert succeeded(world, "beta")
    (process,) = world.processes
    assert "services" in process.watched
    assert set(process.freshness.behind().values()) == {0.0}
    assert process.freshness.last_event.keys() >= {"trainingjobs", "pods", "configmaps"}


def test_trials_that_are_raised_while_a_job_runs_and_when_it_has_ended_are_run_by_further_attempts() -> None:
    jobs = tuple(replace(job, spec=SPEC | {"tuning": TUNING}) for job in QUIET.jobs)
    early, late = (Action(at=at, what="raise trials", which=0, much=2) for at in (10.0, 80.0))
    world = played(early, late, jobs=jobs, calm=100.0)
    found = status(world)
    assert [(one["trials"], one.get("cause")) for one in found["attempts"]] == [(2, None), (5, None), (8, None)]
    assert (found["phase"], found["tuning"]["planned"], found["tuning"]["completed"]) == ("Succeeded", 8, 8)
    assert found.get("failures") is None
    assert sum("TrialsRaised: spec.tuning.trials is" in told for _, _, told in world.timeline) == 2
    assert succeeded(world, "beta")


@pytest.mark.parametrize("raised", [12.0, 30.0])
def test_a_job_that_has_failed_is_given_no_more_trials(raised: float) -> None:
    jobs = (replace(QUIET.jobs[0], spec=SPEC | {"tuning": TUNING}),)
    failed = Action(at=8.0, what="user error", which=0, much=0)
    world = played(failed, Action(at=raised, what="raise trials", which=0, much=2), jobs=jobs)
    assert (status(world)["phase"], status(world)["attempt"]) == ("Failed", 1)
    assert happened(world, "spec.tuning.trials can only be raised once the job has begun, and not")


@pytest.mark.parametrize("what", ["copy", "stray", "annotate"])
def test_what_a_tenant_makes_beside_a_job_costs_it_nothing(what: str) -> None:
    for number in range(24):
        again = Action(at=14.0, what="kill operator", which=1, much=0)
        world = played(Action(at=7.0, what=what, which=number * 7, much=number), again)
        assert any(who == "tenant" for _, who, _ in world.timeline)
        assert succeeded(world), world.timeline
        assert succeeded(world, "beta"), world.timeline


def test_a_name_that_is_taken_keeps_a_job_waiting_and_nobody_else() -> None:
    told = 0
    for number in range(20):
        world = played(Action(at=0.2, what="squat", which=0, much=number), jobs=QUIET.jobs)
        told += happened(world, "squats")
        assert status(world)["phase"] == status(world, "beta")["phase"] == "Succeeded"
        assert succeeded(world, "beta")
    assert told > 0


@pytest.mark.parametrize("much", range(0, 10, 3))
def test_a_network_that_fails_is_one_failure_however_long_its_workers_take_to_end(much: int) -> None:
    spec = {"workers": {"replicas": 6}, "retry": {"nodeLost": 1}}
    world = played(Action(at=8.0, what="fail network", which=0, much=much), jobs=(JobPlan("alpha", 0.0, 6, 100, spec),))
    assert happened(world, f"end {LONGEST_GAP * much / 9:.1f} s apart")
    assert (status(world)["phase"], sum(status(world)["failures"].values())) == ("Succeeded", 1)


@pytest.mark.parametrize("skew", [60.0, 600.0])
def test_clocks_that_differ_change_no_decision(skew: float) -> None:
    """What the status says of a job, how far it is excepted, and how long that took."""

    def told(skew: float, seed: int) -> tuple[list[str], float]:
        crash = Action(at=12.0, what="crash", which=1, much=0)
        preempt = Action(at=16.0, what="preempt", which=2, much=0)
        stop = Action(at=20.0, what="suspend", which=0, much=0)
        resume = Action(at=200.0, what="resume", which=0, much=0)
        changes = {"skew": skew, "seed": seed, "jobs": QUIET.jobs[:1], "calm": 205.0}
        world = played(crash, preempt, stop, resume, **changes)
        lines = [(when, re.sub(r"step \S+ ", "", what)) for when, _, what in world.timeline if "status:" in what]
        return [line for line, _ in itertools.groupby(line for _, line in lines)], lines[-1][0]

    for seed in range(10):
        (lines, seconds), (others, longer) = told(0.0, seed), told(skew, seed)
        assert others == lines
        assert longer == pytest.approx(seconds, abs=60)


def test_a_namespace_that_goes_takes_nothing_but_its_own_jobs_with_it() -> None:
    jobs = (*QUIET.jobs, replace(QUIET.jobs[0], namespace="team-a"))
    for much, what in enumerate(("delete namespace", "forbid namespace")):
        gone = Action(at=8.0, what=what, which=1, much=much)
        again = Action(at=16.0, what="kill operator", which=1, much=0)
        world = played(gone, again, jobs=jobs, namespaces=("default", "team-a"))
        assert succeeded(world)
        assert succeeded(world, "beta")
        there = world.server.find(kube.JOBS, "alpha", "team-a")
        assert (there is None) == (what == "delete namespace")


@pytest.mark.parametrize("versions", [(OURS, STRICTER), (NEWER, OURS), (NEWER, STRICTER, OURS), (OURS, NEWER)])
def test_a_job_that_runs_goes_on_under_an_operator_of_any_version(versions: tuple[str, ...]) -> None:
    spec = SPEC | ({FIELD: 1} if versions[0] == NEWER else {})
    job = replace(QUIET.jobs[0], spec=spec)
    turns = [Action(at=10.0 + 8 * turn, what="kill operator", which=1, much=0) for turn in range(1, len(versions))]
    world = played(*turns, jobs=(job,), versions=versions)
    assert succeeded(world), world.timeline


def test_a_driver_that_never_stops_talking_is_heard_no_more_often_than_there_is_something_to_write() -> None:
    world = played(chatty=0.2)
    assert succeeded(world)


def test_what_is_odd_is_drawn_in_a_part_of_the_worlds_and_the_others_are_plain() -> None:
    odd = sum(draw(seed) != plain(seed) for seed in range(1000))
    assert odd / 1000 == pytest.approx(1 - _none(), abs=0.05)


def _none() -> float:
    """In which share of the worlds nothing is odd."""
    share = 1.0
    for each, _ in ODDITIES.values():
        share *= 1 - each
    return share
