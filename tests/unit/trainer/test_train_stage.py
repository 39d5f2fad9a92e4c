"""The driver's side of the training stage."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.errors import UserError
from headway_trainer.ray import train_stage as stages
from headway_trainer.ray.watchdog import LiveWorkers
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainProgress
from training_runs import data_info

SPEC = TrainingJobSpec.model_validate(
    {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "mlp"}, "training": {"epochs": 1}}
)


class Ended:
    """A fit that has ended as a worker's exception says."""

    def __init__(self, error: Exception) -> None:
        self.done, self.live = threading.Event(), LiveWorkers()
        self.done.set()
        self._error = error

    def start(self) -> None:
        """It has ended."""

    def value(self) -> Any:
        raise self._error


class Link:
    """The driver's link: the last progress, or what reading it raises."""

    def __init__(self, last: TrainProgress | Exception) -> None:
        self._last = last

    def progress(self) -> TrainProgress:
        if isinstance(self._last, Exception):
            raise self._last
        return self._last


@pytest.mark.parametrize("last", [TrainProgress(step=7), ValueError("this is no progress")])
def test_how_the_fit_ended_is_told_whatever_its_last_progress_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: TrainProgress | Exception
) -> None:
    monkeypatch.setattr(stages, "Fitting", lambda _: Ended(UserError("lower the learning rate")))
    monkeypatch.setattr(stages, "DriverLink", lambda: Link(last))
    told: list[TrainProgress] = []
    stage = stages.TrainingStage(
        run=wire.RunFile(namespace="n", name="x", uid="u", storage_uri=str(tmp_path), spec=SPEC),
        store=Store.open(str(tmp_path)),
        secret_dir=None,
        code_dir=None,
        gpus=0,
        stop=threading.Event(),
        on_progress=told.append,
        note=lambda _: None,
        alive=lambda: None,
    )
    with pytest.raises(UserError, match="lower the learning rate"):
        stages.train(stage, data_info(1, 0))
    assert told == ([last] if isinstance(last, TrainProgress) else [])
