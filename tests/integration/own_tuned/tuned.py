"""A training function whose trials end in all ways that there are."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ray import train

from headway_trainer import TrialStopped, save_model

CALLS: list[float] = []


def main(config: dict[str, Any]) -> None:
    level, rank = config["level"], train.get_context().get_world_rank()
    CALLS.append(level)
    os.environ["TUNED_LEVEL"] = f"{os.environ.get('TUNED_LEVEL', '')}{level}"
    told = {"level": level, "rank": rank, "pid": os.getpid(), "calls": CALLS, "left": os.environ["TUNED_LEVEL"]}
    with Path(config["told"]).open("a") as stream:
        stream.write(json.dumps(told) + "\n")
    if level == config["broken"]:
        raise ValueError(f"{level} is no level")
    for epoch in range(_epochs_done() + 1, 7):
        value = level - abs(epoch - 5) / 100  # the fifth report is the best
        if epoch <= 5:
            save_model({"level": torch.tensor([level, float(epoch)])})
        _report({"score": value, "epoch": epoch}, rank, stubborn=level == config["stubborn"])
        if (level, epoch, rank) == (config["killed"], 3, 1) and not Path(config["kills"]).exists():
            Path(config["kills"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _epochs_done() -> int:
    checkpoint = train.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as folder:
        return int(json.loads(Path(folder, "rank-0.json").read_text())["epoch"])


def _report(metrics: dict[str, Any], rank: int, *, stubborn: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"rank-{rank}.json").write_text(json.dumps(metrics))
        try:
            train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder) if rank == 0 else None)
        except TrialStopped:
            while stubborn:
                time.sleep(0.1)
            raise
