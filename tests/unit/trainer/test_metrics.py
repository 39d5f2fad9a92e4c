"""Metrics say what scikit-learn says, on one process and on any number of them, however the rows are divided."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torch.nn import functional

from headway_api.metrics import METRICS, names
from headway_trainer.data import DataInfo
from headway_trainer.metrics import Metrics, ranking
from headway_trainer.metrics.classes import MATRIX_CLASSES, MOST_CONFUSIONS, ConfusionCounts
from headway_trainer.metrics.ranking import Ranking
from headway_trainer.tasks import Task, task_of
from headway_trainer.tasks.tasks import TASKS, epoch_metrics, scalar_names
from headway_trainer.training.process_group import Alone

CPU = torch.device("cpu")
Array = npt.NDArray[Any]


class Together:
    """The ranks of a test in one process: what each holds, put together by hand. `of` is called on each in turn."""

    def __init__(self, all_of_them: Sequence[Metrics]) -> None:
        self._sums: list[list[torch.Tensor]] = []
        self._rows: list[list[torch.Tensor]] = []
        for one in all_of_them:
            recorder = _Recorder()
            one.reduce(recorder)
            self._sums.append(recorder.sums)
            self._rows.append(recorder.rows)
        self._sum, self._row = 0, 0

    def sum(self, _: torch.Tensor) -> torch.Tensor:
        self._sum += 1
        return torch.stack([sums[self._sum - 1] for sums in self._sums]).sum(0)

    def gather_rows(self, _: torch.Tensor) -> torch.Tensor:
        self._row += 1
        return torch.cat([rows[self._row - 1] for rows in self._rows])


class _Recorder:
    def __init__(self) -> None:
        self.sums: list[torch.Tensor] = []
        self.rows: list[torch.Tensor] = []

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        self.sums.append(tensor.clone())
        return tensor

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        self.rows.append(tensor)
        return tensor


def classification(classes: int) -> Task:
    return task_of(
        DataInfo(
            task="classification",
            input_shape=(1,),
            outputs=classes,
            classes=[str(index) for index in range(classes)],
            rows={},
            content_hash="",
            digest="",
        )
    )


def regression(mean: Sequence[float], std: Sequence[float]) -> Task:
    return task_of(
        DataInfo(
            task="regression",
            input_shape=(1,),
            outputs=len(mean),
            rows={},
            content_hash="",
            digest="",
            target_names=[f"t{index}" for index in range(len(mean))],
            target_mean=list(mean),
            target_std=list(std),
        )
    )


def judged(
    task: Task,
    outputs: torch.Tensor,
    y: torch.Tensor,
    cuts: Sequence[int] = (),
    *,
    names: Sequence[str] | None = None,
    batch: int = 7,
) -> Metrics:
    """All metrics of the task, or some, of rows that are cut into one shard a rank at `cuts`."""
    bounds = [0, *sorted(cut % (len(y) + 1) for cut in cuts), len(y)]

    def fed(start: int, stop: int) -> Metrics:
        metrics = task.metrics(names or task.metric_names, rows=len(y), device=CPU)
        for at in range(start, stop, batch):
            metrics.update(outputs[at : min(at + batch, stop)], y[at : min(at + batch, stop)])
        return metrics

    shards = list(itertools.pairwise(bounds))
    if len(shards) == 1:
        whole = fed(0, len(y))
        whole.reduce(Alone())
        return whole
    ranks = Together([fed(*shard) for shard in shards])
    first = fed(*shards[0])
    first.reduce(ranks)
    return first


def specificity(y: Array, predicted: Array) -> float:
    """scikit-learn has none: the recall of "not this class", over the classes that were seen or predicted."""
    seen = np.union1d(y, predicted)
    each = [((predicted != k) & (y != k)).sum() / max(1, (y != k).sum()) for k in seen]
    return float(np.mean(each))


def one_against_rest(score: Callable[[Array, Array], float], y: Array, probabilities: Array) -> float:
    """As scikit-learn's own macro average, which refuses a part that lacks a class."""
    curves = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    values = [
        score((y == curve).astype(int), probabilities[:, curve]) for curve in curves if 0 < (y == curve).sum() < len(y)
    ]
    return float(np.mean(values)) if values else math.nan


