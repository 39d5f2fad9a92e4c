"""A user's own `ray.tune.Tuner` as the driver sees it: a process that tells of trials, and is stopped and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from headway_api import wire
from headway_api.understand import write_run_file
from headway_trainer.errors import OutOfMemory, StorageError, UserError
from headway_trainer.outcome import Broken, Hang, Interrupted
from headway_trainer.pod import memory_kills
from headway_trainer.ray.runtime import Head
from headway_trainer.ray.train_stage import TrainingStage
from headway_trainer.ray.tuner_process import STOP, Task
from headway_trainer.tuning.own_messages import LINE_BYTES, Fitted, Message, Over, Plan, TrialTold, read
from headway_trainer.tuning.own_trials import OwnTrials

STOP_SECONDS = 60.0
"""How long the experiment may take to be saved once a stop is asked for; less than a head pod's grace period."""
_POLL_SECONDS = 0.25
_LEAVE_SECONDS = 5.0
"""How long the process may take to end once it has said its last word."""
_MOST_WAITING = 10_000
"""Messages that wait for the driver: then the process waits, too."""
_OUTPUT = "worker-tuner.out"
"""As what Ray's own processes print is called, so that it is copied by the same rules."""
log = logging.getLogger("headway.tuning")


def run_tuner(
    stage: TrainingStage,
    head: Head,
    begin_anew: str,
    tell: Callable[[OwnTrials], None],
    hear: Callable[[TrialTold], None] = lambda _: None,
) -> OwnTrials:
    """Run the function of `tuning.entrypoint`; its trials.

    begin_anew: how a user begins anew, in words. tell: is given the trials whenever there is news of them, and hear
    what each trial says. Raises
    UserError for the user's errors, AllFailedError where no trial has come to anything, OutOfMemory, StorageError,
    Broken, Hang where no trial reports for progressDeadlineSeconds, and Interrupted when the stop was asked for.
    """
    with tempfile.TemporaryDirectory(prefix="headway-tuner-") as folder:
        follower = head.follow(Path(folder))
        try:
            with _started(stage, head, begin_anew, Path(folder, _OUTPUT)) as process:
                return _watched(stage, process, tell, hear)
        finally:
            follower.close()


class AllFailedError(UserError):
    """No trial has come to anything."""


@dataclass
class _Process:
    """The process, and what it has said."""

    child: subprocess.Popen[bytes]
    killed_before: int
    messages: queue.Queue[Message | None] = field(default_factory=lambda: queue.Queue(_MOST_WAITING))
    """The end of what it says is None."""

    def ask_to_stop(self) -> None:
        """Ask; nothing happens where the process has ended."""
        with contextlib.suppress(OSError):
            _stdin(self.child).write(STOP)
            _stdin(self.child).flush()

    def end(self) -> None:
        """End it, with all processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


def _stdin(child: subprocess.Popen[bytes]) -> IO[bytes]:
    if child.stdin is None:
        raise ValueError("the process has no standard input")
    return child.stdin


@contextlib.contextmanager
def _started(stage: TrainingStage, head: Head, begin_anew: str, output: Path) -> Iterator[_Process]:
    """The process, until the block ends. What it prints goes to the file."""
    readable, writable = os.pipe()
    code = stage.code_dir or (wire.CODE_DIR if Path(wire.CODE_DIR).is_dir() else None)
    try:
        with output.open("ab") as printed:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "headway_trainer.ray.tuner_process"],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                pass_fds=[writable],
                start_new_session=True,  # a Ctrl-C is for the driver alone, which passes it on
                cwd=code,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
    except BaseException:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    process = _Process(child, memory_kills())
    reader = threading.Thread(target=_read, args=(readable, process.messages), name="headway-tuner", daemon=True)
    reader.start()
    task = Task(
        run=write_run_file(stage.run),
        address=head.address,
        temp_dir=head.temp_dir,
        secret_dir=stage.secret_dir,
        code_dir=stage.code_dir,
        begin_anew=begin_anew,
        pipe=writable,
    )
    try:
        with contextlib.suppress(OSError):  # how it ended is told below
            _stdin(child).write(task.model_dump_json().encode() + b"\n")
            _stdin(child).flush()
        yield process
    finally:
        process.end()
        with contextlib.suppress(OSError):
            _stdin(child).close()


def _read(pipe: int, messages: queue.Queue[Message | None]) -> None:
    with os.fdopen(pipe, "rb") as stream:
        while line := stream.readline(LINE_BYTES):
            if (message := read(line)) is not None:
                messages.put(message)
    messages.put(None)


class _Watch:
    """Whether trials report. From the first report on, as for a training function of the user's own."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def heard(self, message: Message) -> None:
        """Take in what the process says."""
        if isinstance(message, Fitted | Over):
            self._since = None
        elif self._since is not None or (isinstance(message, TrialTold) and message.report is not None):
            self._since = time.monotonic()

    def check(self, trials: OwnTrials) -> None:
        """Raise Hang where nothing has come for too long."""
        if self._since is not None and time.monotonic() - self._since > self._seconds:
            running = ", ".join(str(one.trial) for one in trials.status().running_trials)
            raise Hang(
                f"no trial of the Tuner has reported, begun or ended for {self._seconds:.0f} seconds"
                f" (progressDeadlineSeconds){f'; running: {running}' if running else ''}"
            )


