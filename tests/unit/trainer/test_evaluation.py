"""The evaluation of a model on a part: its batches, its ranks, and what it tells beside the metrics."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from headway_trainer.data import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.evaluation import Evaluation, chosen_metrics, evaluate
from headway_trainer.evaluation.evaluate import Shard
from headway_trainer.metrics import ranking
from headway_trainer.programs import Supervised
from headway_trainer.tasks import task_of
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
    names = ["accuracy", "balancedAccuracy", "precision", "recall", "f1", "specificity", "confusionMatrix"]
    result = _evaluate(nn.Identity(), _classes(3), x, y, names)
    mean = (2 / 3 + 1 / 2 + 1) / 3
    assert result.confusion_matrix == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert result.scalars == pytest.approx(
        {
            "loss": nn.functional.cross_entropy(x, y).item(),
            "accuracy": 4 / 6,
            "balancedAccuracy": mean,
            "precision": mean,
            "recall": mean,
            "f1": mean,
            "specificity": (2 / 3 + 3 / 4 + 1) / 3,
        }
    )


def test_each_metric_of_a_small_regression_is_the_one_computed_by_hand() -> None:
    x, y = torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([1.0, 4.0, 4.0])
    result = _evaluate(nn.Identity(), _numbers(), x, y)
    expected = {"loss": 5 / 3, "mse": 5 / 3, "rmse": (5 / 3) ** 0.5, "mae": 1.0, "r2": 1 - 5 / 6}
    assert result.scalars == pytest.approx(expected)
    assert result.confusion_matrix is None


def _evaluate(
    model: nn.Module, info: DataInfo, x: torch.Tensor, y: torch.Tensor, metrics: list[str] | None = None, **rest: Any
) -> Evaluation:
    task = task_of(info)
    return evaluate(
        Supervised(model, task),
        Shard(x, y, len(y)),
        metrics=chosen_metrics(task, metrics),
        ranks=rest.pop("ranks", Alone()),
        **rest,
    )


def test_named_metrics_alone_are_computed_beside_the_loss() -> None:
    x, y = _logits([0, 1], 2), torch.tensor([0, 1])
    chosen = _evaluate(nn.Identity(), _classes(2), x, y, ["f1", "loss"])
    assert list(chosen.scalars) == ["loss", "f1"]
    assert chosen.confusion_matrix is None
    matrix = _evaluate(nn.Identity(), _classes(2), x, y, ["confusionMatrix"]).confusion_matrix
    assert matrix == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("info", "metrics", "told"),
    [
        (
            _numbers(),
            ["mse", "accuracy"],
            r"evaluation\.metrics\[1\]: accuracy does not fit this regression of 1 outputs, which has loss, mse, rmse",
        ),
        (_classes(1001), ["f1", "rocAuc"], r"evaluation\.metrics\[1\]: rocAuc does not fit this .* of 1001 outputs"),
        (
            _classes(2),
            ["mae"],
            r"evaluation\.metrics\[0\]: mae does not fit this classification of 2 outputs, which has loss, accuracy",
        ),
    ],
)
def test_a_metric_that_does_not_fit_the_task_is_named(info: DataInfo, metrics: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        chosen_metrics(task_of(info), metrics)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_switches_dropout_off_and_leaves_the_mode_as_it_was(training: bool) -> None:
    model = nn.Sequential(nn.Dropout(0.9)).train(training)
    x, y = _logits([0, 1, 0, 1] * 25, 2), torch.tensor([0, 1, 0, 1] * 25)
    assert _evaluate(model, _classes(2), x, y).scalars["accuracy"] == 1.0
    assert model.training is training


def test_a_part_without_rows_has_no_metrics_and_is_no_error() -> None:
    for info in (_classes(3), _numbers()):
        empty = _evaluate(nn.Identity(), info, torch.zeros(0, info.outputs), torch.zeros(0, dtype=torch.int64))
        assert (empty.scalars, empty.confusion_matrix, empty.notes) == ({}, None, [])


def test_several_targets_are_told_one_by_one_by_their_names() -> None:
    info = _numbers(2).model_copy(
        update={"target_names": ["price", "age"], "target_mean": [1e5, 0.0], "target_std": [1e4, 2.0]}
    )
    x, y = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    result = _evaluate(nn.Identity(), info, x, y, ["mae"])
    assert result.by_target == {"price": {"mae": 2500.0}, "age": {"mae": 1.0}}
    assert result.scalars["mae"] == 1250.5


def test_what_is_not_told_in_full_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "EXACT_SCORES", 10)
    y = torch.arange(300)
    notes = _evaluate(nn.Identity(), _classes(300), _logits(y.roll(1).tolist(), 300), y).notes
    assert notes[0].startswith("With 300 rows of 300 classes, scores were counted in bins: rocAuc is exact to within ")
    assert notes[1:] == [
        "A confusion matrix has at most 200 classes, and these are 300: the 1,000 most frequent confusions are told in "
        "its place."
    ]


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
    expected = _evaluate(nn.Identity(), _classes(3), x, y)
    for room, size, most in ((99, 16, 16), (5, 16, 4), (1, 16, 1)):
        model = Narrow(room)
        assert _evaluate(model, _classes(3), x, y, batch_size=size).scalars == pytest.approx(expected.scalars)
        assert sum(model.taken) == 50
        assert max(model.taken) == most
    with pytest.raises(torch.OutOfMemoryError):
        _evaluate(Narrow(0), _classes(3), x, y)
