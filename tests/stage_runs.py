"""Runs of the driver's training stage, one after the other over one embedded Ray: `python -m stage_runs FOLDER`.

Each line of standard input is a run as JSON (function, arguments, code, seconds); each line of standard output is how
the driver would end, as JSON. What Ray and its workers print goes to standard error.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any
from unittest import mock

from headway_api import wire
from headway_trainer.outcome import judge
from headway_trainer.ray.runtime import Head, set_environment
from headway_trainer.storage import Store

_live: list[Any] = []


def main() -> None:
    answers = _answers()
    set_environment()
    head = Head(processes=2)
    head.start()
    head.wait()
    folder = Path(sys.argv[1])
    for number, line in enumerate(sys.stdin):
        answer = _run(folder / str(number), json.loads(line))
        print(json.dumps(answer), file=answers, flush=True)
    head.stop()


def _answers() -> IO[str]:
    """The standard output, for answers alone.

    A thread of Ray's prints what workers print, at any time: also between a line and its end.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _run(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    from ray.experimental.internal_kv import _internal_kv_del

    from headway_trainer.ray.kv_link import KEY_LEFT, KEY_STEPS
    from headway_trainer.ray.own_stage import train_own
    from headway_trainer.ray.runtime import KV_NAMESPACE
    from headway_trainer.ray.train_stage import TrainingStage

    for key in (KEY_LEFT, KEY_STEPS):  # a Ray cluster has one run
        _internal_kv_del(key, namespace=KV_NAMESPACE)
    training = {"entrypoint": asked["function"], "arguments": asked.get("arguments", {})}
    run = wire.RunFile.model_validate(
        {
            "namespace": "",
            "name": "job",
            "uid": "",
            "storageUri": str(folder),
            "spec": {"training": training, "workers": {"replicas": 2, "resources": {"cpu": "300m"}}},
        }
    )
    notes: list[str] = []
    stage = TrainingStage(
        run=run,
        store=Store.open(str(folder)),
        secret_dir=None,
        code_dir=asked["code"],
        gpus=0,
        threads=1,
        stop=threading.Event(),
        on_progress=lambda _: None,
        note=notes.append,
        alive=lambda: None,
    )
    began = time.monotonic()
    try:
        with mock.patch(
            "headway_trainer.ray.train_stage.Watchdog", functools.partial(_quick, asked.get("seconds", 60))
        ):
            train_own(stage, None)
    except Exception as error:
        verdict = judge(error)
        ended = {"code": verdict.exit_code, "cause": verdict.cause, "message": verdict.message}
    else:
        ended = {"code": 0, "cause": None, "message": ""}
    stage.stop.set()
    _end_workers()
    return ended | {"notes": notes, "seconds": round(time.monotonic() - began, 1)}


def _quick(seconds: float, live: Any, /, **keywords: Any) -> Any:
    """The least that a spec may say is too long for a test."""
    from headway_trainer.ray.watchdog import Watchdog

    _live.append(live)
    return Watchdog(live, **(keywords | {"seconds": seconds}))


def _end_workers() -> None:
    """The driver would end now, and Ray with it."""
    import ray

    for live in _live:
        for worker in live.workers:
            ray.kill(worker.actor)
    _live.clear()


if __name__ == "__main__":
    main()
