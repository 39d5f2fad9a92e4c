"""The clocks of a job, in every order: suspend, resume, deadline and TTL, also when nobody saw them pass."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine.times import to_text
from headway_operator.training.plan.model import Plan
from sim.builders import T0, JobBuilder, deleted, make_job, names, outcome


def verdict(builder: JobBuilder, after: float) -> dict[str, Any]:
    """What a look comes to, in a few words; of the status: as it is then."""
    job, _ = builder.build()
    plan = builder.plan(after)
    status = plan.status or job.status
    last = status.attempts[-1] if status.attempts else None
    return {
        "phase": status.phase,
        "creates": bool(plan.create),
        "deletes": deleted(plan),
        "cause": last.cause if last is not None else None,
        "ended": last is not None and last.end_time is not None,
    }


def holds(builder: JobBuilder, after: float, wanted: dict[str, Any]) -> None:
    found = verdict(builder, after)
    assert {name: found[name] for name in wanted} == wanted


def starting() -> JobBuilder:
    return make_job().attempt(1).head(pending=True).worker(0, pending=True)


def placed() -> JobBuilder:
    """All pods have had a node for the first time ten seconds after the attempt began."""
    return make_job().attempt(1, scheduled_time=to_text(T0 + 10)).head(ready=False).worker(0, ready=False)


def running() -> JobBuilder:
    return make_job().running().head().worker(0)


def stopping(cause: Any = "Suspended") -> JobBuilder:
    return make_job().running(cause=cause, message="why").head(deleting=T0 + 180).worker(0)


def backing_off(active: int = 60) -> JobBuilder:
    return make_job().attempt(1, running=T0 + 5, end=T0 + 60, cause="StorageError").status(active_seconds=active)


def suspended(active: int = 60) -> JobBuilder:
    builder = make_job().attempt(1, running=T0 + 5, end=T0 + 60, cause="Suspended").status(active_seconds=active)
    return (
        builder.status(phase="Suspended").condition("Suspended", True, "Suspended").condition("Accepted", True, "Valid")
    )


def finished(phase: Any = "Succeeded", **spec: Any) -> JobBuilder:
    builder = make_job().spec(**spec).attempt(1, running=T0 + 5, end=T0 + 60)
    return builder.status(phase=phase, completion_time=to_text(T0 + 60))


def refused() -> JobBuilder:
    builder = make_job().attempt(1).condition("Scheduled", False, "PodsRefused")
    return builder.refused("digits-11111-1-head", retry_at=T0 + 900).refused(
        "digits-11111-1-worker-0-0", retry_at=T0 + 900
    )


HELD = {"phase": "Suspended", "creates": False, "deletes": []}
DECIDED = {"creates": False, "deletes": [], "cause": "Suspended", "ended": False}


@pytest.mark.parametrize(
    ("builder", "wanted"),
    [
        (make_job().live(), HELD),
        (backing_off().live(), HELD | {"cause": "StorageError"}),
        (starting(), DECIDED),
        (running(), DECIDED),
        (refused().live(), {"creates": False, "cause": "Suspended", "ended": True}),
        (stopping("DeadlineExceeded"), {"creates": False, "deletes": [], "cause": "DeadlineExceeded"}),
        (finished(), {"creates": False, "deletes": [], "phase": "Succeeded"}),
        (finished("Failed"), {"creates": False, "deletes": [], "phase": "Failed"}),
    ],
    ids=["new", "backing off", "starting", "running", "refused", "stopping for another reason", "succeeded", "failed"],
)
def test_suspend_in_each_phase(builder: JobBuilder, wanted: dict[str, Any]) -> None:
    holds(builder.suspended(), 62, wanted)


def test_a_backoff_goes_on_while_a_job_is_suspended() -> None:
    builder = backing_off().status(phase="Suspended").condition("Suspended", True, "Suspended").live()
    early = builder.plan(after=62)
    assert not early.create
    assert early.requeue_at is not None
    assert T0 + 65 <= early.requeue_at < T0 + 75
    assert names(builder.plan(after=75)) == ["digits-11111-2-head", "digits-11111-2-worker-0-0"]


@pytest.mark.parametrize(
    ("builder", "after", "wanted"),
    [
        (suspended(), 61, {"creates": True}),
        (suspended(), 1e6, {"creates": True}),
        (stopping(), 62, {"creates": False, "deletes": []}),
        (make_job().attempt(1, running=T0 + 5, end=T0 + 60, cause="Suspended").worker(0), 62, {"creates": False}),
        (finished(), 62, {"creates": False, "phase": "Succeeded"}),
    ],
    ids=["suspended", "suspended for days", "stopping", "ended, with a pod left", "finished"],
)
def test_resume_in_each_phase(builder: JobBuilder, after: float, wanted: dict[str, Any]) -> None:
    holds(builder.live(), after, wanted)


@pytest.mark.parametrize(
    ("builder", "after", "wanted"),
    [
        # The clock of the running attempt, those before it, and none between them.
        (running().spec(activeDeadlineSeconds=100), 99, {"cause": None}),
        (running().spec(activeDeadlineSeconds=100), 100, {"cause": "DeadlineExceeded", "ended": False}),
        (running().spec(activeDeadlineSeconds=100), 9e4, {"cause": "DeadlineExceeded", "ended": False}),
        (starting().spec(activeDeadlineSeconds=50), 9e4, {"cause": None}),
        (placed().spec(activeDeadlineSeconds=50), 59, {"cause": None}),
        (placed().spec(activeDeadlineSeconds=50), 60, {"cause": "DeadlineExceeded", "ended": False}),
        (running().spec(activeDeadlineSeconds=100).status(active_seconds=40), 60, {"cause": "DeadlineExceeded"}),
        (suspended(40).spec(activeDeadlineSeconds=50, suspend=True), 9e4, {"phase": "Suspended", "creates": False}),
        (suspended(50).spec(activeDeadlineSeconds=50, suspend=True), 9e4, {"phase": "Suspended", "creates": False}),
        (suspended(50).spec(activeDeadlineSeconds=50).live(), 9e4, {"phase": "Failed", "creates": False}),
        (suspended(40).spec(activeDeadlineSeconds=50).live(), 9e4, {"creates": True}),
        (backing_off(40).spec(activeDeadlineSeconds=50).live(), 9e4, {"creates": True}),
        (backing_off(50).spec(activeDeadlineSeconds=50), 61, {"phase": "Failed", "creates": False}),
        # Suspend wins over a deadline that is over as well: the user may still raise it.
        (running().suspended().spec(activeDeadlineSeconds=10), 60, {"cause": "Suspended"}),
        # What was decided is completed; what has ended meanwhile has ended.
        (stopping().spec(activeDeadlineSeconds=10), 60, {"cause": "Suspended", "deletes": []}),
        (make_job().spec(activeDeadlineSeconds=10).running().head(exit_code=0, said=outcome("Succeeded")), 9e4,
         {"phase": "Succeeded"}),
        (finished(activeDeadlineSeconds=10), 9e4, {"phase": "Succeeded", "creates": False}),
    ],
)  # fmt: skip
def test_the_deadline_in_each_phase(builder: JobBuilder, after: float, wanted: dict[str, Any]) -> None:
    holds(builder, after, wanted)


@pytest.mark.parametrize(
    ("edited", "stops"), [(None, False), (600, False), (61, False), (60, True), (30, True), (1, True)]
)
def test_a_deadline_that_is_edited_while_the_job_runs_counts_at_once(edited: int | None, stops: bool) -> None:
    edit = running().spec(activeDeadlineSeconds=edited)
    plan = edit.plan(after=60)
    assert (verdict(edit, 60)["cause"] == "DeadlineExceeded") == stops
    if not stops and edited is not None:
        assert plan.requeue_at is not None
        assert plan.requeue_at <= T0 + edited


def test_a_deadline_that_is_raised_in_time_saves_a_suspended_job() -> None:
    assert suspended(60).spec(activeDeadlineSeconds=120).live().plan(after=9e4).create


@pytest.mark.parametrize(
    ("builder", "after", "deletes", "wakes"),
    [
        (finished(ttlSecondsAfterFinished=10), 69, False, T0 + 70),
        (finished(ttlSecondsAfterFinished=10), 70, True, None),
        (finished("Failed", ttlSecondsAfterFinished=10), 9e6, True, None),
        (finished(ttlSecondsAfterFinished=0), 60, True, None),
        (finished(), 9e6, False, None),
        (finished(ttlSecondsAfterFinished=10).suspended(), 70, True, None),
        (suspended().suspended().spec(ttlSecondsAfterFinished=10), 9e6, False, None),
        (running().spec(ttlSecondsAfterFinished=0), 9e6, False, None),
    ],
    ids=["too early", "due", "long due", "at once", "never", "finished, then suspended", "suspended", "running"],
)
def test_the_time_to_live_of_what_is_finished(builder: JobBuilder, after: float, deletes: bool, wakes: Any) -> None:
    plan = builder.plan(after)
    assert plan.delete_job == deletes
    if wakes is not None:
        assert plan.requeue_at == wakes


def test_the_outcome_is_written_before_a_job_without_time_to_live_is_deleted() -> None:
    builder = (
        make_job().spec(ttlSecondsAfterFinished=0).running().head(exit_code=0, said=outcome("Succeeded")).worker(0)
    )
    plan = builder.plan()
    assert not plan.delete_job
    assert plan.status is not None
    assert plan.status.phase == "Succeeded"


@pytest.mark.parametrize("builder", [starting(), running(), stopping(), suspended(), backing_off(), finished()])
def test_a_job_that_is_being_deleted_is_left_to_the_garbage_collector(builder: JobBuilder) -> None:
    plan = builder.spec(ttlSecondsAfterFinished=0, activeDeadlineSeconds=1).job(deleting=True).plan(after=9e6)
    assert plan == Plan()


@pytest.mark.parametrize(("seconds", "ended"), [(209, False), (211, True)])
def test_a_head_that_does_not_stop_is_waited_for_thirty_seconds_longer_than_its_grace(
    seconds: int, ended: bool
) -> None:
    holds(stopping().suspended().live(), seconds, {"cause": "Suspended", "ended": ended})


SKEWS = (-600.0, -61.0, 0.0, 61.0, 600.0)
"""How far a clock is ahead of the API server's, whose time decisions are made by."""


