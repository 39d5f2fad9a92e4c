"""The head pod's main process: `python -m headway_trainer.driver`.

It starts Ray's head, runs the pipeline, and leaves an Outcome as the container's termination message, however it ends.
"""

from __future__ import annotations

from headway_trainer.stop import hear

if __name__ == "__main__":
    hear()  # before the imports, which take a second

import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from headway_api import wire
from headway_trainer import outcome
from headway_trainer.pod import ENV_TERMINATION_FILE, read_run_file, touch_ready
from headway_trainer.progress import ConfigMapSink, Nowhere, Sink, config_map_sender
from headway_trainer.ray_runtime import Head, set_environment

if TYPE_CHECKING:
    from headway_trainer.pipeline import Pipeline

log = logging.getLogger("headway.driver")


def main() -> int:
    """Run the attempt that HEADWAY_RUN_FILE describes; the exit code of `wire`."""
    stop = hear()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    set_environment()
    code, last_word = _attempt(read_run_file(), stop)
    try:
        outcome.write(last_word, os.environ.get(ENV_TERMINATION_FILE, wire.TERMINATION_FILE))
    except OSError:
        # Without it the operator still has the exit code.
        log.exception("the termination message could not be written")
    log.info("%s: %s", last_word.outcome, last_word.message or "done")
    return code


def _attempt(run: wire.RunFile, stop: threading.Event) -> tuple[int, wire.Outcome]:
    from headway_trainer.pipeline import Pipeline, Surroundings

    head = Head(host=os.environ.get(wire.ENV_POD_IP), port=_port(), temp_dir=os.environ.get("RAY_TMPDIR"))
    sink = _sink(run)
    surroundings = Surroundings(
        head=head,
        sink=sink,
        stop=stop,
        note=log.info,
        ready=touch_ready,
        gpus=run.spec.workers.replicas if run.spec.workers.resources.gpu else 0,
        storage_secret_dir=_folder(wire.STORAGE_SECRET_DIR),
    )
    pipeline = Pipeline(run, surroundings)
    try:
        code, last_word = _word_of(pipeline)
        # Once more where it outlives a head pod that is deleted before the operator has read it.
        sink.update(pipeline.told.progress.model_copy(update={"outcome": last_word}))
        return code, last_word
    finally:
        sink.close()
        head.stop()


def _word_of(pipeline: Pipeline) -> tuple[int, wire.Outcome]:
    try:
        _, last_word = pipeline.execute()
    except Exception as error:
        verdict = outcome.judge(error)
        if verdict.cause in {"Internal", "NodeLost"}:
            traceback.print_exception(error)
        return verdict.exit_code, pipeline.last_word(verdict)
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
    return ConfigMapSink(config_map_sender(run.namespace, run.config_map, host=host, port=port))


def _folder(path: str) -> str | None:
    return path if Path(path).is_dir() else None


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of Ray may still be about; nothing that they do matters any more.
    os._exit(code)
