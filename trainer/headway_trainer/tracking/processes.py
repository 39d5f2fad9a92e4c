"""The processes that tell trackers, as the driver sees them: begun with the run, begun again, and ended in time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from headway_api import wire
from headway_api.tracking import Tracking
from headway_trainer.credentials import mounted
from headway_trainer.storage import Store
from headway_trainer.tracking.follower import left, read_cursor
from headway_trainer.tracking.process import EXIT_FAULT, EXIT_NOT_TOLD, EXIT_TOLD, LEFT_OUT, Task
from headway_trainer.tracking.trackers.make import target_of, title_of

LEAVE_SECONDS = 3.0
"""How much longer than it was given a process may take to end."""
MOST_BEGINNINGS = 5
"""A process that ends by itself is begun again so often."""
PAUSE_SECONDS = 10.0
Warn = Callable[[str, str | None], None]
"""Takes a sentence for people, and the one of before whose place it takes."""
log = logging.getLogger("headway.tracking")


class TellerProcess:
    """The process of one tracker."""

    def __init__(self, task: Task, warn: Warn = lambda *_: None) -> None:
        """warn: is told at once when the tracker cannot be told, and when it can again."""
        self._task, self._warn = task, warn
        self._title = title_of(task.tracker, task.tracking)
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self.problem: str | None = None
        """Why the tracker is not told of the run now."""
        self._said: str | None = None
        """The sentence that people have read last."""
        self._thread = threading.Thread(target=self._watch, name=f"headway-{task.tracker}", daemon=True)

    def start(self) -> None:
        """Begin it, in a thread: that takes nobody's time."""
        self._thread.start()

    def end(self, seconds: float) -> None:
        """Have it tell what is left, for at most so many seconds."""
        self._ending.set()
        deadline = time.monotonic() + seconds + LEAVE_SECONDS
        with self._lock:
            child = self._child
        if child is not None:
            with contextlib.suppress(OSError, ValueError):
                _say(child, f"{seconds:g}")
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if child is not None and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # the SDKs have processes of their own
            child.wait()

    def _watch(self) -> None:
        for beginning in range(MOST_BEGINNINGS):
            if beginning and self._ending.wait(PAUSE_SECONDS):
                return
            try:
                child = self._begin()
            except OSError as error:
                self._heard(f"its process cannot be begun: {error}")
                continue
            if child is None:
                return
            self._listen(child)
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            if child.returncode in (EXIT_TOLD, EXIT_NOT_TOLD) or self._ending.is_set():
                return
            if child.returncode != EXIT_FAULT:  # which it has told
                self._heard(f"its process ended with exit code {child.returncode}")

    def _begin(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._ending.is_set():
                return None
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "headway_trainer.tracking.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # it computes nothing
                start_new_session=True,  # a Ctrl-C is for the driver alone, which ends it
            )
            self._child = child
            with contextlib.suppress(OSError):
                _say(child, self._task.model_dump_json())
        return child

    def _listen(self, child: subprocess.Popen[str]) -> None:
        for line in child.stdout or ():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                problem = json.loads(line)["problem"]
                self._heard(None if problem is None else str(problem))

    def _heard(self, problem: str | None) -> None:
        if problem is None:
            if self.problem is not None:
                log.info("%s can be told again", self._title)
                self._tell(f"{self._title} could not be told of this run for a while, and can again: {self.problem}")
            self.problem = None
            return
        log.warning("%s: %s", self._title, problem)
        if problem.startswith(LEFT_OUT):
            self.problem = None  # it takes what follows
            self._tell(f"{self._title}: {problem}")
            return
        self.problem = problem
        self._tell(
            f"{self._title} cannot be told of this run for now; the job goes on, and what it misses is kept: {problem}"
        )

    def _tell(self, sentence: str) -> None:
        self._warn(sentence, self._said)
        self._said = sentence

    def conclude(self, store: Store, folder: str) -> None:
        """Tell people what they should know at the end; nothing more where the tracker was told everything. folder:
        where the run is, as `headway track` takes it."""
        if sentence := self._conclusion(store, folder):
            self._tell(sentence)
        self._warn = lambda *_: None  # its thread may still hear something

    def _conclusion(self, store: Store, folder: str) -> str | None:
        task = self._task
        try:
            target = target_of(task.tracker, task.tracking, task.job)
            count, known = left(store, task.tracker, target), read_cursor(store, task.tracker, target)
        except Exception as error:
            return f"{self._title} may lack a part of this run: {error}"
        told = []
        if known.refused:
            why = f": {known.problem}" if known.problem else ""
            some = f"{known.refused} record{'s' if known.refused > 1 else ''}"
            told.append(f"{self._title} lacks {some} of this run, which it did not take{why}.")
        if count:
            why = f" Why: {self.problem}" if self.problem else ""
            told.append(
                f"{self._title} was not told all of this run: {count} records are left. `headway track {folder}` tells"
                f" it the rest.{why}"
            )
        return " ".join(told) or None


def _say(child: subprocess.Popen[str], line: str) -> None:
    if child.stdin is not None:
        child.stdin.write(line + "\n")
        child.stdin.flush()


def begin(run: wire.RunFile, settings: Tracking, storage_secret_dir: str | None, warn: Warn) -> list[TellerProcess]:
    """Begin to tell each tracker that a job names."""
    secrets = mounted(wire.TRACKING_SECRET_DIR)
    found = [
        TellerProcess(
            Task(
                storage_uri=run.storage_uri,
                storage_secret_dir=storage_secret_dir,
                tracking_secret_dir=secrets,
                tracker=name,
                tracking=settings,
                job=run.name,
            ),
            warn,
        )
        for name in settings.named
    ]
    for one in found:
        one.start()
    return found