@pytest.mark.parametrize("node", SKEWS)
@pytest.mark.parametrize(("after", "replaced"), [(109, False), (110, True)])
def test_a_worker_follows_its_head_for_ten_seconds_whatever_its_node_s_clock_says(
    node: float, after: float, replaced: bool
) -> None:
    ended: dict[str, Any] = {"exit_code": 69, "at": T0 + 100 + node, "ended_seen_at": T0 + 100}
    plan = make_job().running().head().worker(0, **ended).read("objects").plan(after)
    assert bool(plan.create) == replaced


def test_a_worker_without_a_time_of_its_end_is_replaced_too() -> None:
    plan = make_job().running().head().worker(0, exit_code=69, at=None, ended_seen_at=T0 + 100).plan(after=110)
    assert plan.create
    assert make_job().running().head().worker(0, exit_code=69, at=None).plan(after=110).create


@pytest.mark.parametrize("node", SKEWS)
def test_a_node_s_clock_changes_neither_the_record_of_an_end_nor_what_follows(node: float) -> None:
    ended: dict[str, Any] = {"exit_code": 137, "at": T0 + 100 + node, "ended_seen_at": T0 + 100}
    status = make_job().running().head(**ended).live().plan(after=101).status
    assert status is not None
    assert status.attempts[0].end_time == to_text(T0 + 100)
    assert status.active_seconds == 100
    waits = make_job().status(**dict(status)).live()
    assert not waits.plan(after=100.5).create
    assert waits.plan(after=102).create


