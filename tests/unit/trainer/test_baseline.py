"""The baseline: what always saying the same of every row reaches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from headway_api.data import Data
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.evaluation import evaluate
from headway_trainer.evaluation.baseline import baseline
from headway_trainer.evaluation.evaluate import Shard
from headway_trainer.programs import Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.process_group import Alone


def _judged(info: DataInfo, store: Store, metrics: list[str]) -> dict[str, float]:
    _, y = read_split(store, info, "test")
    return evaluate(
        Supervised(baseline(info), task_of(info)), Shard(y, y, len(y)), metrics=metrics, ranks=Alone()
    ).scalars


def test_a_class_is_always_the_most_frequent_one_of_the_training_part(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    info = prepare(Data.model_validate({"source": {"builtin": {"name": "breast_cancer"}}}), seed=0, store=store)
    assert info.class_balance is not None
    counts = info.class_balance["test"]
    said = _judged(info, store, ["accuracy", "balancedAccuracy"])
    assert said["accuracy"] == pytest.approx(counts["benign"] / sum(counts.values()))
    assert said["balancedAccuracy"] == pytest.approx(0.5)
    assert 0.6 < said["loss"] < 0.7


def test_a_number_is_always_the_mean_of_the_training_part(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    info = prepare(Data.model_validate({"source": {"builtin": {"name": "diabetes"}}}), seed=0, store=store)
    _, y = read_split(store, info, "test")
    said = _judged(info, store, ["mse", "r2"])
    assert said["loss"] == pytest.approx(float(y.square().mean()))
    assert said["mse"] == pytest.approx(float(y.square().mean()) * info.target_std[0] ** 2, rel=1e-5)
    assert said["r2"] <= 0


def test_it_says_the_same_of_rows_of_any_shape() -> None:
    info = DataInfo(task="regression", input_shape=(3,), outputs=2, rows={}, content_hash="", digest="")
    assert torch.equal(baseline(info)(torch.ones(4, 3, 8, 8)), torch.zeros(4, 2))
