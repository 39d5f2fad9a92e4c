"""The driver's side of the training stage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.errors import UserError
from headway_trainer.logs.shipper import LOST_LINES
from headway_trainer.progress_log import Rhythm
from headway_trainer.ray import own_stage
from headway_trainer.ray import train_stage as stages
from headway_trainer.ray.watchdog import LiveWorkers
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainEnd, TrainProgress
from training_runs import Ticks, data_info

SPEC = TrainingJobSpec.model_validate(
    {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "mlp"}, "training": {"epochs": 1}}
)
SINCE = "since the workers began"


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


def made(
    folder: Path,
    *,
    on_progress: Callable[[TrainProgress], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> stages.TrainingStage:
    return stages.TrainingStage(
        run=wire.RunFile(namespace="n", name="x", uid="u", storage_uri=str(folder), spec=SPEC),
        store=Store.open(str(folder)),
        secret_dir=None,
        code_dir=None,
        gpus=0,
        threads=1,
        stop=threading.Event(),
        on_progress=on_progress,
        note=lambda _: None,
        alive=lambda: None,
        warn=warn,
    )


@pytest.mark.parametrize("last", [TrainProgress(step=7), ValueError("this is no progress")])
def test_how_the_fit_ended_is_told_whatever_its_last_progress_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: TrainProgress | Exception
) -> None:
    monkeypatch.setattr(stages, "Fitting", lambda _: Ended(UserError("lower the learning rate")))
    monkeypatch.setattr(stages, "DriverLink", lambda _: Link(last))
    told: list[TrainProgress] = []
    with pytest.raises(UserError, match="lower the learning rate"):
        stages.train(made(tmp_path, on_progress=told.append), data_info(1, 0))
    assert told == ([last] if isinstance(last, TrainProgress) else [])


class Reported:
    """A training function's reports so far: none."""

    reached, count, step, newest = None, 0, 0, None

    def __init__(self, *_: object, **__: object) -> None:
        """Nothing is kept."""

    def recover(self) -> list[str]:
        return []

    def run_config(self) -> None:
        """Nowhere."""

    def end(self, _: int | None) -> TrainEnd:
        return TrainEnd(finished=True, step=7)


class Training(Ended):
    """A fit that goes on for some turns of the driver's loop."""

    def __init__(self, turns: int) -> None:
        super().__init__(UserError(""))
        self.done: Any = SimpleNamespace(wait=lambda _: self._turn())
        self._turns = turns

    def _turn(self) -> bool:
        self._turns -= 1
        return self._turns < 0

    def value(self) -> None:
        """It has ended well."""


class Steps:
    """The driver's link to a function that reports nothing, and whose worker has lost lines."""

    def steps(self) -> bytes:
        return b"13000"

    def lost_lines(self) -> bool:
        return True


def test_a_function_that_reports_nothing_is_told_to_go_on_by_its_steps_and_lost_lines_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="headway.training")
    for name, stand_in in (
        ("Fitting", lambda _: Training(700)),
        ("DriverLink", lambda _: Steps()),
        ("Reports", Reported),
    ):
        monkeypatch.setattr(own_stage, name, stand_in)
    monkeypatch.setattr(own_stage, "Rhythm", lambda: Rhythm(Ticks(0.25)))
    warned: list[str] = []
    assert own_stage.train_own(made(tmp_path, warn=warned.append), None).step == 7
    line = f"the training function has reported nothing yet; rank 0 has made 13000 optimiser steps {SINCE}"
    assert [record.message for record in caplog.records] == [line] * 2, "of 175 seconds"
    assert set(warned) == {LOST_LINES}
