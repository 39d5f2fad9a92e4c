"""A spec is judged when its job begins, and never again: whatever version of the operator comes, the job goes on."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.status import TrainingJobStatus
from headway_operator.training.plan.status import condition_of
from sim.builders import T0, JobBuilder, deleted, make_job, names, outcome, said

RULED_OUT: list[tuple[str, dict[str, Any]]] = [
    ("a rule that was added", {"workers": {"replicas": 1, "processes": 1, "resources": {"gpu": 2}}}),
    ("a bound that was lowered", {"training": {"epochs": 3, "batchSize": 10**9}}),
    ("a name that was taken out", {"model": {"name": "none such"}}),
    ("a field of a newer version", {"workers": {"replicas": 1, "topology": "rack"}}),
    ("a template that is refused today", {"workers": {"replicas": 1, "template": {"spec": {"containers": 3}}}}),
]
NOT_UNDERSTOOD: dict[str, Any] = {"workers": 3}


def running() -> JobBuilder:
    """A job whose head and worker run."""
    return make_job().running().head().worker(0)


@pytest.mark.parametrize("spec", [row[1] for row in RULED_OUT], ids=[row[0] for row in RULED_OUT])
def test_a_job_that_has_begun_goes_on_whatever_this_version_says_of_its_spec(spec: dict[str, Any]) -> None:
    before = make_job().spec(**spec).plan()
    assert said(before, "Failed").reason == "InvalidSpec"
    assert not before.create
    plan = running().spec(**spec).plan()
    assert plan.status is not None
    assert plan.status.phase == "Running"
    assert plan.status.attempts[0].cause is None
    assert said(plan, "Accepted").status == "True"
    assert not plan.delete


@pytest.mark.parametrize("spec", [row[1] for row in RULED_OUT], ids=[row[0] for row in RULED_OUT])
def test_the_next_attempt_uses_what_was_judged(spec: dict[str, Any]) -> None:
    ended = make_job().attempt(1, running=T0 + 5, end=T0 + 10, cause="NodeLost").spec(**spec).live()
    plan = ended.plan()
    assert names(plan) == ["digits-11111-2-head", "digits-11111-2-worker-0-0"]


def test_an_attempt_that_has_objects_has_begun_though_no_status_says_so() -> None:
    plan = make_job().spec(model={"name": "none such"}).config(1).head(ready=False).worker(0, ready=False).plan()
    assert plan.status is not None
    assert (plan.status.phase, plan.status.attempt) == ("Starting", 1)


def test_the_pods_of_a_job_whose_spec_is_not_understood_are_left_alone() -> None:
    plan = make_job().running().head().worker(0, exit_code=137).spec(**NOT_UNDERSTOOD).plan()
    assert not plan.create
    assert not plan.delete
    accepted = said(plan, "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "NotUnderstood")
    assert accepted.message.startswith("spec.workers: ")
    assert plan.status is not None
    assert plan.status.phase == "Running"
    assert [notice.reason for notice in plan.notices] == ["NotUnderstood"]
    again = make_job().status(**dict(plan.status)).config(1).head().worker(0, exit_code=137)
    later = again.spec(**NOT_UNDERSTOOD).plan(after=90)
    assert (later.status, later.notices) == (None, ())


def test_a_job_whose_spec_is_not_understood_may_end_and_nothing_is_tried_again() -> None:
    won = make_job().running().spec(**NOT_UNDERSTOOD).head(exit_code=0, said=outcome("Succeeded")).plan()
    assert won.status is not None
    assert won.status.phase == "Succeeded"
    failed = make_job().running().spec(**NOT_UNDERSTOOD).head(gone=True).live().plan()
    assert failed.status is not None
    assert failed.status.phase == "Pending"
    assert condition_of(failed.status, "Failed") is None
    waits = make_job().status(**dict(failed.status)).spec(**NOT_UNDERSTOOD).live().plan(after=9000)
    assert not waits.create
    assert said(waits, "Accepted").reason == "NotUnderstood"
    assert waits.requeue_at is None, "nothing changes before another version comes"
    goes_on = make_job().status(**dict(failed.status)).live().plan(after=9000)
    assert goes_on.create
    assert said(goes_on, "Accepted").reason == "Valid"


def test_what_an_ended_attempt_left_goes_though_the_spec_is_not_understood() -> None:
    left = make_job().attempt(end=T0 + 50, cause="Suspended").config().worker(0).spec(**NOT_UNDERSTOOD)
    assert deleted(left.plan()) == ["digits-11111-1-worker-0-0"]


def rejected(**spec: Any) -> TrainingJobStatus:
    """The status of a job that was rejected."""
    status = make_job().spec(**spec).plan().status
    assert status is not None
    return status


@pytest.mark.parametrize("spec", [row[1] for row in RULED_OUT], ids=[row[0] for row in RULED_OUT])
def test_what_was_rejected_stays_finished_until_its_spec_is_edited(spec: dict[str, Any]) -> None:
    """Whatever another version of the operator, or the same one with other settings, would say of it."""
    status = rejected(**spec)
    assert not make_job().status(**dict(status)).plan(after=90).create
    assert make_job().status(**dict(status)).job(generation=2).plan(after=90).create


def test_a_rejected_job_that_has_begun_is_not_called_failed_though_no_status_says_that_it_began() -> None:
    rejected = make_job().spec(model={"name": "none such"}).plan().status
    assert rejected is not None
    edited = make_job().status(**dict(rejected)).job(generation=2).config(1)
    plan = edited.plan()
    assert plan.status is not None
    assert (plan.status.phase, plan.status.attempt) == ("Starting", 1)
    assert condition_of(plan.status, "Failed") is None
    assert plan.status.completion_time is None


REFUSED = "digits-11111-1-worker-0-0"


def templated() -> JobBuilder:
    """A new job with a template for its worker."""
    return make_job().spec(workers={"replicas": 1, "template": {"spec": {"nodeSelektor": {"a": "b"}}}})


def refused(kind: str = "Invalid") -> JobBuilder:
    """The same, and the API server does not take the worker."""
    return templated().refused(REFUSED, kind, "unknown field nodeSelektor", T0 + 70)


def test_templates_are_judged_by_the_api_server_before_anything_is_made() -> None:
    plan = templated().plan()
    assert [(pod.role, pod.index) for pod in plan.dry_run] == [("worker", 0)]
    assert len(plan.create) == 2
    assert make_job().plan().dry_run == (), "what Headway sets alone need not be judged"
    both = make_job().spec(head={"template": {"spec": {"hostname": "a"}}}, workers={"template": {"metadata": {}}})
    assert [pod.role for pod in both.plan().dry_run] == ["head", "worker"]


def test_a_template_that_the_api_server_refuses_is_an_invalid_spec_that_an_edit_corrects() -> None:
    plan = refused().plan()
    assert (plan.create, plan.ensure_objects) == ((), frozenset())
    assert plan.status is not None
    assert (plan.status.phase, plan.status.attempt) == ("Failed", 0)
    assert (said(plan, "Accepted").status, said(plan, "Failed").reason) == ("False", "InvalidSpec")
    assert "spec.workers.template: the API server refuses pod" in said(plan, "Failed").message
    assert "nodeSelektor" in said(plan, "Failed").message
    edited = make_job().status(**dict(plan.status)).job(generation=2).refused(REFUSED, "Invalid", generation=1)
    assert edited.plan().create


def test_a_template_that_is_denied_for_now_makes_nothing_and_is_judged_again() -> None:
    denied = refused("Denied").plan()
    assert (denied.create, denied.ensure_objects, denied.dry_run) == ((), frozenset(), ())
    assert denied.requeue_at == T0 + 70
    assert said(denied, "Scheduled").reason == "PodsRefused"
    assert denied.status is not None
    again = refused("Denied").status(**dict(denied.status)).plan(after=71)
    assert [pod.role for pod in again.dry_run] == ["worker"]
    assert len(again.create) == 2


def test_templates_of_a_job_that_has_run_are_judged_no_more() -> None:
    ran = make_job().spec(workers={"replicas": 1, "template": {"spec": {"hostname": "a"}}})
    second = ran.attempt(1, running=T0 + 5, end=T0 + 10, cause="NodeLost").live()
    assert second.plan().dry_run == ()
    lost = make_job().running().head().worker(0, exit_code=137)
    plan = lost.refused("digits-11111-1-worker-0-1", "Invalid", "a webhook's whim", T0 + 70).plan()
    assert plan.status is not None
    assert plan.status.attempts[0].cause is None
    assert said(plan, "Scheduled").reason == "PodsRefused"


def test_a_job_is_never_accepted_and_invalid() -> None:
    begun = make_job().attempt(1).condition("Accepted", True, "Valid").head(pending=True)
    stopped = begun.refused(REFUSED, "Invalid", "no such field").plan()
    assert stopped.status is not None
    ended = make_job().status(**dict(stopped.status)).config(1).head(exit_code=143, deleting=T0 + 90).live().plan()
    assert said(ended, "Failed").reason == "InvalidSpec"
    assert said(ended, "Accepted").status == "False"
