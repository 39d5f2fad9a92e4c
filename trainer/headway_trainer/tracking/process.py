"""The process that tells one tracker: `python -m headway_trainer.tracking.process`, a child of the driver.

Whatever a tracker's client does, hangs in or prints is none of the driver's business, and the tracker's credentials are
in this process alone. It hears its task, and later the end, on standard input; and says what goes wrong on standard
output, as JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headway_api.base import StatusSection
from headway_api.tracking import ENVIRONMENT, Tracking
from headway_trainer.credentials import adopt, read_secrets
from headway_trainer.errors import StorageError
from headway_trainer.storage import Store
from headway_trainer.tracking.follower import Follower
from headway_trainer.tracking.trackers.base import BrokenError, DownError
from headway_trainer.tracking.trackers.make import make, target_of

PERIOD_SECONDS, PERIOD_OF_OBJECTS = 3.0, 10.0
"""How long what is recorded may wait to be told: on a file system, and on an object store, whose reads cost money."""
MOST_PAUSE_SECONDS = 60.0
END_PAUSE_SECONDS = 0.5
"""Between tries, once the end is near."""
LONE_SECONDS = 15.0
"""How long it goes on after a driver that has ended without a word."""


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

    def __init__(self, task: Task, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """say: takes what goes wrong, once for each row of failures."""
        self._task, self._say, self._clock = task, say, clock
        self._store = Store.open(task.storage_uri, task.storage_secret_dir)
        self._follower: Follower | None = None
        self._failures = 0
        self._refusal: str | None = None
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
            if self._follower is None:
                task = self._task
                tracker = make(task.tracker, task.tracking, task.job)
                target = target_of(task.tracker, task.tracking, task.job)
                self._follower = Follower(self._store, task.tracker, target, tracker)
            self._follower.follow()
        except BrokenError as error:
            self._say(str(error))
            return None
        except (DownError, StorageError) as error:
            self._failures += 1
            if self._failures == 1:
                self._say(str(error))
            return False
        self._failures = 0
        if self._follower.problem not in (None, self._refusal):
            self._refusal = self._follower.problem
            self._say(f"it refuses what it is told: {self._refusal}")
        return True

    def _pause(self) -> float:
        period = PERIOD_OF_OBJECTS if self._store.local_path() is None else PERIOD_SECONDS
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


def environment_of(secret_dir: str | None) -> dict[str, str]:
    """The variables of a tracker that a Secret's folder holds; other keys of it are left alone. Where a variable names
    a file and the Secret has what is to be in it, it names the Secret's file."""
    held = {name: value for name, value in read_secrets(secret_dir).items() if name.startswith(ENVIRONMENT)}
    files = {name: str(Path(secret_dir or "", name)) for name, value in held.items() if value.startswith("-----BEGIN")}
    return held | files


def main() -> None:
    """Tell, as the first line of the input says."""
    task = Task.model_validate_json(sys.stdin.readline())
    adopt(task.storage_secret_dir)
    os.environ.update(environment_of(task.tracking_secret_dir))
    # What a client prints is nobody's to read: this process' words alone go there.
    words = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def say(problem: str) -> None:
        words.write(json.dumps({"problem": problem}) + "\n")
        words.flush()

    teller = Teller(task, say)
    threading.Thread(target=_hear_end, args=(teller,), daemon=True).start()
    told = teller.run()
    words.flush()
    os._exit(0 if told else 1)  # a client's threads may be about


def _hear_end(teller: Teller) -> None:
    line = sys.stdin.readline()
    teller.end_within(float(line) if line.strip() else LONE_SECONDS)


if __name__ == "__main__":
    # Nothing of a user's is found in its working folder.
    sys.path[:] = [place for place in sys.path if place and Path(place) != Path.cwd()]
    main()
