"""The task: its metrics and naive forecasts against other computations; models, exact resume, the exported model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn import metrics as sklearn
from torch import nn

from headway_api.model import Model
from headway_trainer.data import DataInfo, read_split
from headway_trainer.data.batches import Feed
from headway_trainer.data.sample import read_sample
from headway_trainer.data.shards import read_series
from headway_trainer.errors import UserError
from headway_trainer.evaluation.evaluate import Shard, evaluate
from headway_trainer.evaluation.naive import beaten_by_naive, best_naive, naive_forecasts
from headway_trainer.export import stage
from headway_trainer.export.parity import compare, trained
from headway_trainer.export.record import Export
from headway_trainer.export.session import Session
from headway_trainer.models import build
from headway_trainer.programs import Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.process_group import Alone
from series import prepared, sales
from training_runs import Ticks, finish, job_of, run_until, same, training

CPU = torch.device("cpu")
HISTORY, HORIZON = 14, 3
TWO: dict[str, Any] = {"target": None, "targets": ["sold", "visitors"]}
MODELS: list[dict[str, Any]] = [
    {"name": "mlp", "options": {"hidden": [16]}},
    {"name": "gru", "options": {"hidden": 8}},
    {"name": "gru", "options": {"hidden": 8, "layers": 2, "dropout": 0.2}},
]


def _model(info: DataInfo, spec: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return build(Model.model_validate(spec), info, load_function=lambda _: nn.Identity).model


def _in_units(info: DataInfo, values: torch.Tensor) -> Any:
    """(windows, horizon, targets)."""
    return values.double().numpy().reshape(len(values), HORIZON, -1) * info.target_std + info.target_mean


class _Ranks:
    """Another rank that holds what was reduced before."""

    def __init__(self, other: torch.Tensor) -> None:
        self._other = other

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor + self._other

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


@pytest.mark.parametrize("data", [{}, TWO], ids=["one target", "two targets"])
def test_metrics_are_those_of_another_computation_over_all_steps_ahead(data: dict[str, Any], tmp_path: Path) -> None:
    info, store = prepared(sales([90, 70]), tmp_path, HISTORY, HORIZON, **data)
    task, model = task_of(info), _model(info, MODELS[0]).eval()
    x, y = read_split(store, info, "test")
    feed = Feed(info, CPU, read_series(store, info))
    found = evaluate(Supervised(model, task), Shard(x, y, len(y)), metrics=task.metric_names, ranks=Alone(), feed=feed)
    with torch.no_grad():
        said, true = _in_units(info, model(feed(x))), _in_units(info, y)
    expected: dict[str, list[float]] = {"mse": [], "rmse": [], "mae": [], "r2": [], "mase": []}
    assert info.forecast is not None
    for index, naive in enumerate(info.forecast.naive_mae):
        one, other = true[:, :, index].ravel(), said[:, :, index].ravel()
        expected["mse"].append(sklearn.mean_squared_error(one, other))
        expected["rmse"].append(sklearn.root_mean_squared_error(one, other))
        expected["mae"].append(sklearn.mean_absolute_error(one, other))
        expected["r2"].append(sklearn.r2_score(one, other))
        expected["mase"].append(sklearn.mean_absolute_error(one, other) / naive)
    for name, values in expected.items():
        assert found.scalars[name] == pytest.approx(np.mean(values), rel=1e-5), name
    for index, name in enumerate(info.target_names):
        by_step = np.abs(true - said)[:, :, index].mean(axis=0)
        assert found.by_horizon[name] == pytest.approx(by_step.tolist(), rel=1e-5)
    if data:
        assert found.by_target["visitors"]["rmse"] == pytest.approx(expected["rmse"][1], rel=1e-5)


def test_ranks_together_judge_as_one_does(tmp_path: Path) -> None:
    info, store = prepared(sales([90, 70]), tmp_path, HISTORY, HORIZON, **TWO)
    task, (_, y) = task_of(info), read_split(store, info, "test")
    outputs = torch.randn(len(y), info.outputs)
    names = task.metric_names
    whole, first, second = (task.metrics(names, rows=len(y), device=CPU) for _ in range(3))
    whole.update(outputs, y)
    whole.reduce(Alone())
    first.update(outputs[:3], y[:3])
    second.update(outputs[3:], y[3:])
    (own,), (other,) = first.accumulators.values(), second.accumulators.values()
    own.reduce(_Ranks(other._sums))
    (all_of_them,) = whole.accumulators.values()
    for metric in ("mse", "mae", "r2", "mase"):
        assert torch.allclose(getattr(own, metric)(), getattr(all_of_them, metric)()), metric
    assert torch.allclose(own.mae_by_step, all_of_them.mae_by_step)


@pytest.mark.parametrize("scale", ["standard", "minMax", "none"])
def test_naive_forecasts_say_the_last_value_and_the_last_season_in_the_targets_units(
    scale: str, tmp_path: Path
) -> None:
    table = sales([90, 70])
    info, store = prepared(table, tmp_path, 10, 9, scale=scale, **TWO)
    starts, _ = read_split(store, info, "test")
    seen = Feed(info, CPU, read_series(store, info))(starts)
    found = naive_forecasts(info)
    assert list(found) == ["lastValue", "seasonalNaive"], "the season of days is told: 7 of the 10 that are seen"
    shops = list(dict.fromkeys(table["shop"].to_pylist()))
    ordered = pa.concat_tables(table.filter(pa.compute.equal(table["shop"], one)).sort_by("day") for one in shops)
    for index, name in enumerate(("sold", "visitors")):
        column = np.array(ordered[name])
        for which, steps in (("lastValue", 1), ("seasonalNaive", 7)):
            said = found[which](seen).double().numpy().reshape(len(starts), 9, 2)[:, :, index]
            said = said * info.target_std[index] + info.target_mean[index]
            for row, start in enumerate(starts.tolist()):
                last = column[start : start + 10][-steps:]
                assert np.allclose(said[row], np.resize(last, 9), rtol=1e-4), (name, which)


def test_mase_is_in_units_of_a_season_ago_on_the_training_part_of_each_series(tmp_path: Path) -> None:
    table = sales([90, 70])
    info, store = prepared(table, tmp_path, HISTORY, HORIZON)
    last = info.profile.notes
    assert any("season has 7 steps, told from the step of 1 day" in note for note in last)
    train_end = (read_split(store, info, "train")[0].max().item()) % 90 + HISTORY + HORIZON
    errors = []
    for shop in dict.fromkeys(table["shop"].to_pylist()):
        rows = table.filter(pa.compute.equal(table["shop"], shop)).sort_by("day")
        sold = np.array(rows["sold"])
        sold = sold[:train_end]
        errors += np.abs(sold[7:] - sold[:-7]).tolist()
    assert info.forecast is not None
    assert info.forecast.naive_mae[0] == pytest.approx(np.mean(errors), rel=0.02)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"mae": 1.0, "loss": 5.0}, ""),
        ({"mae": 2.0}, "says again what was a season before: its mean absolute error on the test part is 2, that of"),
        ({"mae": 3.5}, "is 3.5, that of the other 2"),
        ({"loss": 9.0}, "its loss on the test part is 9, that of the other 4"),
        ({"loss": 1.0}, ""),
    ],
)
def test_a_model_that_does_not_beat_the_best_naive_forecast_is_told_so(model: dict[str, float], said: str) -> None:
    naive = {"lastValue": {"mae": 3.0, "loss": 9.0}, "seasonalNaive": {"mae": 2.0, "loss": 4.0}}
    assert best_naive(naive) == "seasonalNaive"
    notes = beaten_by_naive(model, naive)
    assert bool(notes) == bool(said)
    assert said in "".join(notes)


def test_gru_is_for_series_alone() -> None:
    rows = {"train": 1, "validation": 1, "test": 1}
    fields = {"input_shape": (4,), "outputs": 1, "rows": rows, "content_hash": "0", "digest": "0"}
    with pytest.raises(UserError, match=r"gru is for series, but a row of this data has the shape \(4,\)"):
        _model(DataInfo.model_validate({"task": "regression", **fields}), {"name": "gru"})


def test_gru_learns_classes_of_series_too() -> None:
    rows = {"train": 1, "validation": 1, "test": 1}
    fields = {"outputs": 2, "classes": ["a", "b"], "rows": rows, "content_hash": "0", "digest": "0"}
    info = DataInfo.model_validate({"task": "classification", "input_shape": (20, 3), **fields})
    assert _model(info, {"name": "gru"})(torch.randn(5, 20, 3)).shape == (5, 2)


def _job(info: DataInfo, data: Store, run: Store, spec: dict[str, Any], attempt: int = 1) -> LoopInputs:
    told = training(epochs=3, batchSize=8, checkpoint={"everySteps": 4}, optimizer={"lr": 0.01})
    program = Supervised(_model(info, spec), task_of(info))
    return job_of(info, data, program, told, run=run, attempt=attempt, seed=7, clock=Ticks())


@pytest.mark.parametrize("spec", MODELS, ids=str)
def test_a_forecast_that_is_killed_and_resumed_has_the_weights_of_one_that_was_not(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    info, data = prepared(sales([60, 45]), tmp_path / "data", HISTORY, HORIZON)
    whole_end, whole = finish(_job(info, data, Store.open(str(tmp_path / "whole")), spec))
    store = Store.open(str(tmp_path / "cut"))
    run_until(_job(info, data, store, spec), whole_end.step // 2)
    end, weights = finish(_job(info, data, store, spec, attempt=2))
    assert end.resumed_from_step is not None
    assert 0 < end.resumed_from_step < whole_end.step // 2 + 1
    assert same(weights, whole)
    assert [record.validation for record in end.history] == [record.validation for record in whole_end.history]


def test_training_beats_the_naive_forecasts_on_weeks_with_noise(tmp_path: Path) -> None:
    info, data = prepared(sales([1500]), tmp_path / "data", HISTORY, HORIZON)
    job = _job(info, data, Store.open(str(tmp_path / "run")), MODELS[0])
    job = dataclasses.replace(job, spec=training(epochs=20, batchSize=32, optimizer={"lr": 0.003}))
    finish(job)
    x, y = read_split(data, info, "test")
    feed, task = Feed(info, CPU, job.series), task_of(info)

    def mae(model: nn.Module) -> float:
        shard = Shard(x, y, len(y))
        return evaluate(Supervised(model, task), shard, metrics=["mae"], ranks=Alone(), feed=feed).scalars["mae"]

    assert mae(job.model) < 0.95 * min(mae(naive) for naive in naive_forecasts(info).values())


def _exported(info: DataInfo, store: Store, model: nn.Module) -> Export:
    return stage.export(model, info, store, "data/model-1.onnx")


@pytest.mark.parametrize(
    ("spec", "data"), [(MODELS[0], {}), (MODELS[1], {}), (MODELS[2], TWO)], ids=["mlp", "gru", "gru, two targets"]
)
def test_the_exported_model_takes_the_last_raw_rows_and_gives_the_next_values_in_units(
    spec: dict[str, Any], data: dict[str, Any], tmp_path: Path
) -> None:
    table = sales([60, 45])
    info, store = prepared(table, tmp_path, HISTORY, HORIZON, **data)
    model = _model(info, spec)
    exported = _exported(info, store, model)
    assert exported.problem is None
    assert exported.parity is not None
    assert exported.parity.holds
    says = exported.signature
    assert says is not None
    assert (says.history, says.outputs[0].shape) == (HISTORY, [HORIZON, len(info.target_names)])
    assert {(one.column, one.type, tuple(one.shape)) for one in says.inputs} == {
        ("sold", "double", (HISTORY,)),
        ("visitors", "double", (HISTORY,)),
        ("price", "double", (HISTORY,)),
        ("weather", "string", (HISTORY,)),
    }
    rows = table.filter(pa.compute.equal(table["shop"], "shop 1")).sort_by("day").slice(45 - HISTORY)
    feeds = {}
    for one in says.inputs:
        empty = "" if one.type == "string" else np.nan
        values = [empty if value is None else value for value in rows[one.column].to_pylist()]
        feeds[one.name] = np.array([values], dtype=object if one.type == "string" else np.float64)
    said = Session(store.read("data/model-1.onnx"), says).feed(feeds)["value"]
    assert info.transforms is not None
    window = torch.from_numpy(info.transforms.apply(rows)).unsqueeze(0)
    with torch.no_grad():
        assert np.allclose(said, _in_units(info, model.eval()(window)), rtol=1e-5)


def test_parity_is_about_each_window_and_in_the_targets_units(tmp_path: Path) -> None:
    info, store = prepared(sales([60]), tmp_path, HISTORY, HORIZON)
    model = _model(info, MODELS[0])
    turned = info.model_copy(update={"target_mean": [info.target_mean[0] + 1]})
    exported = _exported(info, store, model)
    assert exported.signature is not None
    said = Session(store.read("data/model-1.onnx"), exported.signature)
    assert info.transforms is not None
    sample = read_sample(store, info.transforms)
    expected = trained(model.eval(), info, sample)
    assert compare(expected, said.run(sample), info).holds
    assert not compare(expected[::-1], said.run(sample), info).holds
    assert not compare(expected, said.run(sample), turned).holds
