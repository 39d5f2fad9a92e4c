"""What the API server refuses: a status with what the driver said, objects that somebody deleted meanwhile."""

from __future__ import annotations

from headway_api import wire
from headway_api.status import Result
from headway_operator.training.plan.status import condition_of, essential
from sim.builders import UID, JobBuilder, make_job, names, outcome, said

KINDS = {"ConfigMap", "Secret", "Service", "NetworkPolicy"}


def speaking() -> JobBuilder:
    """A running job whose driver has said how far it is."""
    text = wire.ProgressFile.model_validate(
        {
            "uid": UID,
            "attempt": 1,
            "progress": {"step": 7},
            "resumedFromStep": 3,
            "stepsLost": 1,
            "tuning": {"running": 1},
        }
    ).model_dump_json(by_alias=True)
    return make_job().running().config(1, text).head().worker(0)


def test_a_status_that_was_refused_is_written_without_what_the_driver_said() -> None:
    plan = speaking().seen(status_refused=True).plan()
    assert plan.status is not None
    assert plan.status.progress is None
    assert plan.status.attempts[0].resumed_from_step is None
    assert (plan.status.phase, plan.status.attempt) == ("Running", 1)
    condition = said(plan, "Reconciled")
    assert (condition.status, condition.reason) == ("False", "StatusRefused")


def test_a_status_that_was_not_refused_says_nothing_of_that_any_more() -> None:
    refused = speaking().seen(status_refused=True).plan().status
    assert refused is not None
    plan = speaking().status(**dict(refused)).plan()
    assert plan.status is not None
    assert plan.status.progress is not None
    assert condition_of(plan.status, "Reconciled") is None


def test_an_error_of_the_operator_is_forgotten_when_a_plan_is_made_again() -> None:
    plan = speaking().condition("Reconciled", False, "OperatorError").plan()
    assert plan.status is not None
    assert condition_of(plan.status, "Reconciled") is None


def test_a_finished_job_goes_on_saying_that_its_result_was_refused() -> None:
    word = outcome("Succeeded", result={"metrics": {"test/accuracy": "0.98"}})
    ended = make_job().running().head(exit_code=0, said=word).worker(0).seen(status_refused=True).plan().status
    assert ended is not None
    assert (ended.phase, ended.result) == ("Succeeded", None)
    later = make_job().status(**dict(ended)).plan()
    assert later.status is None


def test_the_essential_part_of_a_status_has_all_that_decisions_rest_upon() -> None:
    status = speaking().failures(node_lost=2).status(result=Result(metrics={"test/f1": "1"})).plan().status
    assert status is not None
    kept = essential(status)
    left_out = {"progress", "checkpoint", "tuning", "result", "attempts", "summary"}
    assert kept.model_dump(exclude=left_out) == status.model_dump(exclude=left_out)
    assert [entry.start_time for entry in kept.attempts] == [entry.start_time for entry in status.attempts]
    assert (kept.tuning, kept.result) == (None, None)
    assert essential(kept) == kept


def joining() -> JobBuilder:
    """A running job that has to replace a worker."""
    return make_job().running().head().worker(0, exit_code=137)


def test_what_a_joining_worker_needs_is_looked_for_before_it_is_made() -> None:
    assert joining().plan().read == {"objects"}
    plan = joining().read("objects").plan()
    assert plan.read == frozenset()
    assert names(plan) == ["digits-11111-1-worker-0-1"]
    assert plan.ensure_objects == frozenset()


def test_what_somebody_deleted_is_made_again_for_a_joining_worker() -> None:
    missing = frozenset({"Service", "NetworkPolicy"})
    plan = joining().read("objects").seen(missing=missing).plan()
    assert plan.ensure_objects == missing
    bare = joining().without_config().read("objects").seen(missing=missing).plan()
    assert bare.ensure_objects == missing | {"ConfigMap"}


def test_a_token_that_somebody_deleted_ends_the_attempt_only_when_a_worker_has_to_join() -> None:
    gone = frozenset({"Secret"})
    stopped = joining().read("objects").seen(missing=gone).plan()
    assert not stopped.create
    assert stopped.status is not None
    assert stopped.status.attempts[0].cause == "Internal"
    assert "deleted the Secret digits-11111-1" in (stopped.status.attempts[0].message or "")
    trains = make_job().running().without_config().head().worker(0).read("objects").seen(missing=gone).plan()
    assert trains.ensure_objects == {"ConfigMap"}
    assert trains.status is not None
    assert trains.status.attempts[0].cause is None


def test_nothing_is_looked_for_while_nothing_has_to_be_made() -> None:
    assert make_job().running().head().worker(0).plan().read == frozenset()
    waits = joining().refused("digits-11111-1-worker-0-1", retry_at=1_900_000_000.0).plan()
    assert "objects" not in waits.read


def test_an_attempt_that_has_not_run_makes_sure_of_all_its_objects() -> None:
    assert make_job().plan().ensure_objects == KINDS
    grouped = make_job().seen(pod_groups=True).plan()
    assert grouped.ensure_objects == KINDS | {"PodGroup"}
    assert make_job().attempt(1).without_config().head().worker(0, ready=False).plan().ensure_objects == KINDS
    assert make_job().attempt(1).head().worker(0).plan().ensure_objects == frozenset()
