"""`tuning.final: retrain`: the rows that trials and the final model learn from, and how the search goes on to it."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import wire
from headway_api.data import Data
from headway_api.job import TrainingJobSpec
from headway_api.training import Training
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.info import SPLITS, w_file, x_file, y_file
from headway_trainer.data.prepared import STUDY_FOLDER, Prepared, forget, prepared_study
from headway_trainer.data.split import Parts, divide, with_validation_learnt
from headway_trainer.outcome import Interrupted
from headway_trainer.report.model import KeptModel
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.stages import Prepare, Results, Train, Tune
from headway_trainer.stages.retrain import NOTHING_JUDGES, spec_of_retraining
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints, Manifest, now
from headway_trainer.training.link import TrainEnd, TrainProgress
from made_runs import Heard, is_killed_at_write, made_run

METRIC = "validation/loss"
LRS = [0.3, 0.1, 0.5]
EPOCHS = 9


def data(**fields: Any) -> Data:
    return Data.model_validate({"source": {"builtin": {"name": "iris"}}, **fields})


@given(st.integers(3, 60), st.integers(0, 2**31 - 1))
def test_rows_of_both_parts_are_in_the_order_of_a_split_that_has_none_for_validation(rows: int, seed: int) -> None:
    parts = divide(rows, data(split={"stratify": "never"}).split, seed)
    both = with_validation_learnt(parts, rows, seed)
    assert sorted(both.indices[0]) == sorted([*parts.indices[0], *parts.indices[1]])
    assert (len(both.indices[1]), list(both.indices[2])) == (0, list(parts.indices[2]))
    share = len(both.indices[0]) / rows
    alone = divide(rows, data(split={"train": share, "validation": 0, "test": 1 - share}).split, seed)
    if len(alone.indices[0]) == len(both.indices[0]):  # a share may be rounded to another number of rows
        assert list(alone.indices[0]) == list(both.indices[0])


def test_rows_that_are_in_no_part_stay_out() -> None:
    parts = Parts((np.array([4, 0]), np.array([2]), np.array([5])), stratified=False)
    assert sorted(with_validation_learnt(parts, 7, 0).indices[0]) == [0, 2, 4]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"split": {"method": "random", "train": 0.5, "validation": 0.25, "test": 0.25, "stratify": "never"}},
        {"scale": "minMax"},
    ],
    ids=["a class each", "by chance", "scaled by bounds"],
)
def test_the_model_has_the_rows_of_a_job_without_a_validation_part_and_trials_those_of_one_with_it(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    split = {"train": 0.7, "validation": 0.2, "test": 0.1, **fields.get("split", {})}
    learnt = {**split, "train": split["train"] + split["validation"], "validation": 0}
    folders = {name: Store.open(str(tmp_path / name)) for name in ("retrain", "learnt", "plain")}
    info = prepare(data(**fields | {"split": split}), seed=5, store=folders["retrain"], retrain=True)
    prepare(data(**fields | {"split": learnt}), seed=5, store=folders["learnt"])
    plain = prepare(data(**fields | {"split": split}), seed=5, store=folders["plain"])
    study, rows = prepared_study(folders["retrain"]), folders["retrain"].child(STUDY_FOLDER)
    assert study is not None
    assert (info.rows["validation"], study.rows) == (0, plain.rows)
    assert study.transforms == plain.transforms != info.transforms, "each is fitted on what it trains on"
    for name in [file(part) for part in SPLITS for file in (x_file, y_file)]:
        assert folders["retrain"].read(name) == folders["learnt"].read(name)
        assert rows.read(name) == folders["plain"].read(name)
    assert any("tuning.final is retrain" in note for note in info.notes)
    assert info.warnings == plain.warnings


def test_weights_of_rows_are_one_in_the_mean_of_what_is_trained_on(tmp_path: Path) -> None:
    lines = "".join(f"{index}.5,{index % 2},{1 + index % 5}\n" for index in range(60))
    (tmp_path / "a.csv").write_text(f"n,y,w\n{lines}")
    spec = Data.model_validate(
        {"source": {"uri": str(tmp_path / "a.csv")}, "target": "y", "columns": {"w": {"role": "weight"}}}
    )
    store = Store.open(str(tmp_path / "run"))
    info = prepare(spec, seed=0, store=store, retrain=True)
    assert info.weighted
    for folder in (store, store.child(STUDY_FOLDER)):
        weights = np.load(io.BytesIO(folder.read(w_file("train"))))
        assert weights.mean() == pytest.approx(1.0)


def test_windows_of_a_forecast_lie_in_both_parts_and_over_their_border(tmp_path: Path) -> None:
    lines = "".join(f"2024-01-{1 + day:02}T{hour:02}:00:00,{day + hour}.5\n" for day in range(20) for hour in range(24))
    (tmp_path / "a.csv").write_text(f"t,y\n{lines}")
    spec = Data.model_validate(
        {
            "source": {"uri": str(tmp_path / "a.csv")},
            "target": "y",
            "task": "forecasting",
            "forecast": {"history": 12, "horizon": 3},
            "columns": {"t": {"role": "time"}},
        }
    )
    store = Store.open(str(tmp_path / "run"))
    info = prepare(spec, seed=0, store=store, retrain=True)
    study = prepared_study(store)
    assert study is not None
    assert info.rows["validation"] == 0
    assert info.rows["train"] > study.rows["train"] + study.rows["validation"], "those over the border, too"
    assert info.rows["test"] == study.rows["test"]


def test_rows_of_trials_that_are_damaged_are_prepared_anew_and_all_are_forgotten_in_the_end(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    prepare(data(), seed=0, store=store, retrain=True)
    path = tmp_path / STUDY_FOLDER / x_file("train")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    info = prepare(data(), seed=0, store=store, retrain=True)
    assert path.read_bytes() == whole
    assert any("prepared again from its source, as before" in note for note in info.notes)
    assert prepare(data(), seed=0, store=store).digest != info.digest, "of another search, they are no trial's"
    prepare(data(), seed=0, store=store, retrain=True)
    forget(store)
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def made(folder: Path, attempt: int = 1, **fields: Any) -> tuple[Run, Heard]:
    """A run that is to train its own model after its trials, with its rows."""
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": EPOCHS, "earlyStopping": {}, "checkpoint": {"keepBest": 3}},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"grid": LRS}},
            "search": {"name": "grid"},
            "final": "retrain",
        },
        "seed": 3,
        **fields,
    }
    run, sink = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    return run, sink


class Trainer:
    """Stands for the workers: a trial is the better the higher its learning rate, and is best after its 4th epoch."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.begun: list[str] = []
        self.rows: set[str | None] = set()
        self._stop_at = stop_at

    def train(self, child: Run) -> TrainEnd:
        """How a trial ends."""
        self.begun.append(child.scope)
        self.rows.add(child.rows_uri)
        if child.scope == self._stop_at:
            raise Interrupted("stopped")
        value = 1 - (child.spec.training or Training()).optimizer.lr
        saved(child)
        kept = KeptModel(checkpoint="", step=40, metric=METRIC, better="min", value=value)
        return TrainEnd(finished=True, epochs_run=EPOCHS, step=90, kept=kept)


