"""Pods of an attempt that failed stay for a look at them, if the user wants that."""

from __future__ import annotations

from typing import Any

import pytest

from sim.builders import T0, JobBuilder, deleted, make_job, names, said

HEAD, WORKER = "digits-11111-1-head", "digits-11111-1-worker-0-0"


def failed(phase: Any = "Pending", cause: Any = "Internal", **fields: Any) -> JobBuilder:
    """A job whose first attempt has just failed; its head has ended, its worker follows."""
    builder = make_job().spec(retry={"keepFailedPods": "Last"})
    builder.attempt(1, running=T0 + 5, end=T0 + 60, cause=cause, **fields).status(phase=phase)
    return builder.head(exit_code=70)


def test_by_default_all_pods_go_when_their_attempt_has_ended() -> None:
    plan = failed().worker(0).spec(retry={}).plan(after=60)
    assert deleted(plan) == [HEAD, WORKER]


def test_pods_of_a_failed_attempt_that_have_ended_stay_and_the_next_attempt_begins_beside_them() -> None:
    builder = failed().worker(0, exit_code=1).live()
    plan = builder.plan(after=70)
    assert deleted(plan) == []
    assert names(plan) == ["digits-11111-2-head", "digits-11111-2-worker-0-0"]
    second = failed().worker(0, exit_code=1).running(2).head(2).worker(0, 2)
    assert deleted(second.plan(after=90)) == []


def test_a_pod_that_runs_is_given_some_seconds_to_end_by_itself() -> None:
    early = failed().worker(0).live().plan(after=70)
    assert not early.create, "one attempt at a time"
    assert deleted(early) == []
    assert early.requeue_at == T0 + 75
    late = failed().worker(0).live().plan(after=75)
    assert deleted(late) == [WORKER]
    assert not late.create


def test_the_attempt_s_other_objects_go_all_the_same() -> None:
    assert failed().worker(0, exit_code=1).config(1).plan(after=62).delete_objects == (1,)


def test_a_job_that_has_failed_for_good_keeps_them_until_it_is_deleted() -> None:
    done = failed("Failed").worker(0, exit_code=1)
    assert deleted(done.plan(after=9e6)) == []
    assert (
        done.spec(ttlSecondsAfterFinished=10).status(completion_time="2027-01-15T08:01:00Z").plan(after=90).delete_job
    )


def test_only_those_of_the_last_failed_attempt_stay() -> None:
    builder = failed().worker(0, exit_code=1)
    builder.attempt(2, running=T0 + 90, end=T0 + 99, cause="OutOfMemory").head(2, exit_code=137)
    assert deleted(builder.plan(after=100)) == [HEAD, WORKER]


@pytest.mark.parametrize("cause", ["Suspended", "Released", "Upgraded"])
def test_pods_of_an_attempt_that_did_not_fail_go(cause: Any) -> None:
    assert deleted(failed(cause=cause).worker(0, exit_code=0).plan(after=62)) == [HEAD, WORKER]


def test_a_job_that_succeeds_or_is_suspended_keeps_none() -> None:
    won = failed("Succeeded").attempt(2, running=T0 + 90, end=T0 + 99).status(phase="Succeeded")
    assert deleted(won.plan(after=100)) == [HEAD]
    rests = failed().worker(0, exit_code=1).suspended()
    assert deleted(rests.plan(after=62)) == [HEAD, WORKER]
    empty = make_job().spec(retry={"keepFailedPods": "Last"}, suspend=True)
    empty.attempt(1, running=T0 + 5, end=T0 + 60, cause="Internal").status(phase="Pending")
    assert said(empty.live().plan(after=62), "Suspended").status == "True"


def test_a_pod_that_is_being_deleted_is_waited_for() -> None:
    going = failed().worker(0, deleting=T0 + 90).live()
    assert not going.plan(after=70).create
