"""Lost workers count as failures by event, and budgets come back with steady progress."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import wire
from headway_api.status import Failures, RecentFailures
from headway_operator.engine.times import to_text
from sim.builders import T0, JobBuilder, make_job, names, said
from unit.operator.test_plan_run import progress


def zone(count: int = 8, cause: str = "NodeLost", **fields: Any) -> JobBuilder:
    """A running job that has lost all its workers, each on a node of its own; it may lose one for this cause."""
    name = f"{cause[:1].lower()}{cause[1:]}"
    builder = make_job().workers(count).spec(retry={name: 1}).running().head()
    for index in range(count):
        builder.worker(index, **{"node": f"node-{index}", "ready": False, "phase": "Failed", **fields})
    return builder


EVENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("a zone goes", "NodeLost", {"disruption": "DeletionByTaintManager"}),
    ("a node goes", "NodeLost", {"disruption": "DeletionByPodGC", "node": "node-7", "gone": True}),
    ("a node starts anew", "NodeLost", {"exit_code": 255, "exit_reason": "Unknown", "node": "node-7"}),
    ("a wave of spot nodes", "Preempted", {"disruption": "TerminationByKubelet"}),
    ("the network at the head's node", "NodeLost", {"exit_code": wire.EXIT_UNREACHABLE, "at": T0 + 40}),
    ("one step that needs too much memory", "OutOfMemory", {"exit_code": 137, "exit_reason": "OOMKilled"}),
    ("a crash in a collective call", "Internal", {"exit_code": 134}),
    ("without a trace", "NodeLost", {"gone": True}),
]


@pytest.mark.parametrize(("cause", "fields"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_what_takes_many_workers_down_at_once_is_one_failure(cause: str, fields: dict[str, Any]) -> None:
    plan = zone(cause=cause, **fields).plan()
    assert len(plan.create) == 8
    again = zone(cause=cause, **fields)
    for index in range(8):
        again.worker(index, number=index + 1, pending=True)
    status = again.plan(after=61).status
    assert status is not None
    assert status.failures is not None
    assert sum(status.failures.model_dump().values()) == status.attempts[0].losses == 1
    assert status.attempts[0].workers_replaced == 8
    assert [event.cause for event in status.attempts[0].loss_events] == [cause]


def test_workers_that_reach_their_head_no_more_follow_it() -> None:
    fields: dict[str, Any] = {"exit_code": wire.EXIT_UNREACHABLE, "at": T0 + 60}
    assert zone(**fields).plan(after=69).create == (), "the head may just be about to go, too"
    assert len(zone(**fields).plan(after=70).create) == 8


def test_a_drained_node_that_takes_head_and_worker_is_one_failure_though_nobody_saw_the_worker_go() -> None:
    job = make_job().workers(2).running().head(deleting=T0 + 100).worker(1)
    assert job.live().plan(after=90).create == (), "the head goes, and the attempt with it"
    ended = make_job().workers(2).running().head(exit_code=143, disruption="EvictionByEvictionAPI").worker(1)
    status = ended.live().plan(after=100).status
    assert status is not None
    assert status.attempts[0].cause == "Preempted"
    assert status.failures == Failures(preempted=1)


def test_a_head_that_is_drained_after_a_worker_that_left_no_word_is_the_same_failure() -> None:
    """The tenant had taken the worker's label away, and the operator had begun anew: nobody saw it being evicted."""
    first = make_job().workers(1).running().head().worker(0, number=1, pending=True).live().plan(after=60).status
    assert first is not None
    assert first.failures == Failures(node_lost=1)
    ended = make_job().workers(1).status(**dict(first)).config().worker(0, number=1)
    status = ended.head(exit_code=143, disruption="EvictionByEvictionAPI").live().plan(after=63).status
    assert status is not None
    assert status.attempts[0].cause == "Preempted"
    assert status.failures == Failures(node_lost=1)


def test_of_nodes_that_go_at_once_some_pods_say_so_and_some_do_not_and_that_is_one_failure() -> None:
    builder = make_job().workers(2).running().head().worker(0, gone=True, ready=False)
    builder.worker(1, ready=False, phase="Failed", reason="Evicted", disruption="TerminationByKubelet")
    status = builder.worker(0, number=1, pending=True).worker(1, number=2, pending=True).plan(after=60).status
    assert status is not None
    assert status.failures is not None
    assert sum(status.failures.model_dump().values()) == 1


def lost_again(cause: str, after: float, number: int = 0, **fields: Any) -> int:
    """The failures of a job that lost a worker at T0 + 60, and so many seconds later another one."""
    builder = make_job().workers(3).running().head().worker(0, **fields).worker(1).worker(2)
    first = builder.worker(0, number=1, pending=True).plan(after=60).status
    assert first is not None
    later = make_job().workers(3).status(**dict(first)).config().head()
    if number:
        later.worker(0, number=1, **fields).worker(0, number=2, pending=True).worker(1).worker(2)
    else:
        later.worker(0, number=1).worker(1, **fields).worker(1, number=2, pending=True).worker(2)
    status = later.plan(after=60 + after).status
    assert status is not None
    assert status.failures is not None
    assert {event.cause for event in status.attempts[0].loss_events} == {cause}
    return sum(status.failures.model_dump().values())


