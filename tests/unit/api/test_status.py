"""The status: bounds that cut what pods say, and the words of `kubectl get`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headway_api.crd import TRAINING_JOB, definition
from headway_api.status import (
    MAX_ATTEMPTS_KEPT,
    Attempt,
    BestTrial,
    Condition,
    Progress,
    Result,
    TrainingJobStatus,
    TuningStatus,
    WorkersStatus,
)

TIME = "2026-01-01T00:00:00Z"
BEST: dict[str, Any] = {"trial": 7, "value": "0.98123", "parameters": {"training.optimizer.lr": "0.01"}}


def condition(kind: Any, message: str, time: str = TIME) -> Condition:
    """A condition that holds."""
    return Condition(type=kind, status="True", reason="Reason", message=message, last_transition_time=time)


@pytest.mark.parametrize(
    ("status", "summary"),
    [
        (TrainingJobStatus(), {}),
        (TrainingJobStatus(progress=Progress(percent=38, step=7410)), {"progress": "38%"}),
        (TrainingJobStatus(progress=Progress(percent=0)), {"progress": "0%"}),
        (TrainingJobStatus(progress=Progress(step=7410)), {"progress": "step 7410"}),
        (TrainingJobStatus(phase="Succeeded", progress=Progress(percent=60)), {"progress": "100%"}),
        (TrainingJobStatus(phase="Failed", progress=Progress(percent=60)), {"progress": "60%"}),
        (TrainingJobStatus(workers=WorkersStatus(desired=4, ready=3)), {"workers": "3/4"}),
        (TrainingJobStatus(phase="Failed", workers=WorkersStatus(desired=4, ready=0)), {}),
        (TrainingJobStatus(phase="Succeeded", workers=WorkersStatus(desired=4, ready=0)), {"progress": "100%"}),
        (
            TrainingJobStatus(progress=Progress(metrics={"train/loss": "0.213456", "validation/f1": "0.8"})),
            {"metric": "validation/f1=0.8"},
        ),
        (
            TrainingJobStatus(
                progress=Progress(metrics={"validation/f1": "0.8"}),
                result=Result(metrics={"test/accuracy": "0.98765432", "test/loss": "1"}),
            ),
            {"metric": "accuracy=0.9877"},
        ),
        (
            TrainingJobStatus(
                tuning=TuningStatus(planned=20, running=2, completed=3, stopped=6, failed=1, best=BestTrial(**BEST))
            ),
            {"trials": "10/20", "best": "0.9812 (7)"},
        ),
        (
            TrainingJobStatus(tuning=TuningStatus(running=2, best=BestTrial(trial=1, value="good"))),
            {"trials": "0", "best": "good (1)"},
        ),
        (TrainingJobStatus(progress=Progress(metrics={"mine": "good", "zeta": "1"})), {"metric": "mine=good"}),
        (
            TrainingJobStatus(
                conditions=[
                    condition("Accepted", "accepted"),
                    condition("Scheduled", "old", "2025-01-01T00:00:00Z"),
                    condition("Running", "2 of 2 workers"),
                    condition("Complete", ""),
                ]
            ),
            {"message": "2 of 2 workers"},
        ),
    ],
)
def test_the_summary_says_in_few_words_what_the_status_says(status: TrainingJobStatus, summary: dict[str, str]) -> None:
    assert status.model_dump(exclude_none=True)["summary"] == summary


def test_what_a_pod_says_of_trials_is_bounded() -> None:
    parameters = {f"{number}{'p' * 999}": "1" * 999 for number in range(999)}
    said = {
        "metric": "x" * 999,
        "planned": 10**30,
        "running": -5,
        "failed": 10**30,
        "best": {"trial": -1, "value": "1" * 999, "parameters": parameters},
        "runningTrials": [{"trial": number % 50, "value": "1" * 999} for number in range(1000)],
    }
    tuning = TuningStatus.model_validate(said)
    assert (tuning.planned, tuning.running, tuning.failed) == (10_000, 0, 10_000)
    assert len(tuning.running_trials) == 16
    assert tuning.best is not None
    assert (tuning.best.trial, len(tuning.best.parameters)) == (0, 64)
    assert len(tuning.model_dump_json()) < 20_000
    assert TuningStatus.model_validate_json(tuning.model_dump_json(by_alias=True)) == tuning


def test_a_trial_that_has_ended_once_has_ended_whatever_is_said_later() -> None:
    before = TuningStatus(planned=9, running=2, completed=3, stopped=2, best=BestTrial(**BEST))
    later = TuningStatus(planned=9, running=1, completed=1, failed=1).after(before)
    assert (later.running, later.completed, later.stopped, later.failed, later.best) == (1, 3, 2, 1, before.best)
    assert before.after(None) == before


def test_a_summary_that_is_read_is_made_anew() -> None:
    read = TrainingJobStatus.model_validate({"workers": {"ready": 1, "desired": 2}, "summary": {"workers": "9/9"}})
    assert read.summary.workers == "1/2"


def test_texts_and_mappings_keep_their_beginning_and_lists_their_end() -> None:
    attempts = [Attempt(number=number, start_time=TIME, message="x" * 10_000) for number in range(1, 60)]
    status = TrainingJobStatus(attempts=attempts, progress=Progress(metrics={f"a{n}": "1" * 99 for n in range(500)}))
    assert [attempt.number for attempt in status.attempts] == list(range(60 - MAX_ATTEMPTS_KEPT, 60))
    assert status.attempts[0].message == "x" * 4095 + "…"
    assert status.progress is not None
    assert list(status.progress.metrics)[:2] == ["a0", "a1"]
    assert len(status.progress.metrics) == 128
    assert set(status.progress.metrics.values()) == {"1" * 63 + "…"}


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), None])
def test_a_rate_that_is_no_number_is_left_out(rate: float | None) -> None:
    assert Progress(samples_per_second=rate).samples_per_second is None


def test_a_newer_status_is_read_without_what_is_not_known() -> None:
    assert TrainingJobStatus.model_validate({"attempt": 2, "usage": {"gpuHours": "3"}}).attempt == 2


def test_words_of_a_newer_version_keep_nobody_from_reading_the_rest_of_a_status() -> None:
    loss = {"cause": "Boredom", "time": TIME}
    read = TrainingJobStatus.model_validate(
        {
            "phase": "Dreaming",
            "conditions": [
                {"type": "Fancy", "status": "True", "reason": "New", "lastTransitionTime": TIME},
                {"type": "Running", "status": "True", "reason": "AllReady", "lastTransitionTime": TIME},
            ],
            "attempts": [{"number": 1, "startTime": TIME, "cause": "Boredom", "lossEvents": [loss]}],
            "progress": {"stage": "Dancing", "step": 7},
        }
    )
    assert (read.phase, [item.type for item in read.conditions]) == (None, ["Running"])
    assert (read.attempts[0].cause, read.attempts[0].loss_events[0].cause) == ("Internal", "Internal")
    assert read.progress == Progress(stage="Preparing", step=7)


def test_what_is_no_word_at_all_is_still_an_error() -> None:
    with pytest.raises(ValidationError):
        TrainingJobStatus.model_validate({"phase": 7})


_TEXT = st.text(max_size=300) | st.just("x" * 5000)
_STATUSES = st.builds(
    TrainingJobStatus,
    conditions=st.lists(st.builds(condition, st.sampled_from(["Running", "Failed"]), _TEXT), max_size=20),
    attempts=st.lists(
        st.builds(Attempt, number=st.integers(1, 99), start_time=st.just(TIME), message=_TEXT), max_size=30
    ),
    progress=st.none()
    | st.builds(Progress, metrics=st.dictionaries(_TEXT, _TEXT, max_size=5), samples_per_second=st.floats()),
)


def _bounds_hold(node: dict[str, Any], value: Any) -> bool:
    if isinstance(value, str):
        return "maxLength" not in node or len(value) <= int(node["maxLength"])
    if isinstance(value, list):
        return len(value) <= int(node["maxItems"]) and all(_bounds_hold(node["items"], item) for item in value)
    if isinstance(value, dict):
        inner = node.get("additionalProperties")
        known = node.get("properties", {})
        return all(_bounds_hold(inner or known[name], item) for name, item in value.items())
    return True


@given(_STATUSES)
def test_no_status_outgrows_the_schema_and_each_is_json(status: TrainingJobStatus) -> None:
    written = json.loads(json.dumps(status.model_dump(mode="json", exclude_none=True), allow_nan=False))
    root = definition(TRAINING_JOB)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert _bounds_hold(root["properties"]["status"], written)
    assert TrainingJobStatus.model_validate(written) == status
