"""A driver that stands still as a whole is noticed by its silence."""

from __future__ import annotations

import pytest

from headway_api import wire
from headway_operator.engine.times import to_text
from headway_operator.training.kind import progress_seconds
from headway_operator.training.plan.hang import patience
from sim.builders import T0, UID, JobBuilder, deleted, make_job


def spoke(at: float, *, heartbeat: bool = True, clock: float = 0) -> JobBuilder:
    """A running job whose driver's newest word was seen so long after T0; `clock` is how wrong its own clock is."""
    said = wire.ProgressFile(uid=UID, attempt=1, heartbeat_time=to_text(T0 + at + clock) if heartbeat else None)
    text = said.model_dump_json(by_alias=True, exclude_none=True)
    return make_job().running().config(1, text, reported_at=T0 + at).head().worker(0)


def silent(**scheduling: int) -> JobBuilder:
    """A running job whose driver has not said anything."""
    return make_job().spec(scheduling=scheduling).running().config().head().worker(0)


SILENCES: list[tuple[str, JobBuilder, float, str | None]] = [
    ("it speaks", spoke(1000), 1100, None),
    ("a moment before", spoke(1000), 1209, None),
    ("three heartbeats and some missed", spoke(1000), 1210, "Hang"),
    ("its clock is wrong, but it was just heard", spoke(1000, clock=-5000), 1100, None),
    ("it speaks without a heartbeat", spoke(1000, heartbeat=False), 90_000, None),
    ("it never said a word, yet", silent(), 904, None),
    ("it never said a word", silent(), 905, "Hang"),
    ("it is still waited for", make_job().attempt(1).head().worker(0, ready=False), 800, None),
    ("its startup may take long", silent(startupDeadlineSeconds=5000), 905, None),
    ("its ConfigMap is gone", make_job().running().without_config().head().worker(0), 90_000, None),
    (
        "its ConfigMap was just made again",
        make_job().running().config(reported_at=T0 + 1000).head().worker(0),
        1899,
        None,
    ),
    ("it does not use the new one", make_job().running().config(reported_at=T0 + 1000).head().worker(0), 1900, "Hang"),
    ("a short startup deadline does not count", silent(startupDeadlineSeconds=10), 200, None),
]


@pytest.mark.parametrize(("builder", "after", "cause"), [row[1:] for row in SILENCES], ids=[row[0] for row in SILENCES])
def test_silence_of_a_running_driver_is_a_hang(builder: JobBuilder, after: float, cause: str | None) -> None:
    plan = builder.live().plan(after)
    job, _ = builder.build()
    attempt = (plan.status or job.status).attempts[0]
    assert attempt.cause == cause
    if cause:
        assert "look for code that blocks" in (attempt.message or "")


def test_a_driver_on_a_node_that_died_is_silent_and_ends_as_lost_with_its_node() -> None:
    for after in (1250, 1379, 1381):
        text = wire.ProgressFile(uid=UID, attempt=1, heartbeat_time=to_text(T0 + 1000)).model_dump_json(by_alias=True)
        running = make_job().running().config(1, text, reported_at=T0 + 1000).worker(0)
        lost = running.head(deleting=T0 + 1350).live().plan(after)
        cause = lost.status.attempts[0].cause if lost.status is not None else None
        assert cause == ("NodeLost" if after > 1380 else None)


def test_before_a_driver_counts_as_silent_the_api_server_is_asked() -> None:
    plan = spoke(1000).plan(after=1210)
    assert "live" in plan.read
    assert plan.status is None or plan.status.attempts[0].cause is None


def test_a_config_map_that_is_made_again_is_looked_at_again_though_nobody_writes_into_it() -> None:
    plan = make_job().running().without_config().head().worker(0).plan(after=50)
    assert plan.ensure_objects
    assert plan.requeue_at is not None


def test_the_look_is_due_when_the_silence_would_be_too_long() -> None:
    assert spoke(1000).plan(after=1001).requeue_at == T0 + 1210


def test_a_silent_driver_is_stopped_and_its_end_is_a_hang_whatever_its_exit_code() -> None:
    stopping = make_job().running(cause="Hang", message="silent")
    assert deleted(stopping.head().worker(0).plan(after=1300)) == ["digits-11111-1-head"]
    killed = make_job().running(cause="Hang", message="silent").head(exit_code=137, deleting=T0 + 1500).worker(0)
    status = killed.live().plan(after=1501).status
    assert status is not None
    assert status.attempts[0].cause == "Hang"
    assert status.failures is not None
    assert status.failures.hang == 1


def test_drivers_are_told_to_speak_less_often_the_more_of_them_there_are_and_may_then_be_silent_for_longer() -> None:
    assert [progress_seconds(jobs) for jobs in (0, 20, 500, 5000)] == [2, 2, 50, 120]
    assert [patience(progress_seconds(jobs)) for jobs in (0, 20, 500, 5000)] == [210, 210, 210, 390]