def _watched(
    stage: TrainingStage,
    process: _Process,
    tell: Callable[[OwnTrials], None],
    hear: Callable[[TrialTold], None] = lambda _: None,
) -> OwnTrials:
    trials, watch = OwnTrials(), _Watch(stage.run.spec.progress_deadline_seconds)
    asked_at: float | None = None
    over: Over | None = None
    open_ = True
    while open_ and over is None:
        stage.alive()
        news = _news(process.messages)
        for message in news:
            if message is None:
                open_ = False
            elif isinstance(message, Over):
                over = message
            else:
                _take(trials, message, stage)
                watch.heard(message)
                if isinstance(message, TrialTold):
                    hear(message)
        if news:
            tell(trials)
        if asked_at is None:
            watch.check(trials)
        if stage.stop.is_set() and asked_at is None:
            process.ask_to_stop()
            asked_at = time.monotonic()
        if asked_at is not None and time.monotonic() - asked_at > STOP_SECONDS:
            raise Interrupted(
                f"stopped; the experiment could not be saved within {STOP_SECONDS:.0f} seconds, and goes on from where"
                " Ray Tune saved it last"
            )
    return _judged(process, trials, over, asked=asked_at is not None)


def _news(messages: queue.Queue[Message | None]) -> list[Message | None]:
    """What has come, after at most _POLL_SECONDS."""
    try:
        news = [messages.get(timeout=_POLL_SECONDS)]
    except queue.Empty:
        return []
    with contextlib.suppress(queue.Empty):
        while len(news) < _MOST_WAITING:
            news.append(messages.get_nowait())
    return news


def _take(trials: OwnTrials, message: Message, stage: TrainingStage) -> None:
    if isinstance(message, Plan):
        trials.plan = message
        planned = f"{message.planned} trials" if message.planned is not None else "trials"
        goes_on = "goes on with" if message.resumed else "begins"
        log.info("the Tuner %s %s: %s, %s", goes_on, planned, message.search, message.scheduler)
        if not message.metric:
            stage.warn(
                "The Tuner names no metric, so no best trial is told: write ray.tune.TuneConfig(metric=..., mode=...)."
            )
    elif isinstance(message, TrialTold):
        trials.take(message)
        if message.state == "failed":
            log.warning("trial %d has failed: %s", message.number, message.message)


def _judged(process: _Process, trials: OwnTrials, over: Over | None, *, asked: bool) -> OwnTrials:
    """The trials, where the process has come to its end. Raises what else there is to say of it."""
    if asked and (over is None or over.how in {"stopped", "done"}):
        ended = trials.ended
        raise Interrupted(
            f"stopped when {ended} trials of the Tuner had ended; the next attempt goes on with the others"
        )
    if over is None:
        raise _gone(process)
    records = trials.records()
    if records and all(one.state == "failed" for one in records):
        raise AllFailedError(f"all {len(records)} trials have failed; the first one: {records[0].message}")
    match over.how:
        case "user":
            raise UserError(over.message)
        case "memory":
            raise OutOfMemory(over.message)
        case "storage":
            raise StorageError(over.message)
        case "fault" | "stopped":
            raise Broken(f"the process of tuning.entrypoint has ended: {over.message or over.how}")
    return trials


def _gone(process: _Process) -> Exception:
    """What there is to say of a process that has ended without a last word."""
    try:
        code = process.child.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        return UserError(
            "tuning.entrypoint has closed what it tells Headway by: it may use no file that it did not open"
        )
    if code == -signal.SIGKILL and memory_kills() > process.killed_before:
        return OutOfMemory(
            "the kernel ended the process of tuning.entrypoint for want of memory: raise head.resources.memory"
        )
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return Broken(f"the process of tuning.entrypoint was ended by {name}")
    return UserError(f"tuning.entrypoint has ended its process by itself, with exit code {code}: let it return")
