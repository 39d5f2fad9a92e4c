"""Metrics: the final evaluation by torchmetrics, and the running sums that must say the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headway_api import wire
from headway_api.data import Data
from headway_trainer.data import DataInfo, prepare
from headway_trainer.errors import UserError
from headway_trainer.evaluation import Evaluation, RunningMetrics, evaluate, loss_function
from headway_trainer.ray import built_in_function
from headway_trainer.storage import Store
from headway_trainer.training.link import Silence
from headway_trainer.training.loop import Loop
from headway_trainer.training.process_group import Alone


def _classes(count: int) -> DataInfo:
    return _info("classification", count, [str(index) for index in range(count)])


def _numbers(outputs: int = 1) -> DataInfo:
    return _info("regression", outputs, None)


def _info(task: Any, outputs: int, classes: list[str] | None) -> DataInfo:
    return DataInfo(
        task=task, input_shape=(outputs,), outputs=outputs, classes=classes, rows={}, content_hash="", digest=""
    )


def _logits(predicted: list[int], classes: int) -> torch.Tensor:
    return nn.functional.one_hot(torch.tensor(predicted), classes).float() * 4


def test_each_metric_of_a_small_classification_is_the_one_computed_by_hand() -> None:
    # Class 0: 2 of 3 found, 1 of 3 predicted wrongly; class 1: 1 of 2 found; class 2 is found.
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    x = _logits([0, 0, 1, 1, 0, 2], 3)
    result = evaluate(nn.Identity(), _classes(3), [(x, y)])
    recall = (2 / 3 + 1 / 2 + 1) / 3
    precision = (2 / 3 + 1 / 2 + 1) / 3
    assert result.confusion_matrix == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert result.scalars == pytest.approx(
        {
            "loss": nn.functional.cross_entropy(x, y).item(),
            "accuracy": 4 / 6,
            "precision": precision,
            "recall": recall,
            "f1": (2 / 3 + 1 / 2 + 1) / 3,
            "specificity": (2 / 3 + 3 / 4 + 1) / 3,
        }
    )


def test_each_metric_of_a_small_regression_is_the_one_computed_by_hand() -> None:
    result = evaluate(nn.Identity(), _numbers(), [(torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([1.0, 4.0, 4.0]))])
    assert result.scalars == pytest.approx({"loss": 5 / 3, "mse": 5 / 3, "mae": 1.0})
    assert result.confusion_matrix is None


@settings(max_examples=25, deadline=None)
@given(data=st.data(), classes=st.integers(2, 6), rows=st.integers(1, 40), workers=st.integers(1, 4))
def test_running_sums_over_any_workers_say_what_torchmetrics_says(
    data: st.DataObject, classes: int, rows: int, workers: int
) -> None:
    labels = st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)
    y, predicted = torch.tensor(data.draw(labels)), data.draw(labels)
    x = _logits(predicted, classes)
    _agree(_classes(classes), x, y, workers)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), outputs=st.integers(1, 3), rows=st.integers(1, 30), workers=st.integers(1, 4))
def test_running_sums_of_a_regression_say_what_torchmetrics_says(
    seed: int, outputs: int, rows: int, workers: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(rows, outputs, generator=generator) for _ in range(2))
    _agree(_numbers(outputs), x, y.squeeze(1) if outputs == 1 else y, workers)


def _agree(info: DataInfo, x: torch.Tensor, y: torch.Tensor, workers: int) -> None:
    states = []
    for rank in range(workers):
        running = RunningMetrics(info)
        for start in range(rank * len(y) // workers, (rank + 1) * len(y) // workers, 3):
            stop = min(start + 3, (rank + 1) * len(y) // workers)
            running.update(x[start:stop], y[start:stop])
        states.append(running.state())
    total = RunningMetrics(info)
    total.load_state(torch.stack(states).sum(0))
    expected = evaluate(nn.Identity(), info, [(x, y)], batch_size=7).scalars
    assert total.compute() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert list(total.compute()) == list(expected)


def test_no_rows_give_no_metrics_and_no_error() -> None:
    for info in (_classes(3), _numbers()):
        assert RunningMetrics(info).compute() == {}
        empty = evaluate(nn.Identity(), info, [(torch.zeros(0, info.outputs), torch.zeros(0, dtype=torch.int64))])
        assert (empty.scalars, empty.confusion_matrix) == ({}, None)


def test_a_state_that_was_handed_out_does_not_change_any_more() -> None:
    running = RunningMetrics(_classes(2))
    state = running.state()
    running.update(_logits([0, 1], 2), torch.tensor([0, 1]))
    assert state.sum() == 0
    assert running.compute()["accuracy"] == 1.0


def test_running_sums_keep_no_gradients() -> None:
    running = RunningMetrics(_classes(2))
    logits = _logits([0, 1], 2).requires_grad_()
    running.update(logits, torch.tensor([0, 1]))
    assert not running.state().requires_grad


def test_half_precision_outputs_are_summed_in_full() -> None:
    y = torch.randint(0, 10, (4096,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(4096, 10, generator=torch.Generator().manual_seed(1)).bfloat16()
    running = RunningMetrics(_classes(10))
    running.update(logits, y)
    assert running.compute()["loss"] == pytest.approx(nn.functional.cross_entropy(logits.double(), y).item())


def test_a_loss_that_is_no_number_is_told_and_not_hidden() -> None:
    running = RunningMetrics(_classes(2))
    running.update(torch.full((2, 2), float("nan")), torch.tensor([0, 1]))
    assert math.isnan(running.compute()["loss"])


def test_losses_are_cross_entropy_and_mean_squared_error_with_or_without_an_axis() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    assert torch.equal(loss_function(_classes(3))(logits, labels), nn.functional.cross_entropy(logits, labels))
    y = torch.tensor([1.0, 2.0])
    for outputs in (torch.tensor([[1.0], [4.0]]), torch.tensor([1.0, 4.0])):
        assert loss_function(_numbers())(outputs, y).item() == 2.0


def test_the_loss_of_a_regression_does_not_depend_on_its_units() -> None:
    y = torch.tensor([1.0, 2.0, 4.0, 5.0])
    mean = torch.full((4, 1), 3.0)
    for unit in (1.0, 1000.0):
        info = _numbers().model_copy(update={"target_mean": [3.0 * unit], "target_std": [2.5**0.5 * unit]})
        assert loss_function(info)(mean * unit, y * unit).item() == pytest.approx(1.0)
        scalars = evaluate(nn.Identity(), info, [(mean * unit, y * unit)]).scalars
        assert scalars == pytest.approx({"loss": 1.0, "mse": 2.5 * unit**2, "mae": 1.5 * unit})
        running = RunningMetrics(info)
        running.update(mean * unit, y * unit)
        assert running.compute() == pytest.approx(scalars)


def test_named_metrics_alone_are_computed_beside_the_loss() -> None:
    x, y = _logits([0, 1], 2), torch.tensor([0, 1])
    chosen = evaluate(nn.Identity(), _classes(2), [(x, y)], metrics=["f1"])
    assert list(chosen.scalars) == ["loss", "f1"]
    assert chosen.confusion_matrix is None
    assert evaluate(nn.Identity(), _classes(2), [(x, y)], metrics=["confusionMatrix"]).confusion_matrix == [
        [1, 0],
        [0, 1],
    ]


@pytest.mark.parametrize(
    ("info", "metrics", "told"),
    [
        (
            _numbers(),
            ["mse", "accuracy"],
            r"evaluation\.metrics\[1\]: accuracy does not fit regression, which has mse, mae",
        ),
        (_classes(2), ["mae"], r"evaluation\.metrics\[0\]: mae does not fit classification, which has accuracy"),
    ],
)
def test_a_metric_that_does_not_fit_the_task_is_named(info: DataInfo, metrics: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        evaluate(nn.Identity(), info, [(torch.zeros(1, info.outputs), torch.zeros(1))], metrics=metrics)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_switches_dropout_off_and_leaves_the_mode_as_it_was(training: bool) -> None:
    model = nn.Sequential(nn.Dropout(0.9)).train(training)
    x, y = _logits([0, 1, 0, 1] * 25, 2), torch.tensor([0, 1, 0, 1] * 25)
    assert evaluate(model, _classes(2), [(x, y)]).scalars["accuracy"] == 1.0
    assert model.training is training


def test_evaluation_on_one_of_many_workers_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("gathered from other workers")

    # With a group of one there is nobody to wait for, so what is asserted is that no gathering is even begun.
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        monkeypatch.setattr(torch.distributed, "all_gather", refuse)
        result = evaluate(nn.Identity(), _classes(2), [(_logits([0, 1], 2), torch.tensor([0, 1]))])
    finally:
        torch.distributed.destroy_process_group()
    assert result.scalars["accuracy"] == 1.0


class Narrow(nn.Module):
    """A model for which a GPU has memory for so many rows at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.taken: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.taken.append(len(x))
        return x


