"""Seconds from the death of a training process to the next optimiser step, beside torchrun, which restarts its workers.

Both train the digits network with two processes on this machine; one is killed with SIGKILL in the middle. Ours counts
to the first checkpoint after the restart, ten steps later. They take turns, and the best of each counts: other work
only adds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.report import Goal, Measured, Reference
from harness import ROOT
from pods import Pods

RESTARTED = Path(__file__).with_name("restarted_ddp.py")
BIN = Path(sys.executable).parent
SECONDS = 300.0


def bare(folder: Path) -> float:
    """Under torchrun."""
    steps = folder / "first-steps"
    words: list[str | Path] = [
        BIN / "torchrun",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
        RESTARTED,
        folder,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    with (folder / "log").open("w") as log:
        torchrun = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
    try:
        _wait(lambda: len(_lines(steps)) == 1)
        time.sleep(1)
        killed = time.time()
        os.kill(int((folder / "pid-1").read_text()), signal.SIGKILL)
        _wait(lambda: len(_lines(steps)) == 2)
        return float(_lines(steps)[1]) - killed
    finally:
        torchrun.terminate()  # it ends its workers, too
        torchrun.wait(60)


def ours(folder: Path) -> float:
    """A job's pods, as processes of this machine."""
    spec: dict[str, Any] = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())["spec"]
    spec["training"] |= {"epochs": 10_000, "checkpoint": {"everySteps": 10}}
    with Pods(folder, spec) as pods:
        pods.start_all()
        newest = pods.wait_for_checkpoint(100)
        killed = time.time()
        os.kill(pods.training_pid("worker-1"), signal.SIGKILL)
        _wait(lambda: "was lost after step" in pods.log("head"))
        newest = int(pods.checkpoints()[-1].split("-")[1])
        pods.wait_for_checkpoint(newest + 1)
        return time.time() - killed


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come within {SECONDS:.0f} seconds")
        time.sleep(0.02)


def process(rounds: int = 3) -> Iterator[Measured]:
    """A training process killed, its pod alive."""
    rivals: list[float] = []
    figures: list[float] = []
    for _ in range(rounds):
        for measure, found in (bare, rivals), (ours, figures):
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(Path(folder)))
    yield Measured(
        "training process killed -> next optimiser step, digits cnn, 2 workers",
        min(figures),
        "s",
        Reference("torchrun, workers restarted", round(min(rivals), 2)),
        Goal("at most", 1.5, "ratio"),
    )


PARTS = {"process": process}
