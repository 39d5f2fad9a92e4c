"""Attempts that 0.1.0 has begun: their objects are named without the uid, and their drivers' words hold none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headway_api.status import Failures
from headway_operator.training.plan.job import plan as decide
from headway_operator.training.plan.model import Job, Observed, Plan
from sim.builders import T0, JobBuilder, deleted, head_of, make_job, outcome, said


def as_named_by_0_1_0(builder: JobBuilder) -> tuple[Job, Observed]:
    """The same job, as 0.1.0 has left it."""
    job, observed = builder.build()
    pods = tuple(replace(pod, name=pod.name.replace("-11111-", "-")) for pod in observed.pods)
    configs = tuple(replace(config, name=config.name.replace("-11111-", "-")) for config in observed.configs)
    attempts = [entry.model_copy(update={"name": None}) for entry in job.status.attempts]
    status = job.status.model_copy(update={"attempts": attempts})
    return replace(job, status=status), replace(observed, pods=pods, configs=configs)


def after_upgrade(builder: JobBuilder, after: float = 60.0) -> Plan:
    """What is decided about it."""
    job, observed = as_named_by_0_1_0(builder)
    return decide(job, observed, T0 + after)


def test_a_running_attempt_is_stopped_in_order() -> None:
    first = after_upgrade(make_job().running().head().worker(0))
    assert first.status is not None
    assert (first.status.attempts[0].cause, first.status.attempts[0].end_time) == ("Upgraded", None)
    assert not first.create
    stopping = make_job().running(cause="Upgraded").head().worker(0)
    assert deleted(after_upgrade(stopping)) == ["digits-1-head"], "the workers stay for the checkpoint"


@pytest.mark.parametrize(
    "end",
    [
        {"exit_code": 143, "said": outcome("Interrupted", uid="")},
        {"exit_code": 143},
        {"exit_code": 137},
        {"gone": True},
    ],
)
def test_its_end_costs_nothing_and_the_next_attempt_follows_at_once(end: dict[str, Any]) -> None:
    stopping = make_job().running(cause="Upgraded").head(**end).worker(0).live()
    ended = after_upgrade(stopping)
    assert ended.status is not None
    assert (ended.status.phase, ended.status.attempts[0].cause) == ("Pending", "Upgraded")
    assert (ended.status.failures or Failures()) == Failures()
    assert said(ended, "Running").reason == "Upgraded"
    assert [notice.reason for notice in ended.notices] == ["Upgraded"]
    over = make_job().attempt(1, end=T0 + 60, cause="Upgraded").without_config().live()
    begun = after_upgrade(over, after=61)
    assert [new.role for new in begun.create] == ["head", "worker"]
    assert begun.status is not None
    assert begun.status.attempts[1].name == "digits-11111-2"


@pytest.mark.parametrize("cause", [None, "Upgraded"])
def test_a_driver_that_had_succeeded_has_succeeded(cause: Any) -> None:
    over = make_job().running(cause=cause).head(exit_code=0, said=outcome("Succeeded", uid="")).worker(0)
    plan = after_upgrade(over)
    assert plan.status is not None
    assert plan.status.phase == "Succeeded"


def test_what_stands_in_its_config_map_may_be_an_earlier_job_s_and_is_not_believed() -> None:
    word = f'{{"attempt": 1, "progress": {{"step": 7}}, "outcome": {outcome("Succeeded", uid="")}}}'
    plan = after_upgrade(make_job().running().config(1, word).head().worker(0))
    assert plan.status is not None
    assert plan.status.progress is None
    assert plan.status.attempts[0].cause == "Upgraded"


def test_an_attempt_that_the_status_does_not_tell_of_is_known_by_its_objects_names() -> None:
    for builder in (make_job().config(1).live(), make_job().head(pending=True)):
        plan = after_upgrade(builder)
        assert plan.status is not None
        assert (plan.status.attempts[0].name, plan.status.attempts[0].cause) == (None, "Upgraded")
        assert not plan.create
        named = builder.plan()
        assert named.status is not None
        assert named.status.attempts[0].name == "digits-11111-1"


def test_a_suspended_job_is_suspended_whoever_has_begun_its_attempt() -> None:
    plan = after_upgrade(make_job().suspended().running().head().worker(0))
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "Suspended"


def test_a_pod_that_is_not_named_as_its_attempt_is_one_too_many() -> None:
    job, observed = make_job().running().head().worker(0).build()
    stray = replace(observed.pods[0], name="digits-1-head", uid="stray", ready=False)
    plan = decide(job, replace(observed, pods=(stray, *observed.pods)), T0 + 60)
    assert [pod.name for pod in plan.delete] == ["digits-1-head"]
    assert plan.status is not None
    assert plan.status.phase == "Running"
    assert head_of() in {pod.name for pod in observed.pods}
