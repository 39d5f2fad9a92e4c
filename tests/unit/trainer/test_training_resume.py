"""A run that is killed and resumed has the weights of one that was never killed."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headway_api.bundle import FileDigest
from headway_trainer.data import batches
from headway_trainer.errors import UserError
from headway_trainer.storage import Pieces, Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import Request, TrainEnd
from training_runs import (
    CLASSES,
    FEATURES,
    Driver,
    Ticks,
    cut_at_write,
    finish,
    make_job,
    run_until,
    same,
    small_model,
    training,
)

STEPS = 12
SPECS: dict[str, dict[str, Any]] = {
    "each epoch": {"checkpoint": {"everySteps": 4}},
    "rarely": {"checkpoint": {"everySteps": 7}},
    "every 3 steps, all features": {
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weightDecay": 0.01},
        "schedule": {"name": "cosine", "warmupSteps": 5},
        "clip": {"norm": 0.5},
        "earlyStopping": {"metric": "validation/accuracy", "mode": "max", "patience": 2},
        "checkpoint": {"everySteps": 3, "keepLast": 1},
    },
    "every step": {"checkpoint": {"everySteps": 1}, "schedule": {"name": "cosine"}},
}


pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@functools.cache
def never_killed(name: str) -> tuple[TrainEnd, dict[str, torch.Tensor]]:
    with tempfile.TemporaryDirectory() as folder:
        return finish(make_job(Store.open(folder), training(**SPECS[name])))


@pytest.mark.parametrize("name", SPECS)
@given(kills=st.lists(st.integers(1, STEPS), min_size=1, max_size=3))
@settings(max_examples=8)
def test_killed_at_any_steps_and_resumed_gives_the_same_weights_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, name: str, kills: list[int]
) -> None:
    spec = training(**SPECS[name])
    whole, weights = never_killed(name)
    store = Store.open(str(tmp_path_factory.mktemp("run")))
    for attempt, step in enumerate(kills, start=1):
        if step > _steps_left(store, spec, attempt, whole.step):
            break
        run_until(make_job(store, spec, attempt=attempt), step)
    resumed, again = finish(make_job(store, spec, attempt=len(kills) + 1))
    assert same(weights, again)
    assert (resumed.step, resumed.epochs_run, resumed.early_stopped) == (
        whole.step,
        whole.epochs_run,
        whole.early_stopped,
    )
    assert [_timeless(record) for record in resumed.history] == [_timeless(record) for record in whole.history]


def test_rows_that_are_gathered_ahead_give_the_same_weights_killed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "every 3 steps, all features"
    spec = training(**SPECS[name])
    whole, weights = never_killed(name)
    monkeypatch.setattr(batches, "LEAST_BYTES", 1)
    store = Store.open(str(tmp_path))
    run_until(make_job(store, spec), 8)
    resumed, again = finish(make_job(store, spec, attempt=2))
    assert resumed.step == whole.step
    assert same(weights, again)


def test_a_run_with_another_seed_has_other_weights(tmp_path: Path) -> None:
    _, one = finish(make_job(Store.open(str(tmp_path / "one")), training()))
    _, other = finish(make_job(Store.open(str(tmp_path / "other")), training(), model=small_model(seed=6)))
    assert not same(one, other)


def test_a_finished_run_that_is_started_again_trains_no_further(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    first, weights = finish(make_job(store, training()))
    second, again = finish(make_job(store, training(), attempt=2))
    assert second.step == first.step == STEPS
    assert second.resumed_from_step == STEPS
    assert same(weights, again)


def test_dropout_after_a_resume_goes_on_where_it_was(tmp_path: Path) -> None:
    spec = training(checkpoint={"everySteps": 2})
    whole, weights = finish(make_job(Store.open(str(tmp_path / "a")), spec, model=small_model(dropout=0.9)))
    store = Store.open(str(tmp_path / "b"))
    run_until(make_job(store, spec, model=small_model(dropout=0.9)), 7)
    torch.manual_seed(999)
    resumed, again = finish(make_job(store, spec, attempt=2, model=small_model(dropout=0.9)))
    assert resumed.resumed_from_step == 6
    assert whole.step == resumed.step
    assert same(weights, again)


def test_another_number_of_workers_begins_the_epoch_again_and_says_so(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    spec = training(checkpoint={"everySteps": 1})
    run_until(make_job(store, spec), 7)
    job = make_job(store, spec, attempt=2)
    newest = job.checkpoints.newest().manifest
    assert newest is not None
    assert newest.batch == 2
    text = (tmp_path / "checkpoints" / newest.name / "manifest.json").read_text()
    changed = text.replace('"worldSize": 1', '"worldSize": 2')
    assert changed != text
    (tmp_path / "checkpoints" / newest.name / "manifest.json").write_text(changed)
    end, _ = finish(job)
    assert end.step == 6 + 8
    assert "2 training processes took the checkpoint of step 6, 1 resumed it" in end.notes[0]


def test_seconds_between_checkpoints_are_kept_by_the_first_ranks_clock(tmp_path: Path) -> None:
    spec = training(checkpoint={"everySeconds": 1, "keepLast": 100}, epochs=4)
    job = make_job(Store.open(str(tmp_path)), spec, clock=Ticks(0.1))
    finish(job)
    steps = [manifest.step for manifest in job.checkpoints.complete()]
    assert any(step % 4 for step in steps)
    assert len(steps) < 16


@given(kills=st.lists(st.tuples(st.sampled_from(["step", "write"]), st.integers(1, STEPS)), min_size=2, max_size=5))
@settings(max_examples=12)
def test_killed_again_and_again_in_steps_and_in_saves_gives_the_same_weights_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[str, int]]
) -> None:
    name = "every 3 steps, all features"
    spec = training(**SPECS[name])
    whole, weights = never_killed(name)
    store = Store.open(str(tmp_path_factory.mktemp("run")))
    for attempt, (where, number) in enumerate(kills, start=1):
        job = make_job(store, spec, attempt=attempt)
        if where == "write":
            cut_at_write(job, number)
        elif number <= _steps_left(store, spec, attempt, whole.step):
            run_until(job, number)
    resumed, again = finish(make_job(store, spec, attempt=len(kills) + 1))
    assert same(weights, again)
    assert (resumed.step, resumed.early_stopped) == (whole.step, whole.early_stopped)


def test_a_stop_that_comes_in_a_save_ends_the_run_after_the_next_step_with_a_checkpoint_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = training(checkpoint={"everySteps": 3})
    _, weights = finish(make_job(Store.open(str(tmp_path / "a")), spec))
    store, link = Store.open(str(tmp_path / "b")), Stopped()
    write_parts = Checkpoints.write_parts

    def stopping(self: Checkpoints, step: int, parts: Mapping[str, Pieces]) -> list[FileDigest]:
        link.stop = True
        return write_parts(self, step, parts)

    monkeypatch.setattr(Checkpoints, "write_parts", stopping)
    end, _ = finish(make_job(store, spec, link=link, clock=Ticks(1.0)))
    assert not end.finished
    assert end.step == 4
    assert end.checkpoint is not None
    assert end.checkpoint.step == 4
    resumed, again = finish(make_job(store, spec, attempt=2))
    assert resumed.resumed_from_step == 4
    assert same(weights, again)


class Stopped(Driver):
    """Asks to stop from some moment on."""

    stop = False

    def request(self) -> Request:
        return Request.STOP if self.stop else Request.NONE


def test_progress_tells_epoch_step_and_planned_steps(tmp_path: Path) -> None:
    link = Driver()
    finish(make_job(Store.open(str(tmp_path)), training(), link=link))
    last = link.progress[-1]
    assert (last.epoch, last.epochs, last.step, last.done, last.planned) == (3, 3, STEPS, STEPS, STEPS)
    assert last.checkpoint is not None
    assert last.samples_per_second is not None
    assert last.samples_per_second > 0
    assert {"train/loss", "validation/loss", "validation/accuracy"} <= set(last.metrics)


def _steps_left(store: Store, spec: Any, attempt: int, total: int) -> int:
    newest = make_job(store, spec, attempt=attempt).checkpoints.newest().manifest
    return total - (newest.step if newest else 0)


def _timeless(record: Any) -> Any:
    return record.model_copy(update={"seconds": None})


def _wider() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, CLASSES))


def _deeper() -> nn.Module:
    return nn.Sequential(*small_model().children(), nn.ReLU(), nn.Linear(CLASSES, CLASSES))


def _shallower() -> nn.Module:
    return nn.Sequential(next(small_model().children()))


def _frozen() -> nn.Module:
    model = small_model()
    next(model.children()).requires_grad_(requires_grad=False)
    return model


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (_wider, r"0\.weight has the shape \[8, \d+\] there, and \[9, \d+\] in the model"),
        (_deeper, r"the model has 6\.weight, and it has none"),
        (_shallower, r"it has 1\.\w+, and the model has none"),
        (_frozen, r"other parameters were trained"),
    ],
)
def test_a_model_that_was_changed_since_is_a_sentence_that_says_how_to_begin_anew(
    tmp_path: Path, build: Callable[[], nn.Module], what: str
) -> None:
    store = Store.open(str(tmp_path))
    run_until(make_job(store, training(checkpoint={"everySteps": 1})), 4)
    changed = make_job(store, training(checkpoint={"everySteps": 1}), attempt=2, model=build())
    with pytest.raises(UserError, match=rf"the checkpoint of step 3 does not fit .*: {what}; .*headway run --fresh"):
        finish(changed)