def saved(run: Run) -> None:
    """Leave a checkpoint in the folder of a run, or of a child."""
    own = Checkpoints(run.store, run.file.attempt)
    files = own.write_parts(10, {})
    own.commit(Manifest(step=10, epoch=1, batch=0, attempt=run.file.attempt, world_size=1, time=now(), files=files))


def tuned(run: Run, trainer: Trainer) -> tuple[TuningResult, DataInfo]:
    """The stage's result, with the rows that are prepared for it."""
    assert run.spec.data is not None
    assert run.spec.tuning is not None
    results = Results()
    info = Prepare().run(run.spec.data, run, results)
    results.add(Prepare(), info)
    with pytest.MonkeyPatch.context() as patch:
        # A method of the trainer's would not be given the run.
        patch.setattr(Run, "on_workers", lambda child, _: trainer.train(child))
        return Tune().run(run.spec.tuning, run, results), info


def test_trials_learn_from_rows_of_their_own_and_the_run_goes_on_to_a_training_without_a_validation_part(
    tmp_path: Path,
) -> None:
    run, sink = made(tmp_path)
    trainer = Trainer()
    result, info = tuned(run, trainer)
    assert trainer.rows == {wire.below(run.file.storage_uri, STUDY_FOLDER)}
    assert run.rows_uri is None, "its own"
    assert (result.best, [one.best_epoch for one in result.trials]) == (3, [4, 4, 4]), "40 of 90 steps of 9 epochs"
    assert result.retrained is not None
    assert (result.retrained.rows, result.retrained.epochs) == (info.rows["train"], 4)
    training = run.spec.training
    assert training is not None
    assert (training.epochs, training.early_stopping, training.optimizer.lr) == (4, None, 0.5)
    assert (training.checkpoint.metric, training.checkpoint.keep_best) == ("train/loss", 3)
    assert run.checkpoints.newest().manifest is None, "no trial's model is taken over"
    assert [one.tuning.retrain for one in sink.files if one.tuning is not None][-1]


def test_what_is_left_of_the_spec_is_what_such_a_job_is_written_with() -> None:
    def spec(**training: Any) -> TrainingJobSpec:
        return TrainingJobSpec.model_validate(
            {"data": {"source": {"builtin": {"name": "iris"}}}, "model": {"name": "mlp"}, "training": training}
        )

    tried = spec(epochs=50, earlyStopping={}, checkpoint={"metric": "validation/f1", "everySteps": 7})
    assert spec_of_retraining(tried, 8) == spec(epochs=8, checkpoint={"metric": "train/loss", "everySteps": 7})
    assert spec_of_retraining(tried, None) == tried, "a model without epochs has none of these"


