"""What a training function of the user's own reports."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway_trainer.storage import Store
from headway_trainer.training.failures import Reached
from headway_trainer.training.link import TrainProgress
from headway_trainer.training.reports import FOLDER, RUN_NAME, Reports


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def report(reports: Reports, values: dict[str, Any], *, checkpoint: str | None = None) -> None:
    """Report as rank 0's function would, through Ray Train."""
    saved = None if checkpoint is None else SimpleNamespace(path=f"/x/{checkpoint}")
    reports.after_report(None, [values], saved)


def test_what_is_reached_never_grows_by_beginning_from_nothing_again(store: Store) -> None:
    reports = Reports(store, lambda _: None)
    for _ in range(2):
        reports.after_exception(None, {})
        assert reports.reached == Reached(0, 0)
        for _ in range(3):
            report(reports, {"loss": 1.0})
        assert reports.reached == Reached(3, 0)
    assert reports.count == 6


def test_a_reported_step_and_each_checkpoint_are_what_is_reached(store: Store) -> None:
    store.child(FOLDER, RUN_NAME).write("checkpoint_manager_snapshot.json", json.dumps({}).encode())
    told: list[TrainProgress] = []
    reports = Reports(store, told.append)
    report(reports, {"step": 40}, checkpoint="a")
    report(reports, {"step": 50}, checkpoint="b")
    assert reports.reached == Reached(50, 2)
    assert told[-1].step == 50
