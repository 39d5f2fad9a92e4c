"""The driver beside the process of a user's own Tuner: what it makes of what it hears, and of how the process ends."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from headway_trainer.errors import OutOfMemory, StorageError, UserError
from headway_trainer.outcome import Broken, Hang, Interrupted
from headway_trainer.ray import tuner_stage
from headway_trainer.tuning.own_messages import Fitted, Message, Over, Plan, ReportTold, TrialTold
from headway_trainer.tuning.own_trials import OwnTrials
from training_stages import stage_of

PLAN = Plan(planned=2, metric="loss", mode="min", search="Random", scheduler="FIFO")


def trial(number: int, state: str, **more: Any) -> TrialTold:
    """A message of a trial."""
    return TrialTold.model_validate({"number": number, "state": state, "parameters": {}, **more})


def watched(
    *messages: Message | None,
    exits: str = "",
    stop: threading.Event | None = None,
    progress_seconds: float = 1800,
    warned: list[str] | None = None,
) -> OwnTrials:
    """What comes of these messages; None is the end of them. exits: what the process runs."""
    child = subprocess.Popen([sys.executable, "-c", exits], stdin=subprocess.PIPE, start_new_session=True)
    process = tuner_stage._Process(child, 0)
    for message in messages:
        process.messages.put(message)
    stage = stage_of(stop or threading.Event(), progress_seconds, warned if warned is not None else [])
    try:
        return tuner_stage._watched(stage, process, lambda _: None)
    finally:
        process.end()
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended without reading what it was told
            child.stdin.close()


def test_trials_are_told_until_the_last_word() -> None:
    trials = watched(PLAN, trial(1, "completed", value=0.5), trial(2, "failed", cause="E"), Fitted(), Over(how="done"))
    assert [one.state for one in trials.records()] == ["completed", "failed"]
    assert trials.plan == PLAN


@pytest.mark.parametrize(
    ("how", "error"), [("user", UserError), ("memory", OutOfMemory), ("storage", StorageError), ("stopped", Broken)]
)
def test_the_last_word_decides_what_is_raised(how: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="the word" if how != "stopped" else "stopped|the word"):
        watched(PLAN, trial(1, "completed"), Over(how=how, message="the word"))


def test_where_all_trials_have_failed_the_first_cause_is_told_whatever_the_function_said() -> None:
    first = trial(1, "failed", cause="ValueError", message="ValueError: no such rate")
    with pytest.raises(UserError, match=r"all 2 trials have failed; the first one: ValueError: no such rate"):
        watched(PLAN, first, trial(2, "failed", cause="KeyError"), Over(how="user", message="no best trial"))


@pytest.mark.parametrize(
    ("exits", "error", "said"),
    [
        ("import os; os._exit(7)", UserError, "exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", Broken, "SIGKILL"),
        ("import os; os.kill(os.getpid(), 6)", Broken, "SIGABRT"),
    ],
)
def test_a_process_that_ends_without_a_word_is_named(exits: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        watched(PLAN, None, exits=exits)


def test_a_process_that_the_kernel_ended_for_want_of_memory_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner_stage, "memory_kills", lambda: 1)
    with pytest.raises(OutOfMemory, match=r"raise head\.resources\.memory"):
        watched(PLAN, None, exits="import os; os.kill(os.getpid(), 9)")


def test_a_pipe_that_the_function_has_closed_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner_stage, "_LEAVE_SECONDS", 0.05)
    with pytest.raises(UserError, match="may use no file that it did not open"):
        watched(PLAN, None, exits="import time; time.sleep(60)")


def test_a_stop_that_is_obeyed_tells_how_many_trials_had_ended() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted, match="stopped when 1 trials of the Tuner had ended; the next attempt goes on"):
        watched(PLAN, trial(1, "completed"), trial(2, "running"), Over(how="stopped"), stop=stop)


def test_a_stop_that_is_not_obeyed_ends_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner_stage, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(tuner_stage, "_POLL_SECONDS", 0.02)
    stop = threading.Event()
    stop.set()
    began = time.monotonic()
    with pytest.raises(Interrupted, match="could not be saved within"):
        watched(PLAN, exits="import time; time.sleep(60)", stop=stop)
    assert time.monotonic() - began < 30


def test_the_stop_reaches_the_process() -> None:
    code = "import os, sys; os._exit(5 if sys.stdin.readline() == 'stop\\n' else 6)"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True)
    tuner_stage._Process(child, 0).ask_to_stop()
    assert child.wait(60) == 5
    assert child.stdin is not None
    child.stdin.close()


def test_trials_that_report_no_more_are_a_hang_and_only_after_the_first_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner_stage, "_POLL_SECONDS", 0.02)
    report = ReportTold(epoch=1, value=1.0, goes_on=True)
    running = "import time; time.sleep(60)"
    with pytest.raises(Hang, match=r"no trial of the Tuner has reported.*progressDeadlineSeconds.*running: 3"):
        watched(PLAN, trial(3, "running", report=report), exits=running, progress_seconds=0.1)
    watch = tuner_stage._Watch(0.0)
    watch.heard(trial(1, "running"))
    watch.check(OwnTrials())
    watch.heard(trial(1, "running", report=report))
    watch.heard(Fitted())
    watch.check(OwnTrials())


def test_a_tuner_without_a_metric_is_warned_of() -> None:
    warned: list[str] = []
    watched(Plan(search="Random"), trial(1, "completed"), Over(how="done"), warned=warned)
    assert warned == [
        "The Tuner names no metric, so no best trial is told: write ray.tune.TuneConfig(metric=..., mode=...)."
    ]


def test_what_comes_at_once_is_taken_at_once() -> None:
    messages: queue.Queue[Message | None] = queue.Queue()
    for _ in range(3):
        messages.put(Fitted())
    assert len(tuner_stage._news(messages)) == 3
