"""The operator's heart in a world where anything may happen in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.world import World

Action = Callable[[World, int], object]


def _some_pod(world: World, choice: int) -> Any:
    pods = world.pods()
    return pods[choice % len(pods)] if pods else None


def _on_pod(act: Callable[[World, Any], None]) -> Action:
    def action(world: World, choice: int) -> None:
        pod = _some_pod(world, choice)
        if pod is not None:
            act(world, pod)

    return action


def _pass_time(world: World, choice: int) -> None:
    world.now += (1, 5, 30, 120)[choice % 4]


FAULTS = ("crash before", "crash after", "time-out before", "time-out after")
RESOURCES = ("trainingjobs", "pods", "configmaps")

ORDINARY: list[Action] = [
    lambda world, choice: world.deliver(RESOURCES[choice % 3]),
    lambda world, _: world.deliver_all(),
    lambda world, _: world.work(),
    lambda world, _: world.work(),
    _on_pod(lambda world, pod: world.schedule(pod)),
    _on_pod(lambda world, pod: world.run_pod(pod)),
    _on_pod(lambda world, pod: world.terminate(pod)),
    _pass_time,
]
TROUBLE: list[Action] = [
    lambda world, choice: world.work_with_a_fault(choice // 4 % 12, FAULTS[choice % 4]),
    lambda world, choice: world.lose(RESOURCES[choice % 3]),
    lambda world, _: world.restart(),
    lambda world, _: world.compare(),
    _on_pod(lambda world, pod: world.end_driver(pod, "OutOfMemory")),
    _on_pod(lambda world, pod: world.end_driver(pod, "Succeeded")),
    _on_pod(lambda world, pod: world.end_pod(pod, 137) if "worker" in pod["metadata"]["name"] else None),
    _on_pod(lambda world, pod: world.end_driver(pod, "UserError")),
    _on_pod(lambda world, pod: world.take_away(pod, by_force=False)),
    _on_pod(lambda world, pod: world.take_away(pod, by_force=True)),
    lambda world, _: world.edit(suspend=True),
    lambda world, _: world.edit(suspend=False),
    lambda world, _: world.delete_job(),
    lambda world, _: world.create_job(),
    lambda world, _: world.server.collect_garbage(),
]

STEPS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 999)), max_size=120)


def play(steps: list[tuple[int, int]], **spec: Any) -> World:
    """Let a world go its way, then come to rest."""
    world = World(spec=spec)
    try:
        for kind, choice in steps:
            # Three of four things that happen are ordinary, else nothing would ever get far.
            action = ORDINARY[choice % len(ORDINARY)] if kind % 4 else TROUBLE[kind // 4 % len(TROUBLE)]
            action(world, choice)
            world.check()
        world.settle()
        world.check_settled()
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *world.timeline])) from error
    return world


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_a_job_of_two_workers_comes_to_its_end_and_leaves_nothing(
    steps: list[tuple[int, int]],
) -> None:
    play(steps, workers={"replicas": 2}, retry={"infrastructure": 1000, "preempted": 1000})


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_budgets_and_a_deadline_end_a_job_too(steps: list[tuple[int, int]]) -> None:
    play(steps, retry={"infrastructure": 1, "preempted": 1}, activeDeadlineSeconds=200)


def test_left_alone_a_job_succeeds_in_one_attempt() -> None:
    world = play([], workers={"replicas": 3})
    assert world.status()["phase"] == "Succeeded"
    assert world.status()["attempt"] == 1


@pytest.mark.parametrize("at", range(20))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_of_the_first_look_changes_nothing(at: int, fault: str) -> None:
    world = World(spec={"workers": {"replicas": 2}})
    world.deliver_all()
    world.work_with_a_fault(at, fault)
    world.check()
    world.settle()
    world.check_settled()
    assert (world.status()["phase"], world.status()["attempt"]) == ("Succeeded", 1)