def expected_classification(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    y, z = labels.numpy(), logits.double()
    probabilities = z.softmax(dim=1).numpy()
    predicted, classes = z.argmax(dim=1).numpy(), z.shape[1]
    macro: dict[str, Any] = {"average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are absent
        return {
            "loss": oracle.log_loss(y, probabilities, labels=list(range(classes))),
            "accuracy": oracle.accuracy_score(y, predicted),
            "balancedAccuracy": oracle.balanced_accuracy_score(y, predicted),
            "precision": oracle.precision_score(y, predicted, **macro),
            "recall": oracle.recall_score(y, predicted, **macro),
            "f1": oracle.f1_score(y, predicted, **macro),
            "specificity": specificity(y, predicted),
            "topKAccuracy": oracle.top_k_accuracy_score(y, probabilities, k=5, labels=list(range(classes)))
            if classes > 2
            else 1.0,
            "rocAuc": one_against_rest(oracle.roc_auc_score, y, probabilities),
            "averagePrecision": one_against_rest(oracle.average_precision_score, y, probabilities),
        }


def expected_regression(outputs: Array, y: Array) -> dict[str, Any]:
    return {
        "mse": oracle.mean_squared_error(y, outputs),
        "rmse": oracle.root_mean_squared_error(y, outputs),
        "mae": oracle.mean_absolute_error(y, outputs),
        "r2": oracle.r2_score(y, outputs) if len(y) > 1 else math.nan,
    }


CUTS = st.lists(st.integers(0, 50), max_size=3)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 8), rows=st.integers(1, 40), cuts=CUTS, grid=st.booleans())
def test_a_classification_is_judged_as_by_scikit_learn_on_any_ranks(
    seed: int, classes: int, rows: int, cuts: list[int], grid: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 3
    if grid and classes == 2:
        logits = logits.round()  # equal scores count as one threshold
    y = torch.randint(0, classes, (rows,), generator=generator)
    found = judged(classification(classes), logits, y, cuts).scalars()
    expected = expected_classification(logits, y)
    assert found.keys() == expected.keys()
    if grid and classes == 2:  # with equal logits, either class may be the predicted one
        expected = {name: expected[name] for name in ("loss", "rocAuc", "averagePrecision")}
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    units=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(1e-3, 1e6)), min_size=1, max_size=3),
    rows=st.integers(1, 30),
    cuts=CUTS,
)
def test_a_regression_is_judged_as_by_scikit_learn_in_the_targets_units_on_any_ranks(
    seed: int, units: list[tuple[float, float]], rows: int, cuts: list[int]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs, y = (torch.randn(rows, len(units), generator=generator, dtype=torch.float64) for _ in range(2))
    mean, std = [list(column) for column in zip(*units, strict=True)]
    metrics = judged(regression(mean, std), outputs, y, cuts)
    # In double the oracle, too, cannot tell more of values far from 0: both are moved there, and judged around 0.
    expected = expected_regression(outputs.numpy() * std, y.numpy() * std)
    found = metrics.scalars()
    assert found.pop("loss") == pytest.approx(float((outputs - y).square().mean()))
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)
    by_target = metrics.by_target()
    assert len(by_target) == (len(units) if len(units) > 1 else 0)
    for index, told in enumerate(by_target):
        one = expected_regression(outputs.numpy()[:, index] * std[index], y.numpy()[:, index] * std[index])
        assert told == pytest.approx(one, rel=1e-6, nan_ok=True)


