"""Each cause has its own count, its own budget and its own delay."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic.alias_generators import to_camel

from harness import ROOT
from headway_api.job import Retry
from headway_api.status import Attempt, Cause, Failures
from headway_operator.engine.times import to_text
from headway_operator.policies import retry
from sim.builders import T0, make_job, outcome, said

TRIED_AGAIN: list[Cause] = list(retry.POLICIES)
NEVER: set[str] = {"DeadlineExceeded", "InvalidSpec"}
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
    assert {*names, "infrastructure"} == set(Retry.model_fields)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("cause", TRIED_AGAIN)
def test_a_failure_is_counted_under_its_own_cause_and_under_no_other(cause: Cause) -> None:
    failures = retry.charged(Failures(), cause)
    counts = {name: getattr(failures, name) for name in Failures.model_fields}
    assert {name: count for name, count in counts.items() if count} == {retry.POLICIES[cause].name: 1}


@pytest.mark.parametrize("cause", [*NEVER, *FREE, None])
def test_what_is_not_tried_again_is_not_counted(cause: Any) -> None:
    assert retry.charged(Failures(), cause) == Failures()
    assert cause is None or not retry.affordable(Failures(), cause, Retry())


BUDGETS: list[tuple[Cause, dict[str, int], int]] = [
    ("NodeLost", {}, 5),
    ("NodeLost", {"infrastructure": 2}, 2),
    ("NodeLost", {"infrastructure": 2, "nodeLost": 7}, 7),
    ("NodeLost", {"infrastructure": 2, "nodeLost": 0}, 0),
    ("NodeLost", {"hang": 0}, 5),
    ("Hang", {"hang": 1}, 1),
    ("ImagePull", {"imagePull": 1}, 1),
    ("OutOfMemory", {"outOfMemory": 1}, 1),
    ("Unschedulable", {"unschedulable": 100}, 100),
    ("StorageError", {"storageError": 3}, 3),
    ("Internal", {"internal": 1}, 1),
    ("Preempted", {}, 20),
    ("Preempted", {"infrastructure": 0}, 20),
    ("UserError", {}, 0),
    ("UserError", {"infrastructure": 9}, 0),
    ("UserError", {"userError": 2}, 2),
]


@pytest.mark.parametrize(("cause", "budget", "number"), BUDGETS)
def test_a_budget_covers_as_many_failures_as_it_says(cause: Cause, budget: dict[str, int], number: int) -> None:
    name = retry.POLICIES[cause].name
    allowed = Retry.model_validate(budget)
    assert retry.affordable(Failures(**{name: number}), cause, allowed)
    assert not retry.affordable(Failures(**{name: number + 1}), cause, allowed)


@pytest.mark.parametrize(
    ("cause", "budget", "words"),
    [
        ("UserError", {}, "not tried again, as retry.userError is 0"),
        ("NodeLost", {"infrastructure": 2}, "retry.infrastructure allows 2"),
        ("OutOfMemory", {"outOfMemory": 2}, "retry.outOfMemory allows 2"),
        ("DeadlineExceeded", {}, ""),
    ],
)
def test_a_spent_budget_is_named_by_the_field_that_would_change_it(
    cause: Cause, budget: dict[str, int], words: str
) -> None:
    said_then = retry.exhausted_message(retry.charged(Failures(), cause), cause, Retry.model_validate(budget))
    assert words in said_then
    assert bool(said_then) == bool(words)


@pytest.mark.parametrize(("met", "phase"), [(4, "Pending"), (5, "Failed")])
def test_a_job_fails_when_the_budget_of_the_cause_is_spent(met: int, phase: str) -> None:
    plan = make_job().failures(node_lost=met, internal=5, hang=5).running().head(gone=True).live().plan(after=100)
    assert plan.status is not None
    assert plan.status.phase == phase
    assert plan.status.failures is not None
    assert plan.status.failures.node_lost == met + 1
    if phase == "Failed":
        assert said(plan, "Failed").reason == "NodeLost"
        assert "retry.infrastructure allows 5" in said(plan, "Failed").message


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
    assert retry.delay_after(attempts, "uid") == seconds


def test_the_delay_begins_anew_after_an_attempt_that_ran_long() -> None:
    quick, steady = ended("NodeLost"), ended("NodeLost", 2, ran=900)
    assert retry.delay_after([quick, quick, steady], "uid") == 1
    assert retry.delay_after([quick, quick, steady, quick], "uid") == 1


def test_jobs_that_found_no_room_together_come_back_at_different_times() -> None:
    delays = {retry.delay_after([ended("Unschedulable")], f"uid-{number}") for number in range(20)}
    assert len(delays) == 20
    assert all(15 <= delay < 45 for delay in delays)


def test_the_page_tells_each_cause_s_budget_and_delays_as_they_are() -> None:
    page = (ROOT / "docs/explanation/when-a-job-fails.md").read_text()
    rows = {cells[1].strip(" `"): cells for line in page.splitlines() if len(cells := line.split("|")) == 7}
    for cause, policy in retry.POLICIES.items():
        assert f"`{to_camel(policy.name)}`" in rows[cause][3], cause
        assert f"{policy.first:.0f} s to {policy.longest:.0f} s" in rows[cause][4], cause
    assert set(rows) >= {*TRIED_AGAIN, *NEVER}
