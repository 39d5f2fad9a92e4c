"""A task: head, loss of each row, what outputs mean; several targets, and far ones, are learnt as they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headway_api.data import Data
from headway_api.model import Model
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.evaluation.evaluate import Shard, evaluate
from headway_trainer.models import build
from headway_trainer.programs import Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import Task, task_of
from headway_trainer.tasks.base import ClassPrediction, ValuePrediction
from headway_trainer.training.loop import Loop
from headway_trainer.training.process_group import Alone
from training_runs import job_of, training

Floats = npt.NDArray[np.float64]


def _task(name: str, outputs: int = 1, mean: float = 0.0, std: float = 1.0) -> Task:
    return task_of(
        DataInfo.model_validate(
            {
                "task": name,
                "input_shape": (2,),
                "outputs": outputs,
                "classes": [str(index) for index in range(outputs)] if name == "classification" else None,
                "rows": {},
                "content_hash": "",
                "digest": "",
                "target_mean": [mean] * outputs,
                "target_std": [std] * outputs,
            }
        )
    )


@settings(max_examples=25)
@given(
    task=st.sampled_from(["classification", "regression"]),
    outputs=st.integers(2, 4),
    rows=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_the_loss_is_one_number_a_row_and_the_mean_of_these(task: str, outputs: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, outputs, generator=generator)
    y = torch.randint(0, outputs, (rows,)) if task == "classification" else torch.randn(rows, outputs)
    loss = _task(task, outputs).loss
    each = loss(x, y)
    assert each.shape == (rows,)
    assert loss(x, y, reduction="mean").item() == pytest.approx(each.mean().item(), rel=1e-5)
    assert each[0].item() == pytest.approx(loss(x[:1], y[:1]).item(), rel=1e-5)


def test_the_mean_as_one_operation_has_the_gradients_of_the_mean_of_the_rows_bit_for_bit() -> None:
    task, y = _task("classification", 10), torch.arange(61) % 10
    gradients = []
    for at_once in (True, False):
        x = torch.randn(61, 10, generator=torch.Generator().manual_seed(1)).requires_grad_()
        mean = task.loss(x, y, reduction="mean") if at_once else task.loss(x, y).mean()
        torch.autograd.backward(mean * 0.987)
        gradients.append(x.grad)
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert torch.equal(gradients[0], gradients[1])


def test_a_head_gives_outputs_of_an_allowed_shape() -> None:
    for task in (_task("classification", 3), _task("regression", 2), _task("regression", 1)):
        outputs = task.head(5)(torch.zeros(7, 5))
        assert tuple(outputs.shape) == task.shapes(7)[0] == (7, task.outputs)
    assert _task("regression", 1).shapes(7)[1:] == [(7,)]


def test_outputs_mean_classes_with_probabilities() -> None:
    prediction = _task("classification", 3).prediction
    told = prediction.of(torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0]]).bfloat16(), torch.zeros(2, 1))
    assert told["label"].tolist() == [1, 0]
    assert told["probabilities"].dtype == torch.float32
    assert told["probabilities"].sum(1).tolist() == pytest.approx([1.0, 1.0])
    assert ClassPrediction.model_validate_json(prediction.model_dump_json()) == prediction


@pytest.mark.parametrize("outputs", [torch.tensor([[0.5], [-1.0]]), torch.tensor([0.5, -1.0])])
def test_outputs_mean_values_in_their_units_to_the_last_digit(outputs: torch.Tensor) -> None:
    prediction = _task("regression", 1, mean=1.7e9, std=111.0).prediction
    value = prediction.of(outputs, torch.zeros(2, 1))["value"]
    assert value.dtype == torch.float64
    assert value.tolist() == [[1.7e9 + 55.5], [1.7e9 - 111.0]]
    assert ValuePrediction.model_validate_json(prediction.model_dump_json()) == prediction


def _trained(folder: Path, y: Floats, x: Floats) -> tuple[nn.Module, DataInfo, Store]:
    np.savez(folder / "a.npz", x=x, y=y)
    store = Store.open(str(folder / "run"))
    info = prepare(
        Data.model_validate({"source": {"uri": str(folder / "a.npz")}, "task": "regression"}), seed=0, store=store
    )
    torch.manual_seed(0)
    program = build(Model.model_validate({"name": "mlp", "options": {"hidden": []}}), info, load_function=_no_function)
    Loop(job_of(info, store, program, training(epochs=20, batchSize=32, optimizer={"lr": 0.05}))).run()
    return program.model, info, store


def _no_function(name: str) -> Callable[..., Any]:
    raise AssertionError(f"{name} must not be loaded")


def test_targets_of_very_different_sizes_are_all_learnt(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(400, 3))
    y = np.stack([1e5 * x[:, 0], 0.8 * x[:, 1], 1e-9 * x[:, 2]], axis=1)
    model, info, store = _trained(tmp_path, y, x)
    task, (test_x, test_y) = task_of(info), read_split(store, info, "test")
    judged = evaluate(
        Supervised(model, task), Shard(test_x, test_y, len(test_y)), metrics=task.metric_names, ranks=Alone()
    )
    assert len(judged.by_target) == 3
    for name, values in judged.by_target.items():
        assert values["r2"] is not None
        assert values["r2"] > 0.99, name


def test_what_is_said_of_far_targets_is_true_of_the_source(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(400, 3))
    y = 1.7e9 + 111.0 * x[:, 0]
    model, info, store = _trained(tmp_path, y, x)
    task, (test_x, test_y) = task_of(info), read_split(store, info, "test")
    said = evaluate(
        Supervised(model, task), Shard(test_x, test_y, len(test_y)), metrics=["mae"], ranks=Alone()
    ).scalars["mae"]
    with torch.no_grad():
        values = task.prediction.of(model(test_x), test_x)["value"].numpy()[:, 0]
    scaled = test_x.double().numpy()[:, 0] * info.scaling.divisor[0] + info.scaling.offset[0]
    true = np.abs(values - (1.7e9 + 111.0 * scaled)).mean()
    assert said == pytest.approx(true, rel=0.01, abs=1e-3)
    assert said < 11.0
