"""Steps a second of the built-in loop, beside the same model in a loop written by hand for torchrun.

Both train two processes of one thread each on this machine, one after the other, several times; each run counts with
the median of its passes over the data, without the first, and of the runs the best counts: other work only adds.
A run is long beside the first seconds, in which Ray starts processes that idle later.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from bench.report import Goal, Measured, Reference
from harness import ROOT, run

BARE = Path(__file__).with_name("bare_ddp.py")
BIN = Path(sys.executable).parent


def bare(epochs: int) -> float:
    """Steps a second under torchrun."""
    words = (BIN / "torchrun", "--standalone", "--nproc-per-node", "2", BARE, str(epochs))
    told = json.loads(run(*words, timeout=600, OMP_NUM_THREADS="1").splitlines()[-1])
    return float(told["stepsAnEpoch"] / statistics.median(told["seconds"][1:]))


def ours(epochs: int, folder: Path) -> float:
    """Steps a second under `headway run`."""
    job = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())
    job["spec"]["training"]["epochs"] = epochs
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    run(BIN / "headway", "run", folder / "job.yaml", "--output", folder / "out", timeout=600, OMP_NUM_THREADS="1")
    training = json.loads((folder / "out/result.json").read_text())["training"]
    steps = training["steps"] / training["epochsRun"]
    return float(steps / statistics.median(record["seconds"] for record in training["history"][1:]))


def loop(epochs: int = 150, rounds: int = 3) -> Iterator[Measured]:
    """The digits network on two workers."""
    rivals, figures = [], []
    for _ in range(rounds):
        rivals.append(bare(epochs))
        with tempfile.TemporaryDirectory() as folder:
            figures.append(ours(epochs, Path(folder)))
    yield Measured(
        "training loop, digits cnn, 2 workers",
        max(figures),
        "steps/s",
        Reference("torchrun, bare DistributedDataParallel", round(max(rivals), 2)),
        Goal("at least", 0.98, "ratio"),
    )


PARTS = {"loop": loop}
