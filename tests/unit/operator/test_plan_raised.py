"""`spec.tuning.trials`, raised: a job that runs or has succeeded goes on with another attempt, and no other does."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import wire
from headway_api.status import Result
from headway_operator.engine.times import to_text
from headway_operator.training.plan.spec import resolve
from headway_operator.training.records import config_record, pod
from headway_operator.training.render.objects import AttemptOf, config_map
from sim.builders import DEFAULTS, T0, UID, JobBuilder, document, make_job, names, outcome, said
from unit.operator.bodies import pod_body

RESULT = Result(metrics={"test/accuracy": "0.9"}, artifacts=[])
LR = "training.optimizer.lr"


def tuning(trials: int | None = 12, **fields: Any) -> dict[str, Any]:
    section = {"parameters": {LR: {"uniform": {"min": 0.1, "max": 0.2}}}, **fields}
    return {"tuning": section if trials is None else section | {"trials": trials}}


GRID = tuning(2, parameters={LR: {"grid": [0.1, 0.2, 0.3]}}, search={"name": "grid"})
POPULATION = tuning(8, search={"name": "random"}, scheduler={"name": "pbt"})


def finished(*, told: int | None, phase: str = "Succeeded", cause: Any = None, **spec: Any) -> JobBuilder:
    """A job whose one attempt, which was told of so many trials, has ended."""
    kind = "Complete" if phase == "Succeeded" else "Failed"
    job = make_job().spec(**spec).attempt(1, running=T0 + 5, end=T0 + 50, cause=cause, trials=told)
    job.status(phase=phase, completion_time=to_text(T0 + 50), result=RESULT, observed_generation=1)
    return job.condition(kind, True, "Succeeded")


def test_a_job_that_has_succeeded_goes_on_when_its_trials_are_raised_and_its_result_stands_meanwhile() -> None:
    job = finished(told=12, **tuning(20))
    assert job.plan().read == {"live", "left"}, "nothing is begun on the word of a cache"
    plan = job.live().plan()
    assert names(plan) == ["digits-11111-2-head", "digits-11111-2-worker-0-0"]
    status = plan.status
    assert status is not None
    assert [(one.number, one.trials) for one in status.attempts] == [(1, 12), (2, 20)]
    assert (status.completion_time, status.result, status.phase) == (None, RESULT, "Starting")
    assert not [item for item in status.conditions if item.type in ("Complete", "Failed")]
    raised = next(notice for notice in plan.notices if notice.reason == "TrialsRaised")
    assert raised.message == (
        "spec.tuning.trials is 20 now, and attempt 1 was told of 12: the next attempt goes on with the same search"
    )
    assert not raised.warning
    assert status.failures is None, "nothing has failed"


def test_it_is_said_once_that_a_job_goes_on() -> None:
    first = finished(told=12, **tuning(20)).seen(read=frozenset()).plan()
    assert first.status is not None
    assert said(first, "Running").reason == "TrialsRaised"
    again = make_job().spec(**tuning(20)).live()
    again._status = first.status
    plan = again.plan()
    assert "TrialsRaised" not in [notice.reason for notice in plan.notices]
    assert names(plan)[0] == "digits-11111-2-head"


@pytest.mark.parametrize(
    ("told", "spec"),
    [
        (12, tuning(12)),
        (12, tuning(11)),
        (20, tuning(None)),
        (None, tuning(20)),
        (12, {}),
        (2, GRID),
        (2, POPULATION),
    ],
    ids=["the same", "fewer", "the default", "of an earlier version", "no tuning", "grid", "population"],
)
def test_a_finished_job_without_further_trials_stays_finished(told: int | None, spec: dict[str, Any]) -> None:
    plan = finished(told=told, **spec).live().plan()
    assert (plan.create, plan.status, plan.notices) == ((), None, ())


def test_a_job_that_has_failed_is_not_begun_again() -> None:
    plan = finished(told=12, phase="Failed", cause="UserError", **tuning(20)).live().plan()
    assert (plan.create, plan.status) == ((), None)


def test_a_job_that_is_suspended_goes_on_when_it_is_resumed() -> None:
    plan = finished(told=12, **tuning(20)).suspended().live().plan()
    assert not plan.create
    assert plan.status is not None
    assert (plan.status.phase, plan.status.result) == ("Suspended", RESULT)


def test_a_job_that_is_suspended_before_its_status_tells_that_it_goes_on_has_not_succeeded() -> None:
    begun = finished(told=12, **tuning(20)).config(2).suspended().live()
    status = begun.plan().status
    assert status is not None
    assert [(one.number, one.cause) for one in status.attempts] == [(1, None), (2, "Suspended")]
    assert status.phase == "Pending"
    then = make_job().spec(**tuning(20)).suspended().live().status(**dict(status)).plan().status
    assert then is not None
    assert then.phase == "Suspended"
    resumed = make_job().spec(**tuning(20)).live().status(**dict(then)).plan()
    assert names(resumed)[0] == "digits-11111-3-head"


def test_the_time_to_live_counts_from_the_new_end() -> None:
    job = finished(told=12, **tuning(20)).spec(ttlSecondsAfterFinished=5).live()
    assert not job.plan(after=3600).delete_job
    assert finished(told=20, **tuning(20)).spec(ttlSecondsAfterFinished=5).live().plan(after=3600).delete_job


def of_config_map(**spec: Any) -> dict[str, Any]:
    """The ConfigMap of the first attempt of a job with this spec."""
    resolved = resolve(document(**spec), DEFAULTS).spec
    assert resolved is not None
    return config_map(AttemptOf("default", "digits", UID, 1, 1, resolved))


def running(*, told: int | None = 12, **spec: Any) -> JobBuilder:
    return make_job().spec(**spec).running(trials=told).head().worker(0)


def test_an_attempt_that_runs_goes_on_to_its_end_when_trials_are_raised() -> None:
    plan = running(**tuning(20)).plan()
    assert (plan.delete, plan.create) == ((), ())
    assert plan.status is None or plan.status.attempts[0].cause is None


@pytest.mark.parametrize("cause", [None, "GateFailed"])
def test_the_end_of_an_attempt_that_was_told_of_fewer_trials_is_not_the_jobs(cause: str | None) -> None:
    word = outcome("Failed" if cause else "Succeeded", cause=cause, result=RESULT.model_dump(by_alias=True))
    job = make_job().spec(**tuning(20)).running(trials=12).head(exit_code=1 if cause else 0, said=word)
    plan = job.worker(0).plan(after=61)
    status = plan.status
    assert status is not None
    assert (status.phase, status.completion_time, status.result) == ("Pending", None, RESULT)
    assert (status.attempts[0].cause, status.failures) == (cause, None)
    assert said(plan, "Running").reason == "TrialsRaised"
    assert [notice.reason for notice in plan.notices] == ["TrialsRaised"]
    assert not [item for item in status.conditions if item.type in ("Complete", "Failed")]


@pytest.mark.parametrize("cause", ["UserError", "Internal"])
def test_an_attempt_that_fails_is_what_it_is_for_any_job(cause: str) -> None:
    word = outcome("Failed", cause=cause, message="no trial has a value")
    job = make_job().spec(**tuning(20)).running(trials=12).head(exit_code=1, said=word).worker(0)
    status = job.plan(after=61).status
    assert status is not None
    assert status.phase == ("Failed" if cause == "UserError" else "Pending")


def test_an_attempt_that_the_status_does_not_tell_of_yet_was_told_what_its_config_map_says() -> None:
    body = of_config_map(**tuning(12))
    assert body["metadata"]["annotations"][wire.ANNOTATION_TRIALS] == "12"
    body["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    record = config_record(body, None, T0)
    assert record is not None
    job = make_job().spec(**tuning(20)).head().worker(0).seen()
    job._configs = [record.for_plan()]
    status = job.plan().status
    assert status is not None
    assert status.attempts[0].trials == 12, "and it goes on when it has run these"
    status = make_job().spec(**tuning(20)).head(told_trials=12).worker(0).plan().status
    assert status is not None
    assert status.attempts[0].trials == 12, "somebody has deleted the ConfigMap, and the pods say the same"


@pytest.mark.parametrize("spec", [{}, GRID, POPULATION], ids=["no tuning", "grid", "population"])
def test_an_attempt_whose_trials_cannot_be_raised_says_no_number(spec: dict[str, Any]) -> None:
    assert wire.ANNOTATION_TRIALS not in of_config_map(**spec)["metadata"]["annotations"]
    job = make_job().spec(**spec).live()
    status = job.plan().status
    assert status is not None
    assert [one.trials for one in status.attempts] == [None]


@pytest.mark.parametrize("text", ["", "-1", "1e9", "99999999", "12 ", "twelve"])
def test_what_a_tenant_writes_into_the_annotation_is_no_number_of_trials(text: str) -> None:
    body = of_config_map(**tuning(12))
    body["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    body["metadata"]["annotations"][wire.ANNOTATION_TRIALS] = text
    record = config_record(body, None, T0)
    assert record is not None
    assert record.trials == 0
    seen = pod(
        pod_body() | {"metadata": pod_body()["metadata"] | {"annotations": body["metadata"]["annotations"]}}, None, T0
    )
    assert seen is not None
    assert (seen.told_workers, seen.told_trials) == (1, 0)
