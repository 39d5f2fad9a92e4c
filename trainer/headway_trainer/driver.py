"""The head pod's main process: `python -m headway_trainer.driver`.

It starts Ray's head, runs the pipeline, and leaves an Outcome as the container's termination message, however it ends.
"""

from __future__ import annotations

from headway_trainer.stop import hear

if __name__ == "__main__":
    hear()  # before the imports, which take a second

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from headway_api import wire
from headway_trainer import outcome
from headway_trainer.credentials import adopt, mounted
from headway_trainer.logs import shipper, sources
from headway_trainer.logs.capture import FORMAT, capture
from headway_trainer.pod import ENV_TERMINATION_FILE, read_run_file, touch_ready
from headway_trainer.progress import ConfigMapSink, Nowhere, Sink, config_map_sender
from headway_trainer.ray.runtime import Head, set_environment, wants_runtime_envs

if TYPE_CHECKING:
    from headway_trainer.pipeline import Pipeline

log = logging.getLogger("headway.driver")
GRACE_SECONDS = 95.0
"""How long the driver may take to stop: a little more than a checkpoint may, less than a head pod's grace period."""
LEAVE_SECONDS = 20.0
"""How long the end of Ray's processes, and of the last patch, may take once the last word is said."""
LINES_SECONDS = 1.0
"""How long what the training processes printed last may be on its way to this process' log, which people read first."""
WATCH_SECONDS = 0.5
Word = Callable[[outcome.Verdict], wire.Outcome]
"""Makes the last word of an attempt that did not succeed."""


def main() -> int:
    """Run the attempt that HEADWAY_RUN_FILE describes; the exit code of `wire`."""
    stop, ending = hear(), Ending()
    logging.basicConfig(level=logging.INFO, format=FORMAT)
    try:
        run = read_run_file()
    except Exception:
        log.exception("there is no run file that this image can read")
        return wire.EXIT_INTERNAL
    logs = shipper.of_attempt(run, sources.DRIVER, wire.STORAGE_SECRET_DIR, tidies=True)
    capture(lambda lines: logs.add(None, lines))
    logs.start()
    ending.last_lines = logs.close
    try:
        set_environment()
        log.info("attempt %d of %s/%s begins", run.attempt, run.namespace, run.name)
        return _attempt(run, stop, ending, logs)
    except BaseException as error:  # whatever it is: a word is left
        traceback.print_exception(error)
        verdict = outcome.judge(error)
        word = wire.Outcome(
            uid=run.uid, attempt=run.attempt, outcome="Failed", cause=verdict.cause, message=verdict.message
        )
        ending.say(verdict.exit_code, word)
        return ending.code
    finally:
        logs.close()


def _attempt(run: wire.RunFile, stop: threading.Event, ending: Ending, logs: shipper.Shipper) -> int:
    from headway_trainer.pipeline import Pipeline
    from headway_trainer.run import Surroundings

    adopt(wire.STORAGE_SECRET_DIR)
    head = Head(
        host=os.environ.get(wire.ENV_POD_IP),
        port=_port(),
        runtime_envs=wants_runtime_envs(run.spec),
        temp_dir=os.environ.get("RAY_TMPDIR"),
    )
    sink = _sink(run)
    surroundings = Surroundings(
        head=head,
        sink=sink,
        stop=stop,
        note=log.info,
        ready=touch_ready,
        succeeded=lambda last_word: say(wire.EXIT_SUCCEEDED, last_word),
        gpus=run.spec.workers.replicas * run.spec.workers.resources.gpu,
        storage_secret_dir=mounted(wire.STORAGE_SECRET_DIR),
    )
    pipeline = Pipeline(run, surroundings)
    logs.on_lost = lambda _: pipeline.reporter.warn(shipper.LOST_LINES)
    for watch, seen in ((ending.keep_to_grace, stop), (ending.keep_to_ray, head)):
        threading.Thread(target=watch, args=(seen, pipeline.reporter.failed), daemon=True).start()

    def say(code: int, last_word: wire.Outcome) -> None:
        if ending.say(code, last_word):
            # Once more where it outlives a head pod that is deleted before the operator has read it.
            sink.update(pipeline.reporter.told.progress.model_copy(update={"outcome": last_word}))

    say(*_word_of(pipeline))
    sink.close()
    time.sleep(LINES_SECONDS)
    head.stop()
    return ending.code


