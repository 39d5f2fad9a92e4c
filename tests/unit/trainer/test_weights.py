"""Weights of rows and of classes: what they are, and that training heeds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn
from torch.nn import functional

from headway_api import wire
from headway_trainer.data.info import SPLITS, w_file, x_file, y_file
from headway_trainer.data.shards import read_weights, write_array
from headway_trainer.errors import UserError
from headway_trainer.estimators.base import Place
from headway_trainer.estimators.loop import loop_inputs
from headway_trainer.storage import Store
from headway_trainer.tasks.balance import balanced_weights
from headway_trainer.training.link import Silence
from headway_trainer.training.loop import Loop
from headway_trainer.training.process_group import Alone
from training_runs import CLASSES, FEATURES, data_info, make_job, rows, training


class Of(Alone):
    """A rank whose sums over all ranks are known beforehand."""

    def __init__(self, total: torch.Tensor) -> None:
        self._total = total

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.shape == self._total.shape
        return self._total


@settings(max_examples=25)
@given(
    labels=st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=30),
    own=st.floats(0.1, 10.0),
    cut=st.integers(0, 30),
)
def test_balanced_weights_are_scikit_learns_on_any_ranks(labels: list[int], own: float, cut: int) -> None:
    y = torch.tensor(labels)
    alone = balanced_weights(y, 4, None, Alone())
    assert alone.numpy() == pytest.approx(compute_sample_weight("balanced", labels), rel=1e-6)
    assert alone.mean() == pytest.approx(1.0, rel=1e-5)
    total = torch.bincount(y, minlength=4).double()
    parts = [balanced_weights(part, 4, None, Of(total)) for part in (y[:cut], y[cut:])]
    assert torch.equal(torch.cat(parts), alone)
    # With weights of their own, too, each class weighs as much as any other, and all rows what they weighed before.
    weights = torch.linspace(0.5, own, len(y))
    both = balanced_weights(y, 4, weights, Alone())
    sums = torch.bincount(y, weights=both.double())
    assert sums[sums > 0].numpy() == pytest.approx(weights.sum().item() / (sums > 0).sum().item(), rel=1e-5)


def _linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(FEATURES, CLASSES)


def test_a_step_is_that_of_the_weighted_mean_and_rows_that_weigh_nothing_teach_nothing(tmp_path: Path) -> None:
    weights = torch.rand(60, generator=torch.Generator().manual_seed(3))
    weights[::4] = 0.0
    weights /= weights.mean()
    spec = training(epochs=1, batchSize=60, optimizer={"name": "sgd", "lr": 0.5, "momentum": 0.0})
    job = dataclasses.replace(
        make_job(Store.open(str(tmp_path)), spec, model=_linear(), validation_rows=0), train_weights=weights
    )
    end = Loop(job).run()
    by_hand = _linear()
    x, y = rows(60, 1)
    loss = (functional.cross_entropy(by_hand(x), y, reduction="none") * weights).sum() / weights.sum()
    torch.autograd.backward(loss)
    with torch.no_grad():
        for parameter in by_hand.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.5 * parameter.grad)
    for name, value in job.model.state_dict().items():
        assert torch.allclose(value, by_hand.state_dict()[name], atol=1e-6), name
    assert end.history[0].train["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_each_rank_reads_the_weights_of_its_own_rows(tmp_path: Path) -> None:
    store, info = Store.open(str(tmp_path)), data_info(7, 0)
    assert read_weights(store, info, "train", 0, 2) is None
    write_array(store, w_file("train"), np.arange(7, dtype=np.float32))
    weighted = info.model_copy(update={"weighted": True})
    parts = [read_weights(store, weighted, "train", rank, 2) for rank in range(2)]
    assert [part.tolist() for part in parts if part is not None] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0, 6.0]]


def _inputs(tmp_path: Path, task: str, **spec: Any) -> Any:
    store, info = Store.open(str(tmp_path)), data_info(60, 20, task)
    for number, split in enumerate(SPLITS[:2], 1):
        x, y = rows(info.rows[split], number)
        write_array(store, x_file(split), x.numpy())
        write_array(store, y_file(split), y.numpy())
    fields = {"data": {"source": {"uri": "a.npz"}}, "model": {"name": "mlp"}, "training": spec}
    run = {"namespace": "", "name": "a", "uid": "", "storageUri": store.uri, "spec": fields}
    place = Place(wire.RunFile.model_validate(run), info, store, torch.device("cpu"), Alone(), Silence())
    return loop_inputs(place)


def test_class_weights_are_in_the_training_loss_and_not_in_validation(tmp_path: Path) -> None:
    job = _inputs(tmp_path, "classification", classWeights="balanced")
    assert job.train_weights.numpy() == pytest.approx(compute_sample_weight("balanced", rows(60, 1)[1].numpy()))
    assert job.validation_weights is None
    assert _inputs(tmp_path, "classification").train_weights is None


def test_class_weights_of_a_regression_that_only_the_data_could_tell_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.classWeights: balanced is for classes, and this is a regression"):
        _inputs(tmp_path, "regression", classWeights="balanced")
