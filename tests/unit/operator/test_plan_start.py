"""How a job begins: judged, then all pods of an attempt at once."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import wire
from headway_api.status import TrainingJobStatus
from headway_operator.engine.times import to_text
from sim.builders import T0, deleted, make_job, names, said


def test_a_new_job_gets_all_its_pods_and_objects_at_once() -> None:
    plan = make_job().workers(2).plan()
    assert names(plan) == ["digits-11111-1-head", "digits-11111-1-worker-0-0", "digits-11111-1-worker-1-0"]
    assert plan.ensure_objects
    assert (plan.attempt, plan.workers) == (1, 2)
    assert not plan.delete
    assert [notice.reason for notice in plan.notices] == ["AttemptStarted"]


def test_the_first_status_says_accepted_and_starting() -> None:
    status = make_job().workers(2).plan(after=3).status
    assert status is not None
    assert (status.phase, status.attempt, status.start_time) == ("Starting", 1, to_text(T0 + 3))
    assert status.attempts[0].start_time == to_text(T0 + 3)
    conditions = {item.type: (item.status, item.reason) for item in status.conditions}
    assert conditions == {
        "Accepted": ("True", "Valid"),
        "Scheduled": ("False", "WaitingForNodes"),
        "Running": ("False", "Starting"),
    }


def test_an_attempt_says_from_its_start_where_its_logs_will_be() -> None:
    builder = make_job()
    job, _ = builder.build()
    status = builder.plan().status
    assert status is not None
    assert job.spec is not None
    assert job.spec.storage is not None
    assert status.attempts[0].logs == wire.logs_uri(job.spec.storage, job.namespace, job.name, job.uid, 1)
    assert status.attempts[0].logs.endswith("/logs/attempt-1")


def test_an_invalid_job_creates_nothing_and_says_what_is_wrong() -> None:
    plan = make_job().spec(training={"epochs": 0}).plan()
    assert not plan.create
    assert said(plan, "Accepted").reason == "InvalidSpec"
    assert "spec.training.epochs" in said(plan, "Failed").message
    assert plan.status is not None
    assert plan.status.phase == "Failed"
    assert [(notice.reason, notice.warning) for notice in plan.notices] == [("Rejected", True)]


def test_a_job_without_storage_where_the_operator_has_no_default_is_told_so() -> None:
    builder = make_job()
    job, _ = builder.build()
    plan = builder.job(spec=None, problems=("spec.storage: is missing",)).plan()
    assert job.spec is not None
    assert "spec.storage" in said(plan, "Failed").message


def rejected() -> TrainingJobStatus:
    status = make_job().spec(training={"epochs": 0}).plan().status
    assert status is not None
    return status


def test_a_rejected_job_says_it_once() -> None:
    builder = make_job().spec(training={"epochs": 0})
    builder.status(**dict(rejected()))
    plan = builder.plan(after=100)
    assert plan.status is None
    assert not plan.notices


def test_an_edit_that_mends_a_rejected_job_lets_it_begin() -> None:
    plan = make_job().status(**dict(rejected())).job(generation=2).plan()
    assert names(plan)[0] == "digits-11111-1-head"
    assert plan.status is not None
    assert plan.status.phase == "Starting"
    assert plan.status.completion_time is None
    assert {item.type for item in plan.status.conditions} == {"Accepted", "Scheduled", "Running"}


def test_an_edit_that_leaves_a_rejected_job_wrong_is_answered_again() -> None:
    builder = make_job().spec(training={"epochs": -1}).job(generation=2)
    plan = builder.status(**dict(rejected())).plan()
    assert said(plan, "Failed").observed_generation == 2
    assert [notice.reason for notice in plan.notices] == ["Rejected"]


def test_many_problems_are_told_within_bounds() -> None:
    plan = make_job().job(spec=None, problems=tuple(f"spec.a{i}: {'x' * 300}" for i in range(50))).plan()
    assert len(said(plan, "Failed").message) <= 1024


@pytest.mark.parametrize("attempt_written", [True, False])
def test_pods_of_an_attempt_that_is_being_created_are_completed_not_counted_as_lost(attempt_written: bool) -> None:
    builder = make_job().workers(2)
    if attempt_written:
        builder.attempt(1).condition("Scheduled", False, "PodsRefused")
    plan = builder.config(1).head(pending=True).plan(after=5)
    assert names(plan) == ["digits-11111-1-worker-0-0", "digits-11111-1-worker-1-0"]
    assert plan.ensure_objects
    assert plan.status is None or plan.status.failures is None


def test_a_place_whose_second_pod_was_refused_is_not_filled_under_the_name_of_its_first() -> None:
    # Another process of the operator has seen the first one go: there is no trace of it.
    builder = make_job().workers(2).attempt(1).config(1).head().worker(1, ready=False).live()
    assert names(builder.plan(after=5)) == ["digits-11111-1-worker-0-1"]
    refused = builder.refused("digits-11111-1-worker-0-1", retry_at=T0 + 10)
    told = refused.plan(after=5)
    assert said(told, "Scheduled").reason == "PodsRefused"
    assert told.status is not None
    again = refused.status(**dict(told.status))
    assert not again.plan(after=6).create, "it was refused a moment ago"
    assert names(again.plan(after=10)) == ["digits-11111-1-worker-0-1"]
    both = again.refused("digits-11111-1-worker-0-0")
    assert names(both.plan(after=10)) == ["digits-11111-1-worker-0-0"], "where its first one was refused, that is made"


@pytest.mark.parametrize("ended", [False, True], ids=["a worker that runs", "a worker that has ended"])
def test_a_head_that_went_while_its_attempt_was_being_created_is_not_made_anew(ended: bool) -> None:
    builder = make_job().workers(2).config(1).worker(0, **({"exit_code": 137} if ended else {}))
    asked = builder.plan(after=5)
    assert "live" in asked.read, "it may only not be seen yet"
    plan = builder.live().plan(after=5)
    assert not plan.create, "the first one may run on, unseen, and both would write the same checkpoints"
    assert plan.status is not None
    assert [entry.cause for entry in plan.status.attempts] == ["NodeLost"]


def test_an_attempt_whose_start_was_not_written_keeps_the_time_of_its_first_pod() -> None:
    plan = make_job().config(1).head(created=T0 - 30).worker(0).plan(after=1)
    assert plan.status is not None
    assert plan.status.attempts[0].start_time == to_text(T0 - 30)
    assert not plan.create


def test_all_pods_ready_means_running() -> None:
    plan = make_job().attempt(1).head().worker(0).plan(after=8)
    assert plan.status is not None
    assert plan.status.phase == "Running"
    assert plan.status.attempts[0].running_time == to_text(T0 + 8)
    assert said(plan, "Scheduled").status == "True"
    assert said(plan, "Running").status == "True"
    assert [notice.reason for notice in plan.notices] == ["Running"]


@pytest.mark.parametrize(
    ("pod", "phase", "expected"),
    [
        ({"pending": True}, "Starting", "0 of 1 workers ready"),
        ({"pending": True, "unschedulable": "0/2 nodes are available"}, "Queued", "0/2 nodes are available"),
        ({"ready": False, "waiting": "ImagePullBackOff", "waiting_message": "no such tag"}, "Starting", "no such tag"),
    ],
)
def test_before_it_runs_the_condition_says_what_keeps_a_pod(pod: dict[str, Any], phase: str, expected: str) -> None:
    plan = make_job().attempt(1).head().worker(0, **pod).plan(after=10)
    assert plan.status is not None
    assert plan.status.phase == said(plan, "Running").reason == phase
    assert expected in said(plan, "Running").message


def test_it_is_recorded_when_all_pods_have_a_node_for_the_first_time() -> None:
    waits = make_job().attempt(1).head(ready=False).worker(0, pending=True).plan(after=10).status
    assert waits is not None
    assert waits.attempts[0].scheduled_time is None
    builder = make_job().attempt(1).head(ready=False).worker(0, ready=False)
    placed = builder.plan(after=20).status
    assert placed is not None
    assert placed.attempts[0].scheduled_time == to_text(T0 + 20)
    later = builder.status(**dict(placed)).plan(after=30).status
    assert later is None or later.attempts[0].scheduled_time == to_text(T0 + 20)


def test_a_deleted_job_is_left_to_its_owner_references() -> None:
    plan = make_job().running().head().worker(0).job(deleting=True).plan()
    assert (plan.create, plan.delete, plan.status, plan.requeue_at) == ((), (), None, None)


def test_pods_that_the_api_server_denies_are_asked_for_again_later_and_the_status_says_why() -> None:
    plan = (
        make_job()
        .config(1)
        .refused("digits-11111-1-head", retry_at=T0 + 20)
        .refused("digits-11111-1-worker-0-0", retry_at=T0 + 20)
        .plan(after=10)
    )
    assert not plan.create
    assert plan.requeue_at == T0 + 20
    assert said(plan, "Scheduled").reason == "PodsRefused"
    assert "exceeded quota" in said(plan, "Running").message
    assert plan.status is not None
    assert plan.status.phase == "Queued"
    assert [(notice.reason, notice.warning) for notice in plan.notices] == [
        ("AttemptStarted", False),
        ("PodsRefused", True),
    ]


def test_a_pod_that_can_never_be_created_fails_the_job() -> None:
    builder = make_job().config(1).refused("digits-11111-1-head", "Invalid", "spec.containers[0].image: required")
    plan = builder.live().plan()
    assert said(plan, "Failed").reason == "InvalidSpec"
    assert "spec.containers[0].image" in said(plan, "Failed").message


def test_surplus_pods_of_an_earlier_attempt_go() -> None:
    plan = make_job().attempt(1, end=T0 + 1, cause="NodeLost").attempt(2).head(2).worker(0, 2).worker(0, 1).plan()
    assert deleted(plan) == ["digits-11111-1-worker-0-0"]


def test_pods_say_how_many_workers_their_driver_waits_for_where_somebody_has_deleted_the_config_map() -> None:
    begun = make_job().workers(1).head(told_workers=3).worker(1, told_workers=3)
    plan = begun.plan()
    assert names(plan) == ["digits-11111-1-worker-0-0", "digits-11111-1-worker-2-0"]
    assert not plan.delete
    assert plan.status is not None
    assert plan.status.workers is not None
    assert plan.status.workers.desired == 3


def test_an_attempt_keeps_the_workers_that_its_driver_waits_for_though_the_spec_has_changed_meanwhile() -> None:
    begun = make_job().workers(2).config(workers=3).head().worker(0).worker(1).worker(2).plan()
    assert not begun.delete
    assert begun.status is not None
    assert begun.status.workers is not None
    assert begun.status.workers.desired == 3
