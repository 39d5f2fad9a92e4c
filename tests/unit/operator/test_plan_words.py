"""What drivers say, odd or hostile: the status holds of it what the API server takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headway_api import wire
from headway_api.status import Progress
from sim import words
from sim.builders import UID, document, make_job, outcome
from sim.fakes.schema import installed

TIME = "2026-01-01T00:00:00Z"
LAST_WORD = {"uid": UID, "attempt": 1, "outcome": "Failed", "cause": "Internal", "message": "it broke"}
LAST_WORD["warnings"] = ["class b has 2 rows"]
WORD = {"uid": UID, "attempt": 1, "progress": {"stage": "Training", "step": 3}, "heartbeatTime": TIME}
WORD["warnings"] = ["class b has 2 rows"]


def progress(**fields: Any) -> str:
    """What a driver says while it runs."""
    return json.dumps(WORD | fields)


@pytest.mark.parametrize("twist", words.NAMES)
def test_whatever_a_driver_says_the_api_server_takes_the_status(twist: str) -> None:
    running = make_job().running().config(1, words.written(twist, words.twisted(twist, WORD))).head().worker(0)
    last = words.twisted(twist, {**WORD, "outcome": LAST_WORD})
    ended = make_job().running().config(1, words.written(twist, last)).worker(0)
    killed = make_job().running().head(exit_code=70, said=words.written(twist, last["outcome"])).worker(0)
    for plan in (running.plan(), ended.live().plan(), killed.live().plan()):
        assert plan.status is not None
        status = json.loads(plan.status.model_dump_json(by_alias=True, exclude_none=True))
        before = document()
        installed().judge(before, {**before, "status": status})


def test_numbers_out_of_bounds_are_moved_to_them_and_of_two_artifacts_of_a_name_the_first_stays() -> None:
    artifact = {"name": "model", "uri": "s3://a", "sha256": "0", "sizeBytes": 2**64}
    said = outcome("Succeeded", result={"artifacts": [artifact, {**artifact, "uri": "s3://b"}]}, stepsLost=-3)
    text = progress(progress={"step": 1e19, "percent": 101, "epoch": -1})
    running = make_job().running().config(1, text).head().worker(0).plan().status
    assert running is not None
    assert running.progress == Progress(step=2**53 - 1, percent=100, epoch=0)
    ended = make_job().running().head(exit_code=0, said=said).worker(0).plan().status
    assert ended is not None
    assert ended.result is not None
    assert [(item.uri, item.size_bytes) for item in ended.result.artifacts] == [("s3://a", 2**53 - 1)]
    assert ended.attempts[0].steps_lost == 0


@pytest.mark.parametrize("cause", ["Suspended", "Released", "Upgraded", "DeadlineExceeded", "Preempted", "ImagePull"])
def test_a_driver_cannot_give_itself_a_cause_that_only_the_operator_knows(cause: str) -> None:
    said = json.dumps(LAST_WORD | {"cause": cause})
    plan = make_job().running().head(exit_code=64, said=said).worker(0).live().plan()
    assert plan.status is not None
    assert plan.status.attempts[0].cause == "UserError"


def test_a_word_of_the_job_s_own_is_read() -> None:
    assert wire.Outcome.model_validate(LAST_WORD).cause == "Internal"
    plan = make_job().running().config(1, progress()).head().worker(0).plan()
    assert plan.status is not None
    assert plan.status.progress == Progress(stage="Training", step=3)


def test_warnings_reach_the_status_and_stay_until_a_newer_attempt_says_others() -> None:
    running = make_job().running().config(1, progress(warnings=["x is empty"])).head().worker(0).plan()
    assert running.status is not None
    assert running.status.warnings == ["x is empty"]
    quiet = (
        make_job().status(warnings=["x is empty"]).running().config(1, progress(warnings=[])).head().worker(0).plan()
    )
    assert quiet.status is None or quiet.status.warnings == ["x is empty"]


def test_the_report_tells_more_warnings_than_the_outcome_which_is_cut() -> None:
    said = json.dumps(LAST_WORD | {"warnings": ["b"]})
    report = (
        make_job().running().config(1, progress(warnings=["a", "b"])).head(exit_code=70, said=said).worker(0).plan()
    )
    alone = make_job().running().head(exit_code=70, said=said).worker(0).plan()
    assert report.status is not None
    assert alone.status is not None
    assert (report.status.warnings, alone.status.warnings) == (["a", "b"], ["b"])


def test_of_too_many_or_too_long_warnings_the_status_holds_what_it_has_room_for() -> None:
    many = [f"{number} {'é' * 2000}" for number in range(50)]
    plan = make_job().running().config(1, progress(warnings=many)).head().worker(0).plan()
    assert plan.status is not None
    assert len(plan.status.warnings) == 20
    assert plan.status.warnings[-1].startswith("49 é")
    assert max(map(len, plan.status.warnings)) == 512
    refused = make_job().running().seen(status_refused=True).config(1, progress(warnings=many)).head().worker(0).plan()
    assert refused.status is not None
    assert refused.status.warnings == []