def test_one_number_a_row_may_come_without_an_axis_of_its_own() -> None:
    y = torch.tensor([1.0, 2.0, 4.0])
    for outputs in (torch.tensor([[1.0], [4.0], [4.0]]), torch.tensor([1.0, 4.0, 4.0])):
        found = judged(regression([0.0], [2.0]), outputs, y).scalars()
        assert found == pytest.approx(
            {"loss": 4 / 3, "mse": 16 / 3, "rmse": (16 / 3) ** 0.5, "mae": 4 / 3, "r2": 1 / 7}
        )


@pytest.mark.parametrize(
    ("y", "outputs", "r2"),
    [([3.0, 3.0, 3.0], [3.0, 3.0, 3.0], 1.0), ([3.1, 3.1, 3.1], [3.1, 3.1, 4.0], 0.0), ([3.0], [3.0], math.nan)],
)
def test_r2_of_targets_that_do_not_vary_is_what_scikit_learn_says(
    y: list[float], outputs: list[float], r2: float
) -> None:
    found = judged(regression([0.0], [1.0]), torch.tensor(outputs).double(), torch.tensor(y).double()).scalars()
    assert found["r2"] == pytest.approx(r2, nan_ok=True)
    if len(y) > 1:
        assert oracle.r2_score(y, outputs) == r2


def test_a_ranking_of_a_part_with_one_class_alone_is_undefined_and_the_rest_is_told() -> None:
    found = judged(classification(3), torch.randn(5, 3), torch.zeros(5, dtype=torch.int64)).scalars()
    assert math.isnan(found["rocAuc"])
    assert math.isnan(found["averagePrecision"])
    assert not math.isnan(found["f1"])


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 5), spread=st.sampled_from([0.1, 1.0, 20.0]), cuts=CUTS)
def test_scores_in_bins_are_off_by_no_more_than_is_said(
    seed: int, classes: int, spread: float, cuts: list[int]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (200,), generator=generator)
    logits = spread * (torch.randn(200, classes, generator=generator) + functional.one_hot(y, classes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "EXACT_SCORES", 0)
        patch.setattr(ranking, "_MOST_BINS", 64)
        patch.setattr(ranking, "_ROOM", 2 * classes)  # so that a batch is counted in pieces
        metrics = judged(classification(classes), logits, y, cuts)
    binned = metrics.accumulators[Ranking]
    assert not binned.exact
    expected = expected_classification(logits, y)
    for name, error in (("rocAuc", "roc_auc_error"), ("averagePrecision", "average_precision_error")):
        bound = float(binned.mean(error))
        assert abs(metrics.scalars()[name] - expected[name]) <= bound + 1e-12


def test_as_many_bins_as_a_large_part_gets_tell_a_good_model_to_three_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (20_000,), generator=generator)
    logits = 2 * (torch.randn(20_000, 2, generator=generator) + functional.one_hot(y, 2))
    binned = Ranking(2, ranking.EXACT_SCORES + 1, CPU)
    binned.update(logits.double(), y)
    binned.reduce(Alone())
    assert float(binned.mean("roc_auc_error")) < 0.001
    assert float(binned.mean("roc_auc")) == pytest.approx(expected_classification(logits, y)["rocAuc"], abs=0.001)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 6), rows=st.integers(1, 40), cuts=CUTS)
def test_a_confusion_matrix_counts_the_rows_as_scikit_learn(
    seed: int, classes: int, rows: int, cuts: list[int]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator)
    y = torch.randint(0, classes, (rows,), generator=generator)
    told = judged(classification(classes), logits, y, cuts).accumulators[ConfusionCounts].told()
    assert told.matrix == oracle.confusion_matrix(y, logits.argmax(1), labels=list(range(classes))).tolist()
    assert told.pairs == []