class Ending:
    """The driver's end: the last word is said once, and nothing that hangs keeps the process."""

    def __init__(self, leave: Callable[[int], None] = os._exit) -> None:
        self._lock, self._said, self._exit = threading.Lock(), threading.Event(), leave
        self.code = wire.EXIT_INTERNAL
        """The exit code that goes with what was said."""
        self.last_lines: Callable[[], None] = lambda: None
        """Sees to it, in bounded time, that the last lines of this process are kept."""

    def say(self, code: int, last_word: wire.Outcome) -> bool:
        """Leave the last word, and leave with code at the latest after LEAVE_SECONDS; whether it is the first."""
        with self._lock:
            if self._said.is_set():
                return False
            self.code = code
            self._said.set()
            timer = threading.Timer(LEAVE_SECONDS, self._leave, (code,))
            timer.daemon = True
            with contextlib.suppress(RuntimeError):  # a pod at its limit of processes starts no thread
                timer.start()
            try:
                outcome.write(last_word, os.environ.get(ENV_TERMINATION_FILE, wire.TERMINATION_FILE))
            except OSError:
                # Without it the operator still has the exit code.
                log.exception("the termination message could not be written")
            log.info("%s: %s", last_word.outcome, last_word.message or "done")
            return True

    def _leave(self, code: int) -> None:
        with contextlib.suppress(Exception):
            self.last_lines()
        self._exit(code)

    def keep_to_grace(self, stop: threading.Event, word: Word) -> None:
        """Once a stop is asked for, end within the pod's grace period, whatever the main thread is in."""
        stop.wait()
        time.sleep(GRACE_SECONDS)
        message = f"stopped; the driver was still busy {GRACE_SECONDS:.0f} seconds later, and was ended as it was"
        verdict = outcome.Verdict(wire.EXIT_INTERRUPTED, None, message)
        self.say(verdict.exit_code, word(verdict))
        self._leave(verdict.exit_code)

    def keep_to_ray(self, head: Head, word: Word) -> None:
        """End when one of Ray's own processes here has ended. Its client would end this process after a minute of
        calls that do not return, without a word."""
        while not self._said.wait(WATCH_SECONDS):
            if (fault := head.fault()) is not None:
                verdict = outcome.judge(fault)
                if self.say(verdict.exit_code, word(verdict)):
                    self._leave(verdict.exit_code)


def _word_of(pipeline: Pipeline) -> tuple[int, wire.Outcome]:
    try:
        _, last_word = pipeline.execute()
    except BaseException as error:  # SystemExit, too: how this process ends is said here alone
        verdict = outcome.judge(error)
        if verdict.cause in {"Internal", "NodeLost"}:
            traceback.print_exception(error)
        return verdict.exit_code, pipeline.reporter.failed(verdict)
    return wire.EXIT_SUCCEEDED, last_word


def _port() -> int:
    """The port in HEADWAY_HEAD_ADDRESS, where the workers look for the head."""
    address = os.environ.get(wire.ENV_HEAD_ADDRESS, "")
    _, _, port = address.rpartition(":")
    return int(port) if port.isdigit() else wire.RAY_PORT


def _sink(run: wire.RunFile) -> Sink:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if run.config_map is None or not host or not port:
        return Nowhere()
    send = config_map_sender(run.namespace, run.config_map, host=host, port=port)
    return ConfigMapSink(send, run.progress_seconds)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of Ray may still be about; nothing that they do matters any more.
    os._exit(code)