def test_steps_of_the_final_training_count_beside_those_of_trials_and_so_does_what_it_resumed_from(
    tmp_path: Path,
) -> None:
    run, sink = made(tmp_path)
    tuned(run, Trainer())
    run.reporter.progress(TrainProgress(step=12, done=12, planned=48, resumed_from_step=6), run.steps)
    run.steps.close()
    told = sink.files[-1]
    assert (told.progress.step, told.resumed_from_step) == (12, 6)
    assert told.progress.percent is not None
    assert 0 < told.progress.percent < 100
    assert told.tuning is not None
    assert told.tuning.completed == 3


def test_the_attempt_after_a_kill_in_the_final_training_runs_no_trial_and_tells_of_them(tmp_path: Path) -> None:
    whole, _ = tuned(made(tmp_path)[0], Trainer())
    run, sink = made(tmp_path, attempt=2)
    idle = Trainer()
    again, _ = tuned(run, idle)
    assert (again, idle.begun) == (whole, [])
    assert (run.spec.training or Training()).epochs == 4
    newest = [one.tuning for one in sink.files if one.tuning is not None][-1]
    assert (newest.completed, newest.best and newest.best.trial, newest.retrain) == (3, 3, True)


def test_a_search_that_goes_on_to_another_best_trial_begins_the_final_training_anew(tmp_path: Path) -> None:
    def attempt(number: int, trials: int) -> Run:
        tuning = {"parameters": {"training.optimizer.lr": {"grid": LRS}}, "search": {"name": "grid"}, "trials": trials}
        run, _ = made(tmp_path, attempt=number, tuning={**tuning, "final": "retrain"})
        tuned(run, Trainer())
        return run

    first = attempt(1, 1)
    saved(first)
    second = attempt(2, 2)
    assert second.checkpoints.newest().manifest is not None, "0.3 is still the best: its training goes on"
    third = attempt(3, 3)
    assert (third.spec.training or Training()).optimizer.lr == 0.5
    assert third.checkpoints.newest().manifest is None, "it would pass for one of the new training"


def test_a_search_that_is_killed_in_any_write_comes_to_the_same_training(tmp_path: Path) -> None:
    first, _ = made(tmp_path / "whole")
    whole, info = tuned(first, Trainer())
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        if not is_killed_at_write(partial(tuned, made(folder)[0], Trainer()), number):
            break
        run, _ = made(folder, attempt=2)
        again, its_info = tuned(run, Trainer())
        assert again.model_copy(update={"seconds": whole.seconds}).model_dump(exclude={"trials"}) == whole.model_dump(
            exclude={"trials"}
        )
        assert run.spec == first.spec, f"killed in write {number}"
        assert its_info.rows == info.rows
    assert number > 20, "rows, claims, checkpoints and events of three trials"


def test_what_it_went_on_from_is_told_of_a_training_and_not_of_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = TrainEnd(finished=True, step=9, resumed_from_step=6)
    monkeypatch.setattr("headway_trainer.stages.train.trained", lambda *_: end)
    for final, told in (("retrain", 6), ("best", None)):
        run, _ = made(tmp_path / final)
        result, _ = tuned(run, Trainer())
        results = Results()
        results.add(Tune(), result if final == "retrain" else result.model_copy(update={"retrained": None}))
        assert Train().run(Train().spec(run.spec), run, results).resumed_from_step == told


def test_it_is_told_that_nothing_judges_a_model_without_a_test_part(tmp_path: Path) -> None:
    split = {"train": 0.8, "validation": 0.2, "test": 0}
    run, _ = made(tmp_path, data={"source": {"builtin": {"name": "iris"}}, "split": split})
    tuned(run, Trainer())
    assert NOTHING_JUDGES in run.reporter.told.warnings
    other, _ = made(tmp_path / "other")
    tuned(other, Trainer())
    assert NOTHING_JUDGES not in other.reporter.told.warnings


def test_a_stop_keeps_the_rows_of_trials_for_the_next_attempt(tmp_path: Path) -> None:
    run, _ = made(tmp_path)
    with pytest.raises(Interrupted):
        tuned(run, Trainer(stop_at="trial-2"))
    before = Prepared.model_validate_json(run.store.read("data/info.json"))
    trainer = Trainer()
    result, info = tuned(made(tmp_path, attempt=2)[0], trainer)
    assert (info, trainer.begun) == (before.info, ["trial-2", "trial-3"])
    assert result.best == 3
    assert len(read_split(run.store, info, "train")[1]) == info.rows["train"]
