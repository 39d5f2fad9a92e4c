"""Preparing rows and learning from them, each in a process of its own, for tests that limit their memory.

`python -m limited_run prepare|NAME_OF_A_RUN SOURCE FOLDER [LIMIT [STOP]]` prints what it found as JSON. LIMIT, in
bytes, is what the process may take beyond what the program itself takes, where no control group says it: everything
that is sized for pods is an eighth then. STOP is the step in which the run is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from headway_api.data import Data
from headway_trainer.data import DataInfo, features, info, leaks, prepare, reference, scratch
from headway_trainer.data.read import memory, parquet
from headway_trainer.storage import Store

EIGHTHS = (
    (scratch, "_SEGMENT"), (scratch, "BLOCK_BYTES"), (scratch, "BUCKET_BYTES"), (scratch, "HELD_BYTES"),
    (scratch, "UNSYNCED_BYTES"), (features, "BLOCKS_OF_DISK"), (info, "WINDOW_BYTES"), (memory, "STREAMING_BYTES"),
    (parquet, "_READ_BYTES"), (leaks, "MOST_VALUES"), (reference, "_MAX_NUMBERS"),
)  # fmt: skip


def main() -> None:
    work, source, folder, limit, stop = [*sys.argv[1:], "0", "0"][:5]
    store = Store.open(folder)
    spec = Data.model_validate({"source": {"uri": source}, "target": "label"})
    began = _anonymous()
    if int(limit):
        for module, name in EIGHTHS:
            setattr(module, name, getattr(module, name) // 8)
        setattr(memory, "available_bytes", lambda: began + int(limit) - _anonymous())  # noqa: B010 - not as it is typed
    with Peak() as peak:
        found = prepare(spec, seed=0, store=store, process_memory=int(limit) or memory.limit_bytes())
        told: dict[str, Any] = {"rows": found.rows, "notes": found.notes, "blocks": found.blocks is not None}
        if work != "prepare":
            told = _train(store, Store.open(f"{folder}/runs/{work}"), found, int(stop))
            # The libraries of a model are no rows.
            began = told.pop("began")
    print(json.dumps(told | {"taken": peak.bytes - began}))


def _train(store: Store, runs: Store, found: DataInfo, stop: int) -> dict[str, Any]:
    import torch

    from headway_api.model import Model
    from headway_trainer.entrypoints import load_function
    from headway_trainer.models import build
    from training_runs import finish, job_of, training

    spec = Model.model_validate({"name": "mlp", "options": {"hidden": [16]}})
    torch.manual_seed(0)
    program = build(spec, found, load_function=load_function)
    fields = training(epochs=1, batchSize=1024, checkpoint={"everySteps": 10})
    job = job_of(found, store, program, fields, run=runs)
    steps = 0

    def kill(module: torch.nn.Module, *_: object) -> None:
        nonlocal steps
        steps += module.training
        if steps == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    job.model.register_forward_pre_hook(kill)
    began = _anonymous()
    end, weights = finish(job)
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights.values())).hexdigest()
    return {"began": began, "step": end.step, "resumed": end.resumed_from_step, "weights": digest}


def _anonymous() -> int:
    """Bytes that this process has for itself: no pages of files, which the kernel takes back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


class Peak:
    """The most that this process had for itself at any time."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.bytes = max(self.bytes, _anonymous())


if __name__ == "__main__":
    main()
