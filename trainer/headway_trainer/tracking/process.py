"""The process that tells one tracker: `python -m headway_trainer.tracking.process`, a child of the driver.

Whatever a tracker's client does, hangs in or prints is none of the driver's business, and the tracker's credentials are
in this process alone. It hears its task, and later the end, on standard input; and says what goes wrong, and that it is
over, on standard output, as JSON lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headway_api.base import StatusSection
from headway_api.tracking import Tracking
from headway_trainer.credentials import adopt
from headway_trainer.errors import StorageError, UserError
from headway_trainer.storage import Store
from headway_trainer.tracking.credentials import environment_of
from headway_trainer.tracking.follower import Follower
from headway_trainer.tracking.trackers.base import BrokenError, DownError, shown
from headway_trainer.tracking.trackers.make import make, target_of

PERIOD_SECONDS, PERIOD_OF_OBJECTS = 3.0, 10.0
"""How long what is recorded may wait to be told: on a file system, and on an object store, whose reads cost money."""
MOST_PAUSE_SECONDS = 60.0
END_PAUSE_SECONDS = 0.5
"""Between tries, once the end is near."""
LONE_SECONDS = 15.0
"""How long it goes on after a driver that has ended without a word."""
MOST_MEMORY = 2**29
"""Bytes that MLflow's client may allocate, of which it needs a fifth."""
EXIT_TOLD, EXIT_NOT_TOLD, EXIT_FAULT = 0, 10, 11
"""Whether all was told at the end; what Python itself ends with is none of them."""
LEFT_OUT = "it does not take a part of what it is told, which is left out: "
"""How a problem begins that leaves something out for good."""


class Task(StatusSection):
    """What the process is to do: its first line of input."""

    storage_uri: str
    storage_secret_dir: str | None
    tracking_secret_dir: str | None
    tracker: str
    tracking: Tracking
    job: str


class Teller:
    """Tells a tracker until the end comes."""

    def __init__(
        self,
        task: Task,
        say: Callable[[str | None], None],
        clock: Callable[[], float] = time.monotonic,
        adopt: Callable[[], None] = lambda: None,
    ) -> None:
        """say: takes what goes wrong, once for each row of failures, and None when it begins to go well. adopt: takes
        credentials over, which may be others after a failure."""
        self._task, self._say, self._clock, self._adopt = task, say, clock, adopt
        self._store: Store | None = None
        self._follower: Follower | None = None
        self._failures = 0
        self._goes_well = False
        self._left_out: str | None = None
        """Why it has not taken something, as it was said last."""
        self.deadline: float | None = None
        """When it has to end, on the clock; none before the end is near."""
        self.ending = threading.Event()

    def end_within(self, seconds: float) -> None:
        """Let it end when all is told, or after so many seconds."""
        if self.deadline is None:
            self.deadline = self._clock() + seconds
        self.ending.set()

    def run(self) -> bool:
        """Whether all was told that is recorded by the end."""
        while True:
            over = self.ending.is_set()
            all_told = self.turn()
            if all_told is None or (over and (all_told or self._left() <= 0)):
                self._close()
                return bool(all_told)
            self.ending.wait(self._pause()) if not over else time.sleep(END_PAUSE_SECONDS)

    def turn(self) -> bool | None:
        """Tell what there is: whether all of it was told; none where the tracker will never be told."""
        try:
            self._begun().follow()
        except (BrokenError, UserError) as error:
            self._say(str(error))
            return None
        except (DownError, StorageError, OSError) as error:
            self._failures, self._goes_well = self._failures + 1, False
            if self._failures == 1:
                self._say(str(error))
            return False
        finally:
            self._say_what_is_left_out()
        self._failures = 0
        if not self._goes_well:
            self._goes_well = True
            self._say(None)
        return True

    def _say_what_is_left_out(self) -> None:
        problem = self._follower.problem if self._follower is not None else None
        if problem not in (None, self._left_out):
            self._left_out = problem
            self._say(f"{LEFT_OUT}{problem}")

    def _begun(self) -> Follower:
        """The follower, with the credentials that there are now if it is new or something failed. Raises UserError for
        those that cannot be taken, and what the storage and the tracker raise."""
        task = self._task
        if self._follower is None or self._failures:
            self._adopt()
        if self._store is None:
            self._store = Store.open(task.storage_uri, task.storage_secret_dir)
        if self._follower is None:
            tracker = make(task.tracker, task.tracking, task.job)
            target = target_of(task.tracker, task.tracking, task.job)
            self._follower = Follower(self._store, task.tracker, target, tracker)
            self._left_out = self._follower.problem
        return self._follower

    def _pause(self) -> float:
        is_object = self._store is not None and self._store.local_path() is None
        period = PERIOD_OF_OBJECTS if is_object else PERIOD_SECONDS
        return min(MOST_PAUSE_SECONDS, period * 2.0 ** min(self._failures, 10))

    def _left(self) -> float:
        return (self.deadline or 0.0) - self._clock()

    def _close(self) -> None:
        if self._follower is None:
            return
        try:
            self._follower.close(max(0.0, self._left()))
        except (DownError, StorageError) as error:
            self._say(str(error))


def main() -> None:
    """Tell, as the first line of the input says."""
    task = Task.model_validate_json(sys.stdin.readline())
    adopt(task.storage_secret_dir)
    # What a client prints is nobody's to read: this process' words alone go there.
    words = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def say(problem: str | None) -> None:
        words.write(json.dumps({"problem": problem}) + "\n")
        words.flush()

    if task.tracker == "mlflow":
        _bound_memory()
    teller = Teller(task, say, adopt=lambda: os.environ.update(environment_of(task.tracking_secret_dir)))
    threading.Thread(target=_hear_end, args=(teller,), daemon=True).start()
    try:
        code = EXIT_TOLD if teller.run() else EXIT_NOT_TOLD
    except Exception as error:  # a fault of ours: the driver says so and begins another process
        say(shown(f"{type(error).__name__}: {error}"))
        code = EXIT_FAULT
    os._exit(code)  # a client's threads may be about


def _bound_memory() -> None:
    """Let a server that answers with gigabytes fail a request, and not the pod of the driver. What is allocated before
    is not counted: on a machine with many cores libraries begin with as many threads."""
    with contextlib.suppress(OSError, ValueError):  # where there is no /proc, or less is allowed already
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        most = pages * resource.getpagesize() + MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _hear_end(teller: Teller) -> None:
    line = sys.stdin.readline()
    teller.end_within(float(line) if line.strip() else LONE_SECONDS)


if __name__ == "__main__":
    # Nothing of a user's is found in its working folder.
    sys.path[:] = [place for place in sys.path if place and Path(place) != Path.cwd()]
    main()