def test_too_many_classes_for_a_matrix_are_told_by_their_most_frequent_confusions() -> None:
    classes = 3000
    y = torch.cat([torch.full((3,), 7), torch.full((2,), 9), torch.arange(2000)])
    predicted = torch.cat([torch.full((3,), 8), torch.full((2,), 1), (torch.arange(2000) + 1) % classes])
    logits = functional.one_hot(predicted, classes).float()
    metrics = judged(classification(classes), logits, y, [2, 400], names=["confusionMatrix"], batch=500)
    told = metrics.accumulators[ConfusionCounts].told()
    assert classes > MATRIX_CLASSES
    assert told.matrix is None
    assert told.pairs[:3] == [(7, 8, 4), (9, 1, 2), (0, 1, 1)]
    assert len(told.pairs) == MOST_CONFUSIONS


def test_weights_of_rows_weigh_their_losses() -> None:
    logits, y = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
    metrics = classification(2).metrics(["accuracy"], rows=2, device=CPU)
    metrics.update(logits, y, torch.tensor([3.0, 1.0]))
    metrics.reduce(Alone())
    each = functional.cross_entropy(logits, y, reduction="none")
    assert metrics.scalars() == pytest.approx({"loss": float(3 * each[0] + each[1]) / 4, "accuracy": 0.5})


def test_no_rows_give_no_metrics_and_no_error() -> None:
    for task in (classification(3), regression([0.0, 0.0], [1.0, 1.0])):
        empty = torch.zeros(0, dtype=torch.int64 if task.name == "classification" else torch.float32)
        assert judged(task, torch.zeros(0, task.outputs), empty).scalars() == {}


def test_sums_keep_no_gradients_and_take_half_precision_in_full() -> None:
    y = torch.randint(0, 10, (4096,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(4096, 10, generator=torch.Generator().manual_seed(1)).bfloat16().requires_grad_()
    found = judged(classification(10), logits, y, batch=4096).scalars()
    assert found["loss"] == pytest.approx(functional.cross_entropy(logits.double(), y).item())


def test_a_loss_that_is_no_number_is_told_and_not_hidden() -> None:
    assert math.isnan(judged(classification(2), torch.full((2, 2), math.nan), torch.tensor([0, 1])).scalars()["loss"])


def test_every_metric_of_the_catalogue_is_computed_and_no_other() -> None:
    step = {"unit": "numbers", "size": 1}
    windows = {"history": 2, "horizon": 1, "time": "t", "calendar": False, "step": step, "naiveMae": [1], "rows": 9}
    fields = {"inputShape": (2, 1), "outputs": 1, "rows": {}, "contentHash": "", "digest": "", "targetNames": ["y"]}
    info = DataInfo.model_validate({"task": "forecasting", "forecast": {**windows, "targets": [0]}, **fields})
    rows = info.model_copy(update={"task": "reconstruction", "forecast": None})
    tasks = (classification(3), regression([0.0], [1.0]), task_of(info), task_of(rows))
    assert list(TASKS) == [task.name for task in tasks]
    for task in tasks:
        assert {"loss", *task.metric_names} == set(names(task.name))  # type: ignore[arg-type]  # a task's name
        assert set(scalar_names(task)) == set(names(task.name, scalar=True))  # type: ignore[arg-type]


def test_each_epoch_has_what_costs_nothing_and_what_is_asked_for() -> None:
    task = classification(3)
    cheap = set(epoch_metrics(task, ["validation/loss", "train/loss"]))
    assert cheap == {name for name in scalar_names(task) if name not in {"loss", "rocAuc", "averagePrecision"}}
    assert set(epoch_metrics(task, ["validation/rocAuc"])) == cheap | {"rocAuc"}
    assert METRICS["rocAuc"].scalar


@pytest.mark.parametrize("task", TASKS)
def test_which_metrics_an_epoch_has_is_known_without_computing_them(task: str) -> None:
    known = {name: METRICS[name].each_epoch for name in names() if TASKS[task].name in METRICS[name].tasks}
    assert known == {name: name not in TASKS[task].costly for name in known}
