"""The process that runs a user's own `ray.tune.Tuner` (`tuning.entrypoint`): a main module.

It is no part of the driver's process: whatever the user's function does to it, the driver can tell, stop and end it.
The driver's words come by the standard input: first what to do, as a line of JSON, then maybe `stop`. When the driver
ends, so does this process. What there is to tell goes to a pipe of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from headway_api.base import StatusSection
from headway_api.tuning import Tuning
from headway_api.understand import read_run_file
from headway_trainer import api
from headway_trainer.credentials import adopt
from headway_trainer.entrypoints import add_to_path, describe, load_function
from headway_trainer.errors import OutOfMemory, StorageError, UserError
from headway_trainer.ray.user_function import takes_arguments
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.exceptions import raise_as_users
from headway_trainer.tuning.own_messages import Over

if TYPE_CHECKING:
    from headway_trainer.ray.tuner_callback import Telling

STOP = b"stop\n"


class Task(StatusSection):
    """What the process is to do."""

    run: str
    """The run file, as JSON."""
    address: str
    """Of Ray's head."""
    temp_dir: str
    """Of Ray's files in this pod, or on this machine."""
    secret_dir: str | None
    code_dir: str | None
    """A folder of the user's code that is not on the path yet."""
    begin_anew: str
    """How a user begins anew, in words."""
    pipe: int
    """The file descriptor for messages."""


class Words:
    """What is said to the driver, from any thread. The last word is said once."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._lock, self._over = pipe, threading.Lock(), False

    def tell(self, message: BaseModel) -> None:
        """Say; nothing follows the last word."""
        data = message.model_dump_json().encode() + b"\n"
        with self._lock:
            if self._over:
                return
            self._over = isinstance(message, Over)
            while data:
                data = data[os.write(self._pipe, data) :]


def main() -> None:
    """Run the function of the job; the last word says how that ended."""
    signal.signal(signal.SIGUSR1, lambda *_: None)  # it ends an experiment, and must not end this process
    task = Task.model_validate_json(sys.stdin.buffer.readline())
    words = Words(task.pipe)
    try:
        words.tell(_judged(task, words))
    except BrokenPipeError:
        os._exit(1)  # there is no driver any more


def _judged(task: Task, words: Words) -> Over:
    from headway_trainer.ray.tuner_patches import NotRestored, Stopped

    try:
        _run(task, words)
    except Stopped:
        return Over(how="stopped")
    except SystemExit as error:
        if error.code not in {None, 0}:
            return Over(how="user", message=f"tuning.entrypoint has ended its process, with exit code {error.code}")
    except (Exception, NotRestored) as error:
        kinds: dict[type[BaseException], Literal["user", "memory", "storage"]] = {
            UserError: "user",
            NotRestored: "user",
            OutOfMemory: "memory",
            StorageError: "storage",
        }
        how = next((word for kind, word in kinds.items() if isinstance(error, kind)), None)
        if how is None:
            traceback.print_exc()
        return Over(how=how or "fault", message=str(error) if how is not None else describe(error))
    return Over(how="done")


def _run(task: Task, words: Words) -> None:
    """Raises UserError, OutOfMemory, StorageError, and what else ends the process."""
    import ray

    from headway_trainer.ray import tuner_callback, tuner_patches
    from headway_trainer.ray.run_storage import run_file_system
    from headway_trainer.ray.runtime import NAMESPACE
    from headway_trainer.training.checkpoints.store import RAY_FOLDER

    run = read_run_file(task.run)
    adopt(task.secret_dir)
    telling = tuner_callback.Telling(words.tell, threading.Event())
    tuner_callback.enter(telling)
    threading.Thread(target=_listen, args=(telling, words), name="headway-stop", daemon=True).start()
    os.environ["RAY_ADDRESS"] = task.address  # for a ray.init() that follows a ray.shutdown() of the user's
    folder = add_to_path(task.code_dir)
    ray.init(address=task.address, namespace=NAMESPACE, log_to_driver=False, _temp_dir=task.temp_dir)
    telling.nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    store = Store.open(run.storage_uri, task.secret_dir)
    fence = Checkpoints(store, run.attempt).refuse_if_fenced
    fence()
    filesystem, base = run_file_system(run.storage_uri, task.secret_dir, run.attempt)
    where = f"{store.child(RAY_FOLDER).uri}: begin again with {task.begin_anew}"
    tuning, each = run.spec.tuning or Tuning(), run.spec.workers.processes_each
    tuner_patches.install(telling, filesystem, f"{base}/{RAY_FOLDER}", where, places=tuning.workers_per_trial * each)
    api.enter(api.Here(store, None, 0, 1, fence, None, run.spec.seed))
    _call(tuning, None if folder is None else Path(folder))
    if not telling.plan.search:
        raise UserError(
            f"tuning.entrypoint {tuning.entrypoint} has run no experiment: call ray.tune.Tuner(...).fit() in it"
        )


def _call(spec: Tuning, folder: Path | None) -> None:
    """Call the user's function. Raises what it raises, as the user's."""
    name = spec.entrypoint or ""
    function = load_function(name)
    arguments = [dict(spec.arguments)] if takes_arguments(function, name, "tuning.entrypoint") else []
    try:
        function(*arguments)
    except (UserError, StorageError):
        raise
    except Exception as error:
        raise_as_users(error, f"tuning.entrypoint {name}", folder)
        raise


def _listen(telling: Telling, words: Words) -> None:
    """Hear the driver: a stop ends the experiment, or, where none is under way, this process."""
    for line in sys.stdin.buffer:
        if line != STOP:
            continue
        telling.stop.set()
        if not telling.fitting:
            with contextlib.suppress(OSError):
                words.tell(Over(how="stopped"))
            os._exit(0)
    os._exit(1)  # the driver is gone


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of Ray, and of the user's, may still be about; nothing that they do matters any more.
    os._exit(0)