def test_no_more_rows_are_taken_at_once_than_in_training_and_fewer_where_memory_is_short() -> None:
    predicted = [index % 3 for index in range(50)]
    x, y = _logits(predicted, 3), torch.tensor([index % 2 for index in range(50)])
    expected = evaluate(nn.Identity(), _classes(3), [(x, y)])
    for room, size, most in ((99, 16, 16), (5, 16, 4), (1, 16, 1)):
        model = Narrow(room)
        parts = [(x[:20], y[:20]), (x[20:], y[20:])]
        assert evaluate(model, _classes(3), parts, batch_size=size).scalars == pytest.approx(expected.scalars)
        assert sum(model.taken) == 50
        assert max(model.taken) == most
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(Narrow(0), _classes(3), [(x, y)])


def test_the_final_evaluation_takes_the_batches_and_the_precision_that_training_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(str(tmp_path))
    info = prepare(Data.model_validate({"source": {"builtin": {"name": "digits"}}}), seed=0, store=store)
    run = {"namespace": "", "name": "a", "uid": "", "storageUri": str(tmp_path)}
    model, training = {"name": "mlp"}, {"batchSize": 6, "epochs": 1}
    spec = {"data": {"source": {"builtin": {"name": "digits"}}}, "model": model, "training": training}
    asked: list[dict[str, Any]] = []
    parts: list[list[int]] = []

    def judge(_: nn.Module, __: DataInfo, rows: Iterable[tuple[torch.Tensor, torch.Tensor]], **keywords: Any) -> Any:
        parts.append([len(y) for _, y in rows])
        asked.append(keywords)
        return Evaluation()

    group = Alone()
    place = built_in_function._Place(
        wire.RunFile.model_validate(run | {"spec": spec}), info, store, torch.device("cpu"), Silence()
    )
    job = built_in_function._inputs(place)
    end = Loop(job).run().model_copy(update={"precision_used": "bf16"})
    monkeypatch.setattr(built_in_function, "evaluate", judge)
    monkeypatch.setattr(group, "world_size", 3)
    built_in_function._judge(place, dataclasses.replace(job, group=group), end)
    assert [(one["batch_size"], one["precision"]) for one in asked] == [(2, "bf16")] * 2
    for split, sizes in zip(("validation", "test"), parts, strict=True):
        assert len(sizes) == 3
        assert sum(sizes) == info.rows[split]
