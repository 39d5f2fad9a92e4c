"""Cross-validation inside trials: what a trial's value is, and what a fault costs. Nothing is trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway_api.training import Training
from headway_trainer.data.info import INFO_FILE
from headway_trainer.data.prepared import Prepared, fold_folder
from headway_trainer.errors import UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.report.model import CrossValidation, KeptModel
from headway_trainer.report.trial_files import TrialFile, file_of
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.seeds import child_seed
from headway_trainer.stages import CrossValidate, Prepare, Results, Tune
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainEnd
from made_runs import made_run
from training_runs import data_info

METRIC = "validation/accuracy"
LRS = [0.3, 0.1, 0.5]
FOLDS = 3
GOOD = {0.3: (0.5, 0.6, 0.7), 0.1: (0.9, 0.8, 0.7), 0.5: (0.9, 0.2, 0.1)}


def made(folder: Path, attempt: int = 1) -> Run:
    """A run whose rows, and those of its folds, are prepared."""
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}, "split": {"folds": FOLDS}},
        "model": {"name": "mlp"},
        "training": {"epochs": 4, "batchSize": 10},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"grid": LRS}},
            "metric": METRIC,
            "search": {"name": "grid"},
        },
        "seed": 3,
    }
    run, _ = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    if not run.store.exists(INFO_FILE):
        prepared = Prepared(info=data_info(90, 10), files=[], folds=[data_info(60 + fold, 30) for fold in range(FOLDS)])
        run.store.write(INFO_FILE, prepared.model_dump_json().encode())
        for fold in range(1, FOLDS + 1):
            run.store.write(f"{fold_folder(fold)}/data/train.x.npy", b"rows")
    return run


class Trainer:
    """Stands for the workers: a fold's accuracy is what GOOD says of the trial's learning rate."""

    def __init__(self, before: Callable[[Run], None] = lambda _: None) -> None:
        self.trained: list[str] = []
        self.seeds: dict[str, int] = {}
        self._before = before

    def __call__(self, run: Run, _: object) -> TrainEnd:
        self._before(run)
        self.trained.append(run.scope)
        self.seeds[run.scope] = run.spec.seed
        number = int(run.scope.rpartition("-")[2])
        assert run.rows_uri is not None
        assert run.rows_uri.endswith(f"/children/fold-{number}"), "it learns from the rows of the run's own fold"
        assert Store.open(run.rows_uri).read("data/train.x.npy") == b"rows"
        value = GOOD[(run.spec.training or Training()).optimizer.lr][number - 1]
        kept = KeptModel(checkpoint="", step=12, metric=METRIC, better="max", value=value)
        metrics: dict[str, dict[str, float | None]] = {"validation": {"accuracy": value}}
        return TrainEnd(finished=True, epochs_run=4, step=28, kept=kept, metrics=metrics)


def tuned(run: Run, trainer: Callable[[Run, object], TrainEnd]) -> tuple[TuningResult, CrossValidation]:
    """What the two stages come to."""
    tuning, results = run.spec.tuning, Results()
    assert tuning is not None
    results.add(Prepare(), data_info(90, 10))
    split = CrossValidate().spec(run.spec)
    assert split is not None

    def on_workers(child: Run, function: object) -> TrainEnd:
        return trainer(child, function)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "on_workers", on_workers)
        return Tune().run(tuning, run, results), CrossValidate().run(split, run, results)


def test_the_value_of_a_trial_is_the_mean_over_its_folds_and_the_best_ones_folds_are_not_trained_again(
    tmp_path: Path,
) -> None:
    run, trainer = made(tmp_path), Trainer()
    result, folds = tuned(run, trainer)
    assert [one.value for one in result.trials] == [pytest.approx(sum(GOOD[lr]) / FOLDS) for lr in LRS]
    assert [one.folds for one in result.trials] == [list(GOOD[lr]) for lr in LRS]
    assert (result.best, [one.epochs for one in result.trials], result.epochs) == (2, [12] * 3, 36)
    assert trainer.trained == [f"trial-{trial}/fold-{fold}" for trial in (1, 2, 3) for fold in (1, 2, 3)]
    assert [one.metrics for one in folds.folds] == [{"accuracy": value} for value in GOOD[0.1]]
    assert folds.mean == {"accuracy": pytest.approx(0.8)}
    assert run.checkpoints.reached() is None, "the model that is kept is trained as without folds"
    assert (run.spec.training or Training()).optimizer.lr == 0.1


def test_a_fold_has_the_seed_that_it_has_without_trials(tmp_path: Path) -> None:
    trainer = Trainer()
    tuned(made(tmp_path), trainer)
    assert trainer.seeds == {
        f"trial-{trial}/fold-{fold}": child_seed(3, f"fold-{fold}") for trial in (1, 2, 3) for fold in (1, 2, 3)
    }


def test_a_stop_between_two_folds_costs_none_that_has_ended(tmp_path: Path) -> None:
    whole, _ = tuned(made(tmp_path / "whole"), Trainer())
    run = made(tmp_path / "run")

    def stop(fold: Run) -> None:
        if fold.scope == "trial-2/fold-2":
            run.stop.set()
            assert fold.stop.wait(30), "it is asked to stop"
            raise Interrupted("stopped")

    with pytest.raises(Interrupted, match="1 of 3 trials had ended"):
        tuned(run, Trainer(stop))
    again = Trainer()
    result, _ = tuned(made(tmp_path / "run", attempt=2), again)
    assert again.trained == ["trial-2/fold-2", "trial-2/fold-3", *(f"trial-3/fold-{fold}" for fold in (1, 2, 3))]
    assert _told(result) == _told(whole)


def test_an_error_in_a_fold_fails_its_trial_alone_and_names_the_fold(tmp_path: Path) -> None:
    def fail(fold: Run) -> None:
        if fold.scope == "trial-1/fold-2":
            raise UserError("the loss is no finite number any more")

    trainer = Trainer(fail)
    result, _ = tuned(made(tmp_path), trainer)
    first = result.trials[0]
    assert (first.state, first.cause, first.message) == (
        "failed",
        "UserError",
        "fold-2: the loss is no finite number any more",
    )
    assert "trial-1/fold-3" not in trainer.trained
    assert (result.best, result.counts) == (2, {"completed": 2, "failed": 1})


def test_a_trial_whose_fold_has_no_finite_value_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOOD, 0.3, (0.9, float("nan"), 0.9))
    result, _ = tuned(made(tmp_path), Trainer())
    first = result.trials[0]
    assert (first.state, first.cause, first.folds) == ("failed", "NotANumber", [0.9, None, 0.9])
    assert first.message == "fold-2: validation/accuracy was no finite number after any epoch"


def _told(result: TuningResult) -> list[dict[str, Any]]:
    return [one.model_dump(exclude={"seconds"}) for one in result.trials]


def test_a_trials_own_file_tells_its_folds(tmp_path: Path) -> None:
    run = made(tmp_path)
    tuned(run, Trainer())
    told = TrialFile.model_validate_json(run.store.read(file_of(2)))
    assert told.folds == list(GOOD[0.1])
    assert told.value == pytest.approx(0.8)
