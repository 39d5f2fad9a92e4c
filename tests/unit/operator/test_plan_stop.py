"""What stops an attempt: suspend, deadlines, images that do not come, pods that find no room."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine.times import to_text
from sim.builders import T0, JobBuilder, deleted, make_job, names, outcome, said


def test_suspend_is_first_decided_then_done() -> None:
    plan = make_job().suspended().running().head().worker(0).plan()
    assert not plan.delete
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "Suspended"
    assert plan.status.attempts[0].end_time is None
    assert plan.requeue_at == T0 + 60


def test_the_deadline_counts_from_the_very_turn_that_finds_all_pods_on_nodes() -> None:
    plan = make_job().spec(activeDeadlineSeconds=8).attempt(1).head().worker(0).plan(after=3)
    assert plan.status is not None
    assert plan.status.attempts[0].scheduled_time == to_text(T0 + 3)
    assert plan.requeue_at == T0 + 3 + 8, "the status that says so is no news to who writes it"


def test_the_head_goes_first_so_that_it_can_take_a_checkpoint_with_its_workers() -> None:
    stopping = make_job().suspended().running(cause="Suspended").head().worker(0)
    assert deleted(stopping.plan()) == ["digits-11111-1-head"]
    waiting = make_job().suspended().running(cause="Suspended").head(deleting=T0 + 180).worker(0)
    assert not waiting.plan().delete


def test_a_stopped_driver_s_checkpoint_is_recorded() -> None:
    word = outcome("Interrupted", checkpoint={"uri": "s3://x", "step": 9, "time": to_text(T0)})
    builder = make_job().suspended().running(cause="Suspended").head(exit_code=143, deleting=T0 + 180, said=word)
    plan = builder.worker(0).plan(after=70)
    assert plan.status is not None
    assert plan.status.checkpoint is not None
    assert plan.status.checkpoint.step == 9
    assert plan.status.attempts[0].cause == "Suspended"
    assert plan.status.attempts[0].exit_code == 143
    assert plan.status.failures is None, "suspending costs no retry"
    assert said(plan, "Suspended").reason == "Suspending"
    assert not plan.delete


def ended() -> Any:
    return make_job().suspended().attempt(1, running=T0 + 5, end=T0 + 70, cause="Suspended")


def test_suspended_means_that_nothing_is_held() -> None:
    plan = ended().worker(0).plan(after=71)
    assert deleted(plan) == ["digits-11111-1-worker-0-0"]
    assert said(plan, "Suspended").status == "False"
    plan = ended().live().plan(after=80)
    assert said(plan, "Suspended").status == "True"
    assert plan.status is not None
    assert plan.status.phase == "Suspended"
    assert [notice.reason for notice in plan.notices] == ["Suspended"]


def test_resume_is_a_new_attempt_without_delay() -> None:
    builder = ended().status(phase="Suspended").condition("Suspended", True, "Suspended").spec(suspend=False)
    plan = builder.live().plan(after=70)
    assert names(plan) == ["digits-11111-2-head", "digits-11111-2-worker-0-0"]
    assert said(plan, "Suspended").reason == "Resumed"
    assert [notice.reason for notice in plan.notices] == ["Resumed", "AttemptStarted"]


def test_a_job_that_is_not_to_be_suspended_any_more_says_so_before_its_next_attempt_begins() -> None:
    waiting = ended().status(phase="Suspended").condition("Suspended", True, "Suspended").spec(suspend=False)
    plan = waiting.worker(0, exit_code=None).plan(after=70)
    assert not plan.create
    assert plan.status is not None
    assert plan.status.phase == "Pending"
    assert said(plan, "Suspended").reason == "Resumed"


def test_a_job_that_was_resumed_and_ended_unseen_is_not_called_suspended() -> None:
    away = ended().status(phase="Suspended").condition("Suspended", True, "Suspended").spec(suspend=False)
    plan = away.config(2).head(2, exit_code=0, said=outcome("Succeeded", attempt=2)).live().plan(after=900)
    assert plan.status is not None
    assert plan.status.phase == "Succeeded"
    assert said(plan, "Suspended").status == "False"
    assert [notice.reason for notice in plan.notices] == ["Resumed", "AttemptStarted", "Complete"]


def test_a_suspended_job_whose_deadline_was_used_up_fails_and_is_suspended_no_more() -> None:
    resumed = ended().status(phase="Suspended").condition("Suspended", True, "Suspended").spec(suspend=False)
    plan = resumed.status(active_seconds=50).spec(suspend=False, activeDeadlineSeconds=50).live().plan(after=70)
    assert said(plan, "Failed").reason == "DeadlineExceeded"
    assert said(plan, "Suspended").status == "False"


def test_a_job_that_is_suspended_from_the_start_begins_nothing() -> None:
    plan = make_job().suspended().live().plan()
    assert not plan.create
    assert plan.status is not None
    assert plan.status.phase == "Suspended"


def test_that_no_pods_are_held_is_not_believed_of_a_cache() -> None:
    # The status of an attempt that had just begun could not be written, and its pods may not have been seen.
    plan = make_job().suspended().plan()
    assert plan.read == {"live"}
    assert not any(notice.reason == "Suspended" for notice in plan.notices)
    assert not make_job().suspended().status(phase="Suspended").condition("Suspended", True).plan().read


def test_a_resume_while_stopping_lets_the_stop_be_completed() -> None:
    plan = make_job().running(cause="Suspended").head(deleting=T0 + 180).worker(0).plan()
    assert not plan.delete
    assert not plan.create


def test_success_while_being_stopped_is_success() -> None:
    builder = make_job().suspended().running(cause="Suspended")
    plan = builder.head(exit_code=0, deleting=T0 + 180, said=outcome("Succeeded")).plan()
    assert plan.status is not None
    assert plan.status.phase == "Succeeded"
    assert plan.status.attempts[0].cause is None


def test_a_driver_that_fails_while_being_stopped_says_why() -> None:
    word = outcome("Failed", cause="StorageError", message="the volume is full")
    builder = make_job().suspended().running(cause="Suspended")
    plan = builder.head(exit_code=74, deleting=T0 + 180, said=word).plan()
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "StorageError"


def test_a_stopped_head_that_left_no_word_ends_for_the_reason_of_the_stop() -> None:
    plan = make_job().suspended().running(cause="Suspended").head(gone=True, deleting=T0 + 180).plan()
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "Suspended"


@pytest.mark.parametrize(("after", "stops"), [(99, False), (100, True)])
def test_the_deadline_counts_the_seconds_of_all_attempts(after: float, stops: bool) -> None:
    builder = make_job().spec(activeDeadlineSeconds=130).status(active_seconds=30).running()
    plan = builder.head().worker(0).plan(after)
    assert plan.status is not None
    assert (plan.status.attempts[0].cause == "DeadlineExceeded") == stops
    if not stops:
        assert plan.requeue_at == T0 + 100


def test_the_end_of_a_deadline_fails_the_job() -> None:
    builder = make_job().spec(activeDeadlineSeconds=100).running(cause="DeadlineExceeded", message="too long")
    plan = builder.head(exit_code=143, said=outcome("Interrupted")).plan(after=110)
    assert said(plan, "Failed").reason == "DeadlineExceeded"


@pytest.mark.parametrize("ttl", [0, 30])
def test_a_job_whose_deadline_is_over_before_another_attempt_says_so_and_is_then_deleted_in_its_time(ttl: int) -> None:
    over = make_job().spec(activeDeadlineSeconds=60, ttlSecondsAfterFinished=ttl).live()
    over.attempt(1, end=T0 + 60, cause="NodeLost").status(active_seconds=60)
    plan = over.plan(after=100)
    assert said(plan, "Failed").reason == "DeadlineExceeded"
    assert (plan.requeue_at, plan.delete_job) == (T0 + 100, False), "nobody would ever read why"
    assert plan.status is not None
    later = over.status(**dict(plan.status)).plan(after=100)
    assert (later.delete_job, later.requeue_at) == ((True, None) if ttl == 0 else (False, T0 + 130))


def test_no_attempt_is_begun_after_the_deadline() -> None:
    builder = make_job().spec(activeDeadlineSeconds=50).status(active_seconds=55)
    plan = builder.attempt(1, end=T0 + 55, cause="NodeLost").live().plan(after=200)
    assert not plan.create
    assert said(plan, "Failed").reason == "DeadlineExceeded"


@pytest.mark.parametrize(
    ("fields", "after", "cause"),
    [
        ({"waiting": "ErrImagePull", "waiting_since": T0}, 59, None),
        ({"waiting": "ErrImagePull", "waiting_since": T0}, 60, "ImagePull"),
        ({"waiting": "ImagePullBackOff", "waiting_since": T0}, 60, "ImagePull"),
        ({"waiting": "InvalidImageName", "waiting_since": T0}, 1, "ImagePull"),
        ({"waiting": "CreateContainerConfigError", "waiting_since": T0}, 60, "UserError"),
        ({"waiting": "CreateContainerConfigError", "waiting_since": T0}, 59, None),
        ({"pending": True, "unschedulable": "0/1 nodes"}, 9e6, None),
        ({"pending": True}, 9e6, None),
        ({"ready": False}, 899, None),
        ({"ready": False, "scheduled_at": T0 + 5000}, 5899, None),
        ({"ready": False, "scheduled_at": T0 + 5000}, 5900, "Unschedulable"),
        ({"ready": False}, 900, "Unschedulable"),
    ],
)
def test_pods_that_do_not_come_up_end_the_attempt(fields: dict[str, Any], after: float, cause: str | None) -> None:
    builder = make_job().attempt(1).grouped()
    plan = builder.head(pending=fields.get("pending", False)).worker(0, **{"ready": False, **fields}).plan(after)
    assert plan.status is not None
    assert plan.status.attempts[0].cause == cause
    if cause is None:
        assert plan.requeue_at is None or plan.requeue_at > T0 + after
    else:
        fixes = {
            "ImagePull": "spec.image",
            "UserError": "make what is missing",
            "Unschedulable": "make what is missing",
        }
        assert fixes[cause] in (plan.status.attempts[0].message or "")


def waiting(**scheduling: int) -> JobBuilder:
    """A job whose pods find no room."""
    full = "0/3 nodes: 3 taints"
    builder = make_job().spec(scheduling=scheduling).attempt(1).head(pending=True, unschedulable=full)
    return builder.worker(0, pending=True, unschedulable=full)


def test_a_job_waits_for_room_without_end_and_says_for_what() -> None:
    plan = waiting().plan(after=30 * 86_400)
    assert not plan.delete
    assert plan.status is not None
    assert (plan.status.phase, plan.status.attempts[0].cause) == ("Queued", None)
    assert (said(plan, "Scheduled").status, said(plan, "Scheduled").reason) == ("False", "Unschedulable")
    assert "0/3 nodes: 3 taints" in said(plan, "Scheduled").message


@pytest.mark.parametrize(("after", "cause"), [(3599, None), (3600, "DeadlineExceeded")])
def test_a_deadline_for_the_queue_bounds_the_waiting_and_ends_the_job(after: float, cause: Any) -> None:
    plan = waiting(queueDeadlineSeconds=3600).plan(after)
    assert plan.status is not None
    assert plan.status.attempts[0].cause == cause
    if cause is None:
        assert plan.requeue_at == T0 + 3600
        return
    message = plan.status.attempts[0].message or ""
    assert "scheduling.queueDeadlineSeconds, 3600 s" in message
    assert "0/3 nodes: 3 taints" in message
    ended = make_job().status(**dict(plan.status)).live().plan(after + 1)
    assert said(ended, "Failed").reason == "DeadlineExceeded"


def test_pods_that_are_refused_wait_for_the_same_deadline() -> None:
    builder = make_job().spec(scheduling={"queueDeadlineSeconds": 600}).attempt(1)
    builder.condition("Scheduled", False, "PodsRefused")
    builder.refused("digits-11111-1-head", retry_at=T0 + 9999).refused("digits-11111-1-worker-0-0", retry_at=T0 + 9999)
    plan = builder.live().plan(after=600)
    assert said(plan, "Failed").reason == "DeadlineExceeded"
    assert "exceeded quota" in said(plan, "Failed").message


def test_the_deadline_of_the_queue_is_for_waiting_alone() -> None:
    ready = make_job().spec(scheduling={"queueDeadlineSeconds": 10}).attempt(1).head().worker(0, ready=False)
    assert ready.plan(after=100).status is not None
    placed = ready.plan(after=100).status
    assert placed is not None
    assert placed.attempts[0].cause is None
    crashed = make_job().spec(scheduling={"queueDeadlineSeconds": 10}).attempt(1, scheduled_time=to_text(T0 + 5))
    replaced = crashed.head().worker(0, exit_code=1).plan(after=100)
    assert replaced.create, "it has had room"
    runs = make_job().workers(2).spec(scheduling={"queueDeadlineSeconds": 10}).running().head().worker(0)
    lacks = runs.worker(1, number=1, pending=True, unschedulable="0/3 nodes").plan(after=100).status
    assert lacks is not None
    assert lacks.attempts[0].cause is None


def test_an_attempt_without_room_gives_back_what_it_holds() -> None:
    stopping = make_job().attempt(1, cause="Unschedulable", message="no room").head(pending=True).worker(0)
    assert deleted(stopping.plan(after=901)) == ["digits-11111-1-head", "digits-11111-1-worker-0-0"]
    plan = make_job().attempt(1, cause="Unschedulable", message="no room").worker(0).live().plan(after=902)
    assert plan.status is not None
    assert plan.status.attempts[0].end_time is not None
    assert plan.status.phase == "Pending"


def test_a_replacement_whose_container_never_starts_ends_the_attempt_too() -> None:
    builder = make_job().running(workers_replaced=1).head()
    builder.worker(0, number=1, phase="Pending", ready=False, node="node-1", created=T0, scheduled_at=T0 + 100)
    before = builder.plan(after=999).status
    assert before is None or before.attempts[0].cause is None
    plan = builder.plan(after=1000)
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "Unschedulable"
    assert "does not get ready" in (plan.status.attempts[0].message or "")


def test_an_attempt_that_was_only_decided_on_ends_without_ado() -> None:
    decided = make_job().suspended().config(1)
    assert decided.plan().read == {"live"}, "its head may run, unseen by an operator that began a moment ago"
    plan = decided.live().plan()
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "Suspended"
    assert plan.status.attempts[0].end_time is not None
