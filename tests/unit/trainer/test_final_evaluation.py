"""What is said of the model that was kept is measured on that model, and a model of no finite numbers is no success."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headway_api import wire
from headway_trainer.data.info import SPLITS, DataInfo, x_file, y_file
from headway_trainer.data.shards import write_array
from headway_trainer.errors import UserError
from headway_trainer.estimators import judge as final
from headway_trainer.estimators import loop
from headway_trainer.estimators.base import Place
from headway_trainer.evaluation.evaluate import Shard, evaluate
from headway_trainer.programs import Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.link import Silence, TrainEnd
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.process_group import Alone
from training_runs import data_info, finish, make_job, rows, small_model, training

ROWS = {"train": 60, "validation": 20, "test": 30}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Of a job whose data has been prepared."""
    store = Store.open(str(tmp_path))
    for number, split in enumerate(SPLITS, 1):
        x, y = rows(ROWS[split], number)
        write_array(store, x_file(split), x.numpy())
        write_array(store, y_file(split), y.numpy())
    return store


def _place(store: Store, metrics: list[str] | None = None) -> Place:
    evaluation = {"metrics": metrics} if metrics else {}
    data, model = {"source": {"builtin": {"name": "iris"}}}, {"name": "mlp"}
    spec = {"data": data, "model": model, "training": {"epochs": 3}, "evaluation": evaluation}
    run = {"namespace": "", "name": "a", "uid": "", "storageUri": store.uri, "spec": spec}
    return Place(wire.RunFile.model_validate(run), _info(), store, torch.device("cpu"), Alone(), Silence())


def _judged(place: Place, job: LoopInputs, end: TrainEnd) -> TrainEnd:
    """The evaluation of the best model of a finished loop."""
    return final.judge(place, loop.best(place, job, end))


def _info() -> DataInfo:
    return data_info(ROWS["train"], ROWS["validation"]).model_copy(update={"rows": ROWS})


def _trained(store: Store, **spec: Any) -> tuple[LoopInputs, TrainEnd]:
    job = make_job(store, training(**spec), model=small_model(dropout=0.6))
    job = dataclasses.replace(job, info=_info())
    end, _ = finish(job)
    return job, end


def _measured(model: nn.Module, number: int, split: str) -> dict[str, float]:
    x, y = rows(ROWS[split], number)
    task = task_of(_info())
    return evaluate(Supervised(model, task), Shard(x, y, len(y)), metrics=["accuracy"], ranks=Alone()).scalars


def test_all_parts_are_judged_with_the_weights_of_the_model_that_was_kept(store: Store) -> None:
    job, end = _trained(store)
    judged = _judged(_place(store, ["accuracy"]), job, end)
    for number, split in enumerate(SPLITS, 1):
        assert judged.metrics[split] == pytest.approx(_measured(job.model, number, split))
    # What the loop saw of the training part, with dropout and weights that moved, is another number.
    assert judged.metrics["train"]["loss"] != pytest.approx(end.history[-1].train["loss"], rel=0.01)


def test_only_the_test_part_has_a_confusion_matrix(store: Store) -> None:
    job, end = _trained(store)
    judged = _judged(_place(store), job, end)
    assert judged.confusion_matrix is not None
    assert sum(map(sum, judged.confusion_matrix)) == ROWS["test"]
    assert {"rocAuc", "averagePrecision", "r2"} & judged.metrics["train"].keys() == {"rocAuc", "averagePrecision"}


def test_of_a_large_training_part_some_rows_are_judged_and_it_is_said_how_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, end = _trained(store)
    monkeypatch.setattr(final, "JUDGED_TRAIN_ROWS", 25)
    judged = _judged(_place(store, ["accuracy"]), job, end)
    assert judged.notes[-1] == ("The metrics of the training part are those of 20 of its 60 rows, evenly spaced.")
    x, y = rows(60, 1)
    some = evaluate(job.program, Shard(x[::3], y[::3], 20), metrics=["accuracy"], ranks=Alone())
    assert judged.metrics["train"] == pytest.approx(some.scalars)


def test_a_metric_that_was_never_a_number_chooses_nothing_and_that_is_said(store: Store) -> None:
    spec = training(checkpoint={"metric": "validation/rocAuc"})
    job = make_job(store, spec)
    x, y = job.validation
    job = dataclasses.replace(job, info=_info(), validation=(x, torch.zeros_like(y)))  # one class alone
    end, _ = finish(job)
    judged = _judged(_place(store), job, end)
    assert (
        judged.notes[0] == "validation/rocAuc was never a number, so it could choose no model: the newest one was kept."
    )
    assert judged.kept is not None
    assert judged.kept.step == end.step


def _refused(store: Store, spoil: Callable[[nn.Module], None], match: str) -> None:
    """The judge refuses a model that is spoilt between its checkpoint and its evaluation."""
    job, end = _trained(store)

    def spoilt(place: LoopInputs, metric: str) -> Any:
        found = load(place, metric)
        with torch.no_grad():
            spoil(place.model)
        return found

    load = loop._load_best
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_load_best", spoilt)
        with pytest.raises(UserError, match=match):
            _judged(_place(store), job, end)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_kept_model_whose_weights_are_no_numbers_is_no_success(store: Store, value: float) -> None:
    def spoil(model: nn.Module) -> None:
        next(iter(model.parameters()))[0, 0] = value

    _refused(store, spoil, r"0\.weight of the model that was kept holds numbers that are not finite")


def test_a_kept_model_whose_loss_is_no_number_is_no_success(store: Store) -> None:
    def spoil(model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.mul_(1e30)

    _refused(store, spoil, r"the loss of the model that was kept is no finite number on the train")


def test_a_last_step_that_spoilt_the_model_is_no_success(store: Store) -> None:
    # One step, whose own loss is that of the weights before it: the loop has seen nothing wrong.
    job, end = _trained(store, epochs=1, batchSize=1000, optimizer={"name": "sgd", "lr": 1e30})
    assert end.finished
    with pytest.raises(UserError, match=r"the loss of the model that was kept is no finite number on the train part"):
        _judged(_place(store), job, end)


def test_it_is_said_which_epoch_the_kept_model_ends_and_by_which_metric_it_was_chosen(store: Store) -> None:
    job, end = _trained(store)
    kept = _judged(_place(store), job, end).kept
    assert kept is not None
    best = min(end.history, key=lambda record: record.validation["loss"] or math.inf)
    assert (kept.epoch, kept.step, kept.metric, kept.better) == (best.epoch, best.step, "validation/loss", "min")
    assert kept.value == pytest.approx(best.validation["loss"])


def test_an_attempt_that_dies_after_the_evaluation_leaves_it_to_the_next_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, end = _trained(store)
    judged = _judged(_place(store), job, end)
    for tensor in job.model.state_dict().values():
        tensor.zero_()
    with monkeypatch.context() as patch:
        patch.setattr(
            "headway_trainer.estimators.judge.evaluate", lambda *_, **__: pytest.fail("it was evaluated before")
        )
        again = _judged(_place(store), job, end)
    assert again == judged
    weights = job.model.state_dict()
    assert any(bool(tensor.any()) for tensor in weights.values()), "the model that is exported is the one that was kept"


def test_an_evaluation_of_another_kind_is_made_anew(store: Store) -> None:
    job, end = _trained(store)
    assert "f1" not in _judged(_place(store, ["accuracy"]), job, end).metrics["test"]
    assert "f1" in _judged(_place(store, ["accuracy", "f1"]), job, end).metrics["test"]
