"""Trials that change how rows are prepared: which rows each learns from, how many are kept, and those of the run in the
end. Rows are real; nothing is trained."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway_api.job import TrainingJobSpec
from headway_api.model import tokens_of
from headway_api.overlay import with_parameters
from headway_trainer.data import DataInfo, read_split
from headway_trainer.data.info import INFO_FILE
from headway_trainer.data.prepared import Prepared, data_digest, fold_folder
from headway_trainer.outcome import Interrupted
from headway_trainer.ray import train_stage
from headway_trainer.report.model import KeptModel
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.stages import Prepare, Results, Tune, trial_rows
from headway_trainer.stages.prepare import prepare_rows
from headway_trainer.stages.trial_rows import TrialRows
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainEnd
from made_runs import made_run

METRIC = "validation/accuracy"
SCALES = ["none", "standard", "minMax"]
VALUES = {"none": 0.5, "standard": 0.6, "minMax": 0.9}


def made(folder: Path, attempt: int = 1, **fields: Any) -> tuple[Run, Results]:
    """A run whose rows are prepared."""
    spec: dict[str, Any] = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 3},
        "tuning": {
            "parameters": {"data.scale": {"grid": SCALES}},
            "metric": METRIC,
            "search": {"name": "grid"},
        },
        "seed": 3,
    }
    run, _ = made_run(folder, spec | fields, attempt=attempt)
    run.checkpoints.claim()
    results = Results()
    assert run.spec.data is not None
    results.add(Prepare(), Prepare().run(run.spec.data, run, results))
    return run, results


class Trainer:
    """Stands for the workers: reads the rows that a trial is given, and is as good as VALUES says of how they are
    scaled."""

    def __init__(self, before: Callable[[Run], None] = lambda _: None) -> None:
        self.rows: dict[str, Any] = {}
        self.folders: dict[str, str] = {}
        self._before = before

    def __call__(self, run: Run, info: DataInfo) -> TrainEnd:
        self._before(run)
        assert run.spec.data is not None
        assert info.digest == data_digest(run.spec.data, 3, tokens_of(run.spec.model))
        assert run.rows_uri is not None
        self.rows[run.scope] = read_split(Store.open(run.rows_uri), info, "train")[0].numpy()
        self.folders[run.scope] = run.rows_uri
        value = VALUES[run.spec.data.scale]
        kept = KeptModel(checkpoint="", step=1, metric=METRIC, better="max", value=value)
        return TrainEnd(finished=True, epochs_run=3, step=1, kept=kept)


def tuned(run: Run, results: Results, trainer: Trainer, patch: pytest.MonkeyPatch) -> TuningResult:
    patch.setattr(Run, "on_workers", lambda run, function: function(run))
    patch.setattr(train_stage, "train", trainer)
    patch.setattr("headway_trainer.stages.best_trial.take_over", lambda *_: None)
    assert run.spec.tuning is not None
    return Tune().run(run.spec.tuning, run, results)


def test_each_trial_learns_from_rows_that_are_prepared_as_its_values_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, results = made(tmp_path)
    own, trainer = results.get(Prepare), Trainer()
    result = tuned(run, results, trainer, monkeypatch)
    assert trainer.folders["trial-2"] == run.file.storage_uri, "standard is the run's own"
    raw, standard, bounded = (trainer.rows[f"trial-{number}"] for number in (1, 2, 3))
    np.testing.assert_allclose(standard, (raw - raw.mean(0)) / raw.std(0), atol=1e-5)
    np.testing.assert_allclose(bounded, (raw - raw.min(0)) / (raw.max(0) - raw.min(0)), atol=1e-5)
    assert [one.value for one in result.trials] == [VALUES[scale] for scale in SCALES]
    after = results.get(Prepare)
    assert own is not None
    assert after is not None
    assert (run.spec.data and run.spec.data.scale, after.digest == own.digest) == ("minMax", False)
    np.testing.assert_array_equal(read_split(run.store, after, "train")[0].numpy(), bounded)


def test_a_next_attempt_ends_with_the_best_trials_rows_and_no_trial_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, results = made(tmp_path)
    tuned(run, results, Trainer(), monkeypatch)
    before = results.get(Prepare)
    again, results = made(tmp_path, attempt=2)
    trainer = Trainer()
    tuned(again, results, trainer, monkeypatch)
    assert trainer.folders == {}
    assert results.get(Prepare) == before


def test_a_trial_that_goes_on_finds_its_rows_and_they_are_not_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, results = made(tmp_path)

    def stop(trial: Run) -> None:
        if trial.scope == "trial-3":
            run.stop.set()
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        tuned(run, results, Trainer(stop), monkeypatch)
    before = _infos(run)
    again, results = made(tmp_path, attempt=2)
    trainer = Trainer()
    tuned(again, results, trainer, monkeypatch)
    assert list(trainer.folders) == ["trial-3"]
    assert len(before) == 2
    assert _infos(again) == before


def _infos(run: Run) -> list[tuple[str, int]]:
    """The rows of trials, with the time at which each was prepared."""
    root = Path(run.file.storage_uri)
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.glob(f"children/rows-*/{INFO_FILE}"))


def test_of_many_rows_those_that_were_used_last_are_kept_and_those_of_a_trial_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_rows, "MOST_KEPT", 2)
    run, results = made(tmp_path)
    info = results.get(Prepare)
    assert info is not None
    rows, folders = TrialRows(run, info, run.file.storage_uri), list[str]()
    specs = [with_parameters(run.spec, {"data.scale": scale}) for scale in ("none", "minMax")]
    with rows.of(specs[0]) as one:
        folders.append(one.uri)
        with rows.of(specs[1]) as other:
            folders.append(other.uri)
    assert [Path(uri).exists() for uri in folders] == [True, True]
    monkeypatch.setattr(trial_rows, "MOST_KEPT", 0)
    with rows.of(specs[0]):
        assert [Path(uri).exists() for uri in folders] == [True, False]
    assert [Path(uri).exists() for uri in folders] == [False, False]


def test_trials_of_one_kind_of_rows_share_them_however_many_ask_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, results = made(tmp_path)
    info = results.get(Prepare)
    assert info is not None
    prepared, rows = list[str](), TrialRows(run, info, run.file.storage_uri)

    def prepare_counted(run: Run, spec: TrainingJobSpec, store: Store) -> DataInfo:
        prepared.append(store.uri)
        return prepare_rows(run, spec, store)

    monkeypatch.setattr(trial_rows, "prepare_rows", prepare_counted)
    spec, found, all_at_once = with_parameters(run.spec, {"data.scale": "none"}), list[str](), threading.Barrier(4)

    def ask() -> None:
        all_at_once.wait(30)
        with rows.of(spec) as mine:
            found.append(mine.uri)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert (len(found), len(set(found)), len(prepared)) == (4, 1, 1)


def test_rows_of_folds_are_prepared_for_a_trial_too(tmp_path: Path) -> None:
    run, results = made(tmp_path, data={"source": {"builtin": {"name": "iris"}}, "split": {"folds": 2}})
    info = results.get(Prepare)
    assert info is not None
    with TrialRows(run, info, run.file.storage_uri).of(with_parameters(run.spec, {"data.scale": "none"})) as rows:
        assert list(rows.folds) == ["fold-1", "fold-2"]
        store = Store.open(f"{rows.uri}/{fold_folder(2)}")
        assert (
            read_split(store, rows.folds["fold-2"], "validation")[0].shape[0] == rows.folds["fold-2"].rows["validation"]
        )
        whole = Prepared.model_validate(json.loads(Store.open(rows.uri).read(INFO_FILE)))
    assert whole.info == rows.info


def test_how_texts_are_read_is_the_trials_own(tmp_path: Path) -> None:
    source = tmp_path / "said.csv"
    words = [f"word{number % 40} and more" for number in range(200)]
    source.write_text("text,label\n" + "".join(f"{text},{number % 2}\n" for number, text in enumerate(words)))
    data = {"source": {"uri": str(source), "format": "csv"}, "target": "label", "columns": {"text": {"kind": "text"}}}
    run, results = made(
        tmp_path / "run",
        data=data,
        model={"name": "lstm"},
        tuning={"parameters": {"model.options.vocabulary": {"choice": [5, 30]}}},
    )
    info = results.get(Prepare)
    assert info is not None
    found = {}
    for size in (5, 30):
        with TrialRows(run, info, run.file.storage_uri).of(
            with_parameters(run.spec, {"model.options.vocabulary": size})
        ) as rows:
            found[size] = int(read_split(Store.open(rows.uri), rows.info, "train")[0].max())
    assert found[5] < found[30] < int(read_split(run.store, info, "train")[0].max())
