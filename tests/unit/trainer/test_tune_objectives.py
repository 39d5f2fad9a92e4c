"""Trials by several objectives and under constraints, as a stage of a run: what a trial's values are, whose model
stays, and how it goes on after a fault. Trials are not trained here; each says what a trial with its values would."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headway_api.status import TuningStatus
from headway_api.training import Training
from headway_trainer.report.model import KeptModel
from headway_trainer.report.trial_records import read_trials
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.store import BODY_FILE, MODEL_FILE, BestModel, Checkpoints, Manifest, now
from headway_trainer.training.link import TrainEnd
from made_runs import Heard, is_killed_at_write, made_run, tuned

ACCURACY, F1, SIZE = "validation/accuracy", "validation/f1", "model/bytes"
HIDDEN = [8, 64, 32, 128, 16]


def made(folder: Path, attempt: int = 1, **tuning: Any) -> tuple[Run, Heard]:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 3},
        "tuning": {
            "parameters": {"training.batchSize": {"grid": HIDDEN}},
            "objectives": [{"metric": ACCURACY}, {"metric": SIZE}],
            "search": {"name": "grid"},
            **tuning,
        },
        "workers": {"replicas": 1},
        "seed": 3,
    }
    run, sink = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    return run, sink


def told(sink: Heard) -> list[TuningStatus]:
    """What was told of trials."""
    return [one.tuning for one in sink.files if one.tuning is not None]


def _width(run: Run) -> int:
    return (run.spec.training or Training()).batch_size


def _values(width: int) -> dict[str, float]:
    return {ACCURACY: 0.9 if width in (64, 128) else 0.5 + width / 100, F1: 0.8 - width / 1000}


def fitted(child: Run, _: object, *, file: str = MODEL_FILE) -> TrainEnd:
    """A trial whose model takes as many bytes as the batch has rows; its checkpoint goes by the accuracy."""
    width, checkpoints = _width(child), Checkpoints(child.store, child.file.attempt)
    values = {name: value for name, value in _values(width).items() if math.isfinite(value)}
    files = checkpoints.write_parts(30, {file: partial(_whole, "x" * width), "optimizer.safetensors": _many})
    best = BestModel(step=30, file=MODEL_FILE, metrics=values) if file == MODEL_FILE else None
    checkpoints.commit(
        Manifest(
            step=30, epoch=3, batch=0, attempt=child.file.attempt, world_size=1, time=now(), best=best, files=files
        )
    )
    if file != MODEL_FILE:
        judged = {name.removeprefix("validation/"): value for name, value in values.items()}
        return TrainEnd(finished=True, metrics={"validation": dict(judged)})
    kept = KeptModel(checkpoint="", step=0, metric=ACCURACY, better="max", value=values[ACCURACY])
    return TrainEnd(finished=True, epochs_run=3, kept=kept)


def _whole(text: str) -> list[bytes]:
    return [text.encode()]


def _many() -> list[bytes]:
    return [b"x" * 5000]


def test_a_trial_has_the_values_of_the_model_that_is_kept_of_it_and_its_size(tmp_path: Path) -> None:
    run, sink = made(tmp_path)
    result = tuned(run, fitted)
    assert [one.metrics for one in result.trials] == [{ACCURACY: _values(w)[ACCURACY], SIZE: w} for w in HIDDEN]
    assert [one.value for one in result.trials] == [one.metrics[ACCURACY] for one in result.trials]
    assert result.metric == ACCURACY
    assert (result.front, result.front_trials) == ([2, 3, 5, 1], 4), "128 is as good as 64, and larger"
    assert result.best == 2
    assert _width(run) == 64
    assert run.store.list("children") == ["trial-2"]
    assert [one.result() for one in read_trials(run.store)] == result.trials
    newest = told(sink)[-1]
    assert newest.best is not None
    assert (newest.metric, newest.best.trial, newest.best.value) == (ACCURACY, 2, "0.9")
    assert run.reporter.told.warnings == []


def test_the_first_objective_may_be_the_size_and_the_second_one_chooses_the_checkpoints(tmp_path: Path) -> None:
    objectives = [{"metric": SIZE}, {"metric": ACCURACY}]
    run, sink = made(tmp_path, objectives=objectives, constraints=[{"metric": ACCURACY, "min": 0.75}])
    result = tuned(run, fitted)
    assert (result.metric, result.better, result.best) == (SIZE, "min", 3), "the smallest that is good enough"
    assert result.front == [3, 2]
    assert (run.spec.training or Training()).checkpoint.metric == ACCURACY
    best = told(sink)[-1].best
    assert best is not None
    assert (best.trial, best.value) == (3, "32")
    violations = [round(one.violation, 6) for one in result.trials]
    assert violations == [round((0.75 - 0.58) / 0.75, 6), 0.0, 0.0, 0.0, round((0.75 - 0.66) / 0.75, 6)]


def test_a_constraint_beside_one_metric_decides_whose_model_stays(tmp_path: Path) -> None:
    constraints = [{"metric": SIZE, "max": 20}, {"metric": F1, "min": 0.1}]
    run, sink = made(tmp_path, objectives=None, metric=ACCURACY, constraints=constraints)
    result = tuned(run, fitted)
    assert (result.best, result.front, result.objectives) == (5, [], [])
    assert result.trials[0].metrics == {ACCURACY: 0.58, SIZE: 8.0, F1: 0.792}
    bests = [one.best.trial if one.best else None for one in told(sink)]
    assert set(bests) == {None, 1, 5}
    assert bests[-1] == 5


def test_where_no_trial_keeps_the_constraints_the_nearest_ones_model_stays_and_that_is_told(tmp_path: Path) -> None:
    run, sink = made(tmp_path, constraints=[{"metric": SIZE, "max": 4}])
    result = tuned(run, fitted)
    assert (result.best, result.front) == (1, [])
    assert all(one.best is None for one in told(sink)), "none of them is good enough to be told as the best"
    assert run.reporter.told.warnings == [
        "No trial keeps the constraints (model/bytes at most 4): the model is that of trial 1, which is the least far"
        " off (validation/accuracy 0.58, model/bytes 8)."
    ]


def test_a_trial_without_one_of_the_values_fails_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "_values", lambda width: {ACCURACY: 0.5, F1: math.nan if width == 32 else 0.5})
    run, _ = made(tmp_path, objectives=[{"metric": ACCURACY}, {"metric": F1}, {"metric": SIZE}])
    result = tuned(run, fitted)
    failed = [(one.number, one.cause, one.message) for one in result.trials if one.state == "failed"]
    assert failed == [(3, "NotANumber", "validation/f1 was no finite number after the epoch that is kept")]
    assert result.best == 1


def test_the_size_of_an_estimator_is_that_of_its_graph_and_its_values_are_those_that_it_was_judged_by(
    tmp_path: Path,
) -> None:
    run, _ = made(tmp_path)
    result = tuned(run, partial(fitted, file=BODY_FILE))
    assert [one.metrics for one in result.trials] == [{ACCURACY: _values(w)[ACCURACY], SIZE: w} for w in HIDDEN]


def test_a_search_that_is_killed_at_any_write_comes_to_the_same_trials_and_model(tmp_path: Path) -> None:
    tuning: dict[str, Any] = {
        "parameters": {"training.batchSize": {"int": {"min": 4, "max": 128}}},
        "search": {"name": "nsga2", "population": 4},
        "trials": 9,
        "constraints": [{"metric": SIZE, "max": 60}],
    }
    whole_run, _ = made(tmp_path / "whole", **tuning)
    whole = tuned(whole_run, fitted)
    write = 1
    while is_killed_at_write(partial(tuned, made(tmp_path / str(write), **tuning)[0], fitted), write):
        again, _ = made(tmp_path / str(write), attempt=2, **tuning)
        result = tuned(again, fitted)
        assert [one.model_dump(exclude={"seconds"}) for one in result.trials] == [
            one.model_dump(exclude={"seconds"}) for one in whole.trials
        ]
        assert (result.best, result.front) == (whole.best, whole.front)
        assert _width(again) == _width(whole_run)
        write += 5
    assert write > 40, "checkpoints, events and claims of nine trials"
