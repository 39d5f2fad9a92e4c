"""Searches that were never run: what their log has, of any size, the same each time."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake_kubectl import recorded
from headway_api.tuning import Tuning
from headway_trainer.publish import RESULT_FILE
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import TrialRecord, trial_records, write_trials
from headway_trainer.report.trials import best_first, tuning_result
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event
from headway_trainer.tuning.log import EventLog

METRIC = "validation/loss"
LR, NAME, HIDDEN, MOMENTUM = (
    "training.optimizer.lr", "training.optimizer.name", "model.options.hidden", "training.optimizer.momentum",
)  # fmt: skip
PARAMETERS: dict[str, Any] = {
    LR: {"logUniform": {"min": 1e-4, "max": 1}},
    NAME: {"choice": ["sgd", "adamw"]},
    HIDDEN: {"choice": [[32], [64], [64, 32]]},
    MOMENTUM: {"uniform": {"min": 0, "max": 0.99}, "when": {NAME: ["sgd"]}},
    "training.batchSize": {"choice": [32, 64, 128]},
}
EPOCHS = 12


def happened(count: int, seed: int = 1) -> list[Event]:
    """What happens in a search of so many trials: a tenth is stopped early, every 23rd fails, every 31st diverges."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    found: list[Event] = []
    for number in range(1, count + 1):
        given: dict[str, Any] = {
            LR: float(f"{10 ** draw.uniform(-4, 0):.4g}"),
            NAME: draw.choice(["sgd", "adamw"]),
            HIDDEN: draw.choice([[32], [64], [64, 32]]),
            "training.batchSize": draw.choice([32, 64, 128]),
        }
        if given[NAME] == "sgd":
            given[MOMENTUM] = round(draw.uniform(0, 0.99), 3)
        found.append(Asked(trial=number, parameters=given, at=10.0 * number))
        if number % 23 == 0:
            told = "<script>alert(1)</script> CUDA out of memory"
            found.append(Ended(trial=number, state="failed", cause="OutOfMemory", message=told, seconds=4.0))
            continue
        epochs = 4 if number % 10 == 0 else EPOCHS
        floor = 0.1 + 0.12 * abs(math.log10(given[LR]) + 2) + 0.04 * draw.random() + 0.02 * len(given[HIDDEN])
        curve = [(epoch, floor + math.exp(-epoch / 3) * 1.5) for epoch in range(1, epochs + 1)]
        if number % 31 == 0:
            curve = [(epoch, 1e6 * epoch) for epoch in range(1, epochs + 1)]
        found.append(
            Ended(
                trial=number,
                state="stopped" if epochs < EPOCHS else "completed",
                value=min(value for _, value in curve),
                epochs=epochs,
                seconds=9.5 * epochs,
                curve=[(epoch, value) for epoch, value in curve],
            )
        )
    return found


def finish(folder: Path, records: list[TrialRecord]) -> None:
    """Leave what a finished run leaves of its trials; its report, whose plots take seconds, is not among that."""
    folder.mkdir(parents=True, exist_ok=True)
    write_trials(Store.open(str(folder)), records)
    best = best_first(records, "min")[0].number
    told = tuning_result(
        Tuning.model_validate({"parameters": PARAMETERS}),
        METRIC,
        records,
        best=best,
        ended="All trials that were asked for have ended.",
        importances={LR: 0.71, HIDDEN: 0.1, NAME: 0.05},
    )
    fields: dict[str, Any] = {"job": "search", "outcome": "Succeeded", "seed": 1, "world_size": 1, "tuning": told}
    times = {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:00Z", "duration_seconds": 60.0}
    (folder / RESULT_FILE).write_text(RunResult.model_validate(fields | times).model_dump_json())


def write(folder: Path, count: int, *, ended: bool = True) -> list[TrialRecord]:
    """Leave what a search of so many trials has left in its folder; its trials."""
    found = happened(count)
    records = trial_records(found)
    if ended:
        finish(folder, records)
    else:
        log(folder, found)
    return records


def log(folder: Path, events: Sequence[Event]) -> None:
    """Leave what a search that goes on has left."""
    folder.mkdir(parents=True, exist_ok=True)
    EventLog(Store.open(str(folder)), 1).append(*events)


def job(folder: Path, count: int, *, name: str = "search") -> dict[str, Any]:
    """A running job whose search that is; its volume is read by `kubectl exec`."""
    made = copy.deepcopy(recorded("running"))
    made["metadata"] |= {"name": name, "uid": f"uid-of-{name}"}
    made["spec"]["tuning"] = {"parameters": PARAMETERS, "metric": METRIC}
    made["status"]["attempts"][-1]["logs"] = f"{folder}/logs/attempt-1"
    failed, stopped = count // 23, count // 10
    made["status"]["tuning"] = {
        "metric": METRIC, "planned": count, "completed": count - failed - stopped, "stopped": stopped,
        "failed": failed, "best": {"trial": 1, "value": "0.2", "parameters": {LR: "0.01"}},
        "runningTrials": [{"trial": count + 1, "epoch": 3, "value": "0.4"}],
    }  # fmt: skip
    return made
