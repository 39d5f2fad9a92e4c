"""What keeps an attempt going: lost workers are replaced, within their budgets; progress reaches the status."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import wire
from headway_api.status import BestTrial, CheckpointStatus, Progress, TuningStatus
from headway_operator.engine.times import to_text
from sim.builders import T0, UID, deleted, make_job, names, said

LOSSES: list[tuple[str, dict[str, Any], str]] = [
    ("killed", {"exit_code": 137}, "internal"),
    ("out of memory", {"exit_code": 137, "exit_reason": "OOMKilled"}, "out_of_memory"),
    ("evicted", {"phase": "Failed", "ready": False, "reason": "Evicted"}, "preempted"),
    ("gone", {"gone": True}, "node_lost"),
    ("deleted by hand", {"gone": True, "deleting": T0 + 30}, "preempted"),
    ("node does not answer", {"deleting": T0 + 20, "ready": False}, "node_lost"),
]


@pytest.mark.parametrize(("worker", "kind"), [row[1:] for row in LOSSES], ids=[row[0] for row in LOSSES])
def test_a_lost_worker_is_replaced_at_once_and_counted_when_the_new_one_is_there(
    worker: dict[str, Any], kind: str
) -> None:
    lost = make_job().workers(2).running().head().worker(0).worker(1, **worker)
    plan = lost.plan(after=60)
    assert names(plan) == ["digits-11111-1-worker-1-1"]
    assert not plan.ensure_objects
    assert plan.requeue_at == T0 + 60
    plan = lost.worker(1, number=1, pending=True).plan(after=61)
    assert plan.status is not None
    assert plan.status.failures is not None
    assert getattr(plan.status.failures, kind) == 1
    assert plan.status.attempts[0].workers_replaced == 1
    assert [notice.reason for notice in plan.notices] == ["WorkerReplaced"]
    assert not plan.delete, "the lost one goes when its loss is recorded"


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        ({"exit_code": 137, "exit_reason": "OOMKilled"}, "raise spec.workers.resources.memory"),
        ({"exit_code": 1, "said": "ImportError: no numpy"}, "exited with code 1: ImportError: no numpy"),
        ({"exit_code": 139}, "SIGSEGV, most likely in native code"),
        ({"exit_code": 1}, "the head's log has what it printed"),
        ({"exit_code": 128, "exit_reason": "StartError", "said": "x"}, "build it on Headway's trainer image"),
        ({"gone": True}, "someone deleted it by force"),
        ({"gone": True, "deleting": T0 + 30}, "find out by whom"),
        ({"deleting": T0 + 20, "ready": False}, "repair or delete the node"),
        ({"exit_code": 143, "disruption": "PreemptionByScheduler"}, "priorityClassName"),
    ],
)
def test_the_loss_of_a_worker_says_how_to_mend_it(worker: dict[str, Any], words: str) -> None:
    lost = make_job().running().head().worker(0, **worker).worker(0, number=1, pending=True)
    assert words in lost.plan(after=61).notices[0].message


def test_the_pod_of_a_replaced_worker_goes_when_that_is_recorded() -> None:
    plan = make_job().running(workers_replaced=1).head().worker(0, exit_code=1).worker(0, number=1).plan()
    assert deleted(plan) == ["digits-11111-1-worker-0-0"]
    plan = make_job().running(workers_replaced=1).head().worker(0, gone=True).worker(0, number=1).plan()
    assert [pod.name for pod in plan.forget] == ["digits-11111-1-worker-0-0"]


def test_numbers_of_replacements_never_return() -> None:
    builder = make_job().workers(3).running(workers_replaced=4).head()
    plan = builder.worker(0, exit_code=1).worker(1).worker(2, number=4, exit_code=1).plan()
    assert names(plan) == ["digits-11111-1-worker-0-5", "digits-11111-1-worker-2-6"]


def test_a_worker_that_ends_in_order_is_waited_for_as_its_head_may_have_ended() -> None:
    builder = make_job().running().head().worker(0, exit_code=0, at=T0 + 60)
    plan = builder.plan(after=61)
    assert not plan.create
    assert plan.requeue_at == T0 + 70
    assert names(builder.plan(after=70)) == ["digits-11111-1-worker-0-1"]


def test_a_terminating_worker_is_replaced_only_when_it_has_ended() -> None:
    assert not make_job().running().head().worker(0, deleting=T0 + 90, ready=False).plan(after=70).create


def test_workers_without_trace_are_not_looked_for_again_and_again_while_their_head_is_being_deleted() -> None:
    going = make_job().workers(2).running().head(deleting=T0 + 160).worker(0)
    assert going.plan().read == frozenset()
    assert make_job().workers(2).running().head().worker(0).plan().read == {"live", "objects"}


def test_losing_more_workers_than_the_budget_stops_the_attempt() -> None:
    builder = make_job().spec(retry={"internal": 1}).failures(internal=1)
    plan = builder.running(workers_replaced=1).head().worker(0, number=1, exit_code=137).plan()
    assert not plan.create
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "Internal"
    assert plan.status.attempts[0].end_time is None
    stopped = make_job().spec(retry={"internal": 1}).failures(internal=1)
    plan = stopped.running(cause="Internal", message="worker lost").live().plan()
    assert plan.status is not None
    assert plan.status.phase == "Failed"


def test_a_refused_replacement_costs_nothing_and_is_asked_for_later() -> None:
    builder = make_job().running().head().worker(0, exit_code=1)
    plan = builder.refused("digits-11111-1-worker-0-1", retry_at=T0 + 70).plan(after=65)
    assert not plan.create
    assert plan.requeue_at is not None
    assert plan.status is None or plan.status.failures is None


def test_two_pods_in_one_place_leave_the_one_that_has_come_further() -> None:
    plan = make_job().running(workers_replaced=1).head().worker(0).worker(0, number=1, pending=True).plan()
    assert deleted(plan) == ["digits-11111-1-worker-0-1"]


def test_a_changed_number_of_workers_counts_from_the_next_attempt_on() -> None:
    running = make_job().workers(2).running().head().worker(0).worker(1)
    assert not running.workers(4).plan().create
    plan = make_job().workers(2).attempt(1, end=T0 + 1, cause="NodeLost").workers(4).live().plan()
    assert plan.workers == 4
    assert len(plan.create) == 5


def progress(**fields: Any) -> str:
    return wire.ProgressFile.model_validate({"uid": UID, "attempt": 1, **fields}).model_dump_json(by_alias=True)


def test_progress_reaches_the_status() -> None:
    text = progress(
        progress={"percent": 38, "step": 7410},
        checkpoint={"uri": "s3://x", "step": 7200, "time": to_text(T0)},
        resumedFromStep=7000,
        stepsLost=12,
    )
    status = make_job().running().config(1, text).head().worker(0).plan().status
    assert status is not None
    assert status.progress == Progress(percent=38, step=7410)
    assert status.checkpoint == CheckpointStatus(uri="s3://x", step=7200, time=to_text(T0))
    assert (status.attempts[0].resumed_from_step, status.attempts[0].steps_lost) == (7000, 12)


def trials(best: int, value: str = "0.5", **counts: int) -> str:
    """What a driver says of trials."""
    told = {"trial": best, "value": value, "parameters": {"training.optimizer.lr": "0.01", "training.epochs": "5"}}
    return progress(tuning={"metric": "validation/f1", "planned": 20, "best": told, **counts})


def test_trials_reach_the_status_and_a_new_best_one_is_told_with_it() -> None:
    builder = make_job().running().head().worker(0)
    first = builder.config(1, trials(7, completed=3)).plan()
    assert first.status is not None
    assert first.status.tuning is not None
    assert (first.status.tuning.completed, first.status.summary.trials) == (3, "3/20")
    said = {notice.reason: notice.message for notice in first.notices if not notice.warning}
    given = "training.optimizer.lr 0.01, training.epochs 5"
    assert said["NewBest"] == f"trial 7 is the best so far: validation/f1 0.5 with {given}"
    known = make_job().running().head().worker(0).status(tuning=first.status.tuning)
    same = known.config(1, trials(7, value="0.6", completed=4)).plan()
    assert same.status is not None
    assert "NewBest" not in [notice.reason for notice in same.notices]
    better = known.config(1, trials(9, completed=1)).plan()
    assert better.status is not None
    assert better.status.tuning is not None
    assert better.status.tuning.completed == 3, "a trial that has ended once has ended"
    assert "NewBest" in [notice.reason for notice in better.notices]


def test_a_new_best_trial_is_told_no_more_often_than_the_status_is_written() -> None:
    builder = make_job().running().head().worker(0)
    steady = builder.plan().status
    assert steady is not None
    builder.status(**dict(steady)).config(1, trials(7))
    waiting = builder.seen(last_write=T0 + 59).plan(after=60)
    assert (waiting.status, waiting.notices) == (None, ())
    written = builder.seen(last_write=T0 + 58).plan(after=60)
    assert [notice.reason for notice in written.notices] == ["NewBest"]


def test_what_is_known_of_trials_stays_where_a_driver_has_not_said_anything_of_them_yet() -> None:
    known = TuningStatus(planned=20, completed=5, best=BestTrial(trial=3, value="0.7"))
    status = make_job().running().head().worker(0).status(tuning=known).config(1, progress()).plan().status
    assert status is not None
    assert status.tuning == known


OTHER_UID = UID.replace("1", "2")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        progress(progress={"step": 3}, attempt=2),
        progress(progress={"step": 3}, uid=OTHER_UID),
        progress(progress={"step": 3}, uid=""),
        progress(progress={"step": 3}, outcome={"uid": OTHER_UID, "attempt": 1, "outcome": "Succeeded"}),
        progress(progress={"step": 3}).replace("3", '"many"'),
    ],
)
def test_progress_that_is_none_of_this_attempt_changes_nothing(text: str) -> None:
    status = make_job().running().config(1, text).head().worker(0).plan().status
    assert status is not None
    assert status.progress is None


def test_a_head_that_has_told_its_outcome_and_is_not_seen_is_looked_for_before_it_counts_as_gone() -> None:
    # Its driver may be on its last steps, unseen by an operator that began after somebody had taken its labels.
    told = progress(progress={"step": 3}, outcome={"uid": UID, "attempt": 1, "outcome": "Succeeded"})
    builder = make_job().running().config(1, told).worker(0)
    unsure = builder.plan()
    assert "live" in unsure.read
    sure = builder.live().plan().status
    assert sure is not None
    assert sure.phase == "Succeeded"


def test_progress_that_comes_fast_is_written_at_its_interval() -> None:
    builder = make_job().running().head().worker(0)
    steady = builder.plan().status
    assert steady is not None
    builder.status(**dict(steady)).config(1, progress(progress={"step": 5}))
    plan = builder.seen(last_write=T0 + 59).plan(after=60)
    assert plan.status is None
    assert plan.requeue_at == T0 + 61
    plan = builder.seen(last_write=T0 + 58).plan(after=60)
    assert plan.status is not None


def test_an_end_is_written_at_once_whenever_the_last_write_was() -> None:
    plan = make_job().running().head(exit_code=1).worker(0).seen(last_write=T0 + 60).plan(after=60)
    assert plan.status is not None


def test_nothing_new_writes_nothing() -> None:
    builder = make_job().running().head().worker(0)
    first = builder.plan().status
    assert first is not None
    plan = builder.status(**dict(first)).plan(after=90)
    assert (plan.status, plan.create, plan.delete, plan.notices) == (None, (), (), ())


def test_a_lost_worker_shows_in_the_conditions_but_the_job_still_runs() -> None:
    plan = make_job().workers(2).running().head().worker(0).worker(1, number=1, pending=True).plan()
    assert plan.status is not None
    assert plan.status.phase == "Running"
    assert said(plan, "Running").reason == "WorkersMissing"