@pytest.mark.parametrize(
    ("cause", "fields", "window"),
    [
        ("NodeLost", {"gone": True, "disruption": "DeletionByPodGC"}, 300),
        ("Preempted", {"phase": "Failed", "ready": False, "reason": "Evicted"}, 300),
        ("Internal", {"exit_code": 137}, 60),
        ("OutOfMemory", {"exit_code": 137, "exit_reason": "OOMKilled"}, 60),
    ],
)
def test_an_event_lasts_for_the_window_of_its_cause(cause: str, fields: dict[str, Any], window: int) -> None:
    assert lost_again(cause, window - 1, **fields) == 1
    assert lost_again(cause, window, **fields) == 2


def test_a_worker_that_is_lost_again_within_the_window_is_another_failure() -> None:
    assert lost_again("Internal", 10, number=1, exit_code=137) == 2


def test_causes_are_counted_apart() -> None:
    builder = make_job().workers(2).running().head().worker(0, exit_code=137)
    builder.worker(1, exit_code=137, exit_reason="OOMKilled")
    status = builder.worker(0, number=1).worker(1, number=2).plan().status
    assert status is not None
    assert status.failures == Failures(internal=1, out_of_memory=1)


def test_a_worker_whose_node_is_drained_in_order_costs_nothing() -> None:
    evicted: dict[str, Any] = {"gone": True, "ready": False, "disruption": "EvictionByEvictionAPI", "deleting": T0 + 50}
    builder = make_job().workers(2).spec(retry={"preempted": 0}).running().head().worker(0, **evicted).worker(1)
    assert names(builder.plan()) == ["digits-11111-1-worker-0-1"]
    status = builder.worker(0, number=1, pending=True).plan().status
    assert status is not None
    assert status.failures is None
    assert (status.attempts[0].losses, status.attempts[0].workers_replaced) == (0, 1)
    head = make_job().spec(retry={"preempted": 0}).running().worker(0).head(**evicted).live().plan()
    assert said(head, "Failed").reason == "Preempted", "a head costs an attempt"


def test_a_zone_that_goes_with_the_head_is_one_failure() -> None:
    builder = make_job().workers(3).running().head().worker(0).worker(1)
    builder.worker(2, gone=True, disruption="DeletionByPodGC").worker(2, number=1, pending=True)
    first = builder.plan(after=60).status
    assert first is not None
    later = make_job().workers(3).status(**dict(first)).config().worker(0).worker(1).worker(2, number=1)
    status = later.head(gone=True, disruption="DeletionByPodGC").live().plan(after=80).status
    assert status is not None
    assert status.attempts[0].end_time is not None
    assert status.failures == Failures(node_lost=1)
    much_later = later.live().plan(after=60 + 300).status
    assert much_later is not None
    assert much_later.failures == Failures(node_lost=2)


def test_a_budget_that_is_spent_ends_the_job_though_the_last_loss_came_with_others() -> None:
    builder = make_job().spec(retry={"internal": 1}).running().head().worker(0, exit_code=137)
    first = builder.worker(0, number=1, pending=True).plan().status
    assert first is not None
    crashed = make_job().spec(retry={"internal": 1}).status(**dict(first)).config()
    stopped = crashed.head().worker(0, number=1, exit_code=137).plan(after=65).status
    assert stopped is not None
    assert stopped.attempts[0].cause == "Internal"
    gone = make_job().spec(retry={"internal": 1}).status(**dict(stopped)).config()
    plan = gone.head(exit_code=143, deleting=T0 + 180, at=T0 + 66).live().plan(after=67)
    assert said(plan, "Failed").reason == "Internal"


def test_losses_are_forgotten_with_steady_progress() -> None:
    reported = (
        make_job()
        .spec(retry={"internal": 1, "forgetAfterSeconds": 600})
        .status(
            failures=Failures(internal=3),
            recent_failures=RecentFailures(counts=Failures(internal=1), furthest_step=4),
        )
    )
    word = progress(progress={"stage": "Training", "step": 5})
    reported.running().config(1, word).head().worker(0)
    steady = reported.plan(after=10).status
    assert steady is not None
    assert steady.recent_failures is not None
    assert steady.recent_failures.steady_since == to_text(T0 + 10)
    for after, cause in ((609, "Internal"), (610, None)):
        job = make_job().spec(retry={"internal": 1, "forgetAfterSeconds": 600}).status(**dict(steady))
        plan = job.config(1, word).head().worker(0, exit_code=137).plan(after=after)
        decided = plan.status or steady
        assert decided.attempts[0].cause == cause
        assert bool(plan.create) == (cause is None)
