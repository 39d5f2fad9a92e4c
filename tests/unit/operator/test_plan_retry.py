"""Each cause has its own count, its own budget and its own delay."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic.alias_generators import to_camel

from harness import ROOT
from headway_api.job import Retry
from headway_api.status import Attempt, Cause, Failures, Progress, TrainingJobStatus
from headway_operator.engine.times import to_text
from headway_operator.policies import retry
from headway_operator.policies.retry import Account
from sim.builders import T0, make_job, outcome, said

TRIED_AGAIN: list[Cause] = list(retry.POLICIES)
NEVER: set[str] = {"GateFailed", "DeadlineExceeded", "InvalidSpec"}
SHARED: set[Any] = {"Preempted", "NodeLost", "Hang", "StorageError", "ImagePull", "Unschedulable"}
"""Causes that meet many jobs at once: a zone, a storage, a registry, a cluster without room."""
FREE: set[str] = {"Suspended", "Released", "Upgraded"}


def ended(cause: Cause, number: int = 1, ran: float | None = None) -> Attempt:
    running = None if ran is None else to_text(T0)
    return Attempt(
        number=number, start_time=to_text(T0), running_time=running, end_time=to_text(T0 + (ran or 5)), cause=cause
    )


def test_each_cause_is_tried_again_or_final_or_free() -> None:
    assert set(get_args(Cause)) == set(TRIED_AGAIN) | NEVER | FREE


def test_each_budget_has_a_counter_and_a_field_of_its_own() -> None:
    names = [policy.name for policy in retry.POLICIES.values()]
    assert sorted(names) == sorted(Failures.model_fields)
    assert {*names, "infrastructure", "forget_after_seconds", "keep_failed_pods"} == set(Retry.model_fields)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("cause", TRIED_AGAIN)
def test_a_failure_is_counted_under_its_own_cause_and_under_no_other(cause: Cause) -> None:
    failures = retry.charged(Failures(), cause)
    counts = {name: getattr(failures, name) for name in Failures.model_fields}
    assert {name: count for name, count in counts.items() if count} == {retry.POLICIES[cause].name: 1}


@pytest.mark.parametrize("cause", [*sorted(NEVER), *sorted(FREE), None])
def test_what_is_not_tried_again_is_not_counted(cause: Any) -> None:
    assert retry.charged(Failures(), cause) == Failures()
    assert cause is None or not retry.affordable(Failures(), cause, Retry(), 1)


BUDGETS: list[tuple[Cause, dict[str, int], int, int]] = [
    ("NodeLost", {}, 1, 6),
    ("NodeLost", {}, 64, 69),
    ("NodeLost", {}, 10_000, 105),
    ("NodeLost", {"infrastructure": 2}, 4, 6),
    ("NodeLost", {"infrastructure": 0}, 4, 0),
    ("NodeLost", {"infrastructure": 2, "nodeLost": 7}, 64, 7),
    ("NodeLost", {"infrastructure": 2, "nodeLost": 0}, 64, 0),
    ("NodeLost", {"hang": 0}, 1, 6),
    ("Hang", {"hang": 1}, 64, 1),
    ("ImagePull", {"imagePull": 1}, 1, 1),
    ("OutOfMemory", {"outOfMemory": 1}, 1, 1),
    ("OutOfDisk", {}, 64, 5),
    ("Unschedulable", {"unschedulable": 100}, 1, 100),
    ("StorageError", {"storageError": 3}, 1, 3),
    ("Internal", {"internal": 1}, 1, 1),
    ("Internal", {}, 64, 5),
    ("Preempted", {}, 1, 21),
    ("Preempted", {}, 64, 84),
    ("Preempted", {"preempted": 20}, 64, 20),
    ("Preempted", {"infrastructure": 0}, 1, 21),
    ("UserError", {}, 64, 0),
    ("UserError", {"infrastructure": 9}, 1, 0),
    ("UserError", {"userError": 2}, 1, 2),
]


@pytest.mark.parametrize(("cause", "budget", "workers", "number"), BUDGETS)
def test_a_budget_covers_as_many_failures_as_it_says(
    cause: Cause, budget: dict[str, int], workers: int, number: int
) -> None:
    name = retry.POLICIES[cause].name
    allowed = Retry.model_validate(budget)
    assert retry.affordable(Failures(**{name: number}), cause, allowed, workers)
    assert not retry.affordable(Failures(**{name: number + 1}), cause, allowed, workers)


@pytest.mark.parametrize(
    ("cause", "budget", "words"),
    [
        ("UserError", {}, "not tried again, as retry.userError is 0"),
        ("NodeLost", {"infrastructure": 2}, "retry.infrastructure allows 6 with so many workers"),
        ("NodeLost", {"nodeLost": 2}, "retry.nodeLost allows 2"),
        ("Internal", {}, "failures of this cause without 3600 s of steady progress between them: 1"),
        ("OutOfMemory", {"outOfMemory": 2}, "retry.outOfMemory allows 2"),
        ("DeadlineExceeded", {}, ""),
        ("GateFailed", {"userError": 5, "infrastructure": 5}, ""),
    ],
)
def test_a_spent_budget_is_named_by_the_field_that_would_change_it(
    cause: Cause, budget: dict[str, int], words: str
) -> None:
    said_then = retry.exhausted_message(retry.charged(Failures(), cause), cause, Retry.model_validate(budget), 4)
    assert words in said_then
    assert bool(said_then) == bool(words)


@pytest.mark.parametrize(("met", "phase"), [(5, "Pending"), (6, "Failed")])
def test_a_job_fails_when_the_budget_of_the_cause_is_spent(met: int, phase: str) -> None:
    plan = make_job().failures(node_lost=met, internal=9, hang=9).running().head(gone=True).live().plan(after=100)
    assert plan.status is not None
    assert plan.status.phase == phase
    assert plan.status.failures is not None
    assert plan.status.failures.node_lost == met + 1
    if phase == "Failed":
        assert said(plan, "Failed").reason == "NodeLost"
        assert "retry.infrastructure allows 6" in said(plan, "Failed").message


def test_a_model_that_does_not_reach_a_gate_ends_the_job_at_once_and_its_result_is_kept() -> None:
    result = {
        "metrics": {"test/f1": "0.71"},
        "artifacts": [{"name": "model", "uri": "a", "sha256": "0", "sizeBytes": 1}],
    }
    word = outcome(
        "Failed", cause="GateFailed", message="the gate quality wants test/f1 of at least 0.9", result=result
    )
    builder = make_job().spec(retry={"userError": 5, "infrastructure": 5}).running().head(exit_code=65, said=word)
    plan = builder.plan(after=100)
    assert plan.status is not None
    failed = said(plan, "Failed")
    assert (failed.reason, failed.message) == ("GateFailed", "the gate quality wants test/f1 of at least 0.9")
    assert plan.status.attempts[-1].cause == "GateFailed"
    assert plan.status.failures is None
    assert plan.status.result is not None
    assert plan.status.result.metrics == {"test/f1": "0.71"}
    assert [artifact.name for artifact in plan.status.result.artifacts] == ["model"]


def test_a_gate_is_final_for_an_operator_that_does_not_understand_the_spec_too() -> None:
    word = outcome("Failed", cause="GateFailed", message="not good enough")
    plan = (
        make_job()
        .job(spec=None, problems=("spec: is missing",))
        .running()
        .head(exit_code=65, said=word)
        .plan(after=100)
    )
    assert said(plan, "Failed").reason == "GateFailed"


def test_a_hang_that_the_driver_reports_is_paid_by_its_own_budget() -> None:
    word = outcome("Failed", cause="Hang", message="no step for 1800 s")
    builder = make_job().spec(retry={"hang": 1}).failures(hang=1).running().head(exit_code=70, said=word)
    assert said(builder.plan(after=100), "Failed").reason == "Hang"


@pytest.mark.parametrize(
    ("causes", "seconds"),
    [
        ([], 0),
        (["NodeLost"], 1),
        (["NodeLost", "NodeLost"], 2),
        (["NodeLost", "OutOfMemory", "Preempted"], 4),
        (["Preempted"] * 20, 60),
        (["Internal"] * 20, 300),
        (["ImagePull"], 10),
        (["ImagePull", "ImagePull", "ImagePull"], 40),
        (["StorageError"], 10),
        (["Hang"], 5),
        (["NodeLost", "NodeLost", "Suspended"], 0),
        (["Suspended", "NodeLost"], 1),
        (["Succeeded"], 0),
    ],
)
def test_the_delay_doubles_with_each_quick_failure_in_a_row(causes: list[Any], seconds: float) -> None:
    attempts = [
        ended(cause, number) if cause != "Succeeded" else ended("Internal", number).model_copy(update={"cause": None})
        for number, cause in enumerate(causes, start=1)
    ]
    last = attempts[-1].cause if attempts else None
    unequal = retry.spread("uid", len(attempts)) if last in SHARED else 1.0
    assert retry.delay_after(attempts, "uid") == pytest.approx(seconds * unequal)


def test_the_delay_begins_anew_after_an_attempt_that_ran_long() -> None:
    quick, steady = ended("NodeLost"), ended("NodeLost", 2, ran=900)
    assert retry.delay_after([quick, quick, steady], "uid") < 2
    assert retry.delay_after([quick, quick, steady, quick], "uid") < 2


@pytest.mark.parametrize("cause", sorted(SHARED))
def test_jobs_that_failed_together_come_back_at_different_times(cause: Cause) -> None:
    delays = {retry.delay_after([ended(cause)], f"uid-{number}") for number in range(20)}
    first = retry.POLICIES[cause].first
    assert len(delays) == 20
    assert all(first / 2 <= delay < first * 1.5 for delay in delays)


@pytest.mark.parametrize("cause", sorted(set(TRIED_AGAIN) - SHARED))
def test_what_a_job_failed_for_alone_is_tried_again_after_the_same_time(cause: Cause) -> None:
    assert {retry.delay_after([ended(cause)], f"uid-{number}") for number in range(20)} == {retry.POLICIES[cause].first}


HOUR = 3600.0


def trains(step: int | None) -> Progress:
    """What a driver reports that trains."""
    return Progress(stage="Training", step=step)


def failed_once(step: int | None = 100) -> Account:
    """The account of a job that has failed once, at a step."""
    return Account().progressed(trains(1), T0).interrupted(step, T0, HOUR).charged("Internal")


def test_a_failure_is_forgotten_when_the_job_has_made_progress_for_an_hour() -> None:
    begun = failed_once().progressed(trains(101), T0)
    early = begun.interrupted(900, T0 + HOUR - 1, HOUR).charged("Internal")
    late = begun.interrupted(900, T0 + HOUR, HOUR).charged("Internal")
    assert (early.recent.internal, late.recent.internal) == (2, 1)
    assert early.total == late.total == Failures(internal=2), "all of them are told"


def test_progress_of_several_attempts_adds_up() -> None:
    account = failed_once()
    for number in range(4):
        account = account.progressed(trains(101 + number), T0 + number * 9000)
        account = account.interrupted(101 + number, T0 + number * 9000 + 1000, HOUR)
    assert account.recent == Failures()


def test_what_has_to_be_done_again_is_no_progress() -> None:
    account = failed_once()
    for number in range(100):
        for step in (50, 99, 100):
            account = account.progressed(trains(step), T0 + number * HOUR)
        account = account.interrupted(100, T0 + (number + 1) * HOUR, HOUR)
    assert account.recent.internal == 1, "a job that always fails at the same step is not tried for ever"


@pytest.mark.parametrize("stage", ["Preparing", "Evaluating", "Publishing"])
def test_other_stages_than_training_are_no_progress(stage: Any) -> None:
    account = failed_once().progressed(Progress(stage=stage, step=101), T0)
    assert account.interrupted(101, T0 + 9 * HOUR, HOUR).recent.internal == 1


def test_a_training_function_that_reports_no_steps_makes_progress_while_it_trains() -> None:
    account = failed_once(step=None).progressed(trains(None), T0)
    assert account.interrupted(None, T0 + HOUR, HOUR).recent == Failures()


def test_the_account_stands_in_the_status() -> None:
    for account in (
        Account(),
        failed_once(),
        failed_once().progressed(trains(200), T0 + 7),
        failed_once().progressed(trains(200), T0).interrupted(300, T0 + HOUR, HOUR),
        failed_once(step=None).progressed(trains(None), T0).interrupted(None, T0 + HOUR, HOUR),
    ):
        failures = account.total if account.total != Failures() else None
        status = TrainingJobStatus(failures=failures, recent_failures=account.recent_failures())
        text = status.model_dump_json(by_alias=True, exclude_none=True)
        assert Account.of(TrainingJobStatus.model_validate_json(text)) == account


def test_all_failures_of_a_status_of_a_version_that_forgot_none_are_recent() -> None:
    assert Account.of(TrainingJobStatus(failures=Failures(hang=2))).recent.hang == 2


def test_the_page_tells_each_cause_s_budget_and_delays_as_they_are() -> None:
    page = (ROOT / "docs/explanation/when-a-job-fails.md").read_text()
    rows = {cells[1].strip(" `"): cells for line in page.splitlines() if len(cells := line.split("|")) == 7}
    for cause, policy in retry.POLICIES.items():
        assert f"`{to_camel(policy.name)}`" in rows[cause][3], cause
        told = f"{policy.first:.0f} s to {policy.longest:.0f} s" + (", times 0.5 to 1.5" if policy.spread else "")
        assert rows[cause][4].strip() == told, cause
    assert set(rows) >= {*TRIED_AGAIN, *NEVER}