def test_an_end_that_was_seen_much_later_is_when_the_node_says() -> None:
    ended: dict[str, Any] = {"exit_code": 137, "at": T0 + 100, "ended_seen_at": T0 + 7300}
    status = make_job().running().head(**ended).live().plan(after=7300).status
    assert status is not None
    assert status.active_seconds == 100, "no operator was there to see it"


@pytest.mark.parametrize("server", SKEWS)
@pytest.mark.parametrize(("after", "over"), [(209, False), (211, True)])
def test_a_head_that_does_not_stop_has_its_grace_whatever_the_clock_of_who_deleted_it_said(
    server: float, after: float, over: bool
) -> None:
    going: dict[str, Any] = {"deleting": T0 + 180 + server, "deleting_seen_at": T0 + 60, "grace": 120.0}
    stopping = make_job().running(cause="Suspended", message="why").suspended().head(**going).worker(0).live()
    plan = stopping.plan(after)
    status = plan.status or stopping.build()[0].status
    assert (status.attempts[0].end_time is not None) == over
    if not over:
        assert plan.requeue_at == T0 + 211


@pytest.mark.parametrize("server", SKEWS)
@pytest.mark.parametrize(("after", "replaced"), [(101, False), (160, False), (161, True)])
def test_a_worker_that_is_evicted_has_its_grace_before_its_node_counts_as_lost(
    server: float, after: float, replaced: bool
) -> None:
    going: dict[str, Any] = {"deleting": T0 + 130 + server, "deleting_seen_at": T0 + 100, "grace": 30.0}
    plan = make_job().running().head().worker(0, **going).live().plan(after)
    assert bool(plan.create) == replaced
