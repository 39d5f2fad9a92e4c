"""`tuning.seeds` of a search that is given more trials: it comes to what one with as many from the start comes to."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headway_api.training import Training
from headway_trainer.outcome import Interrupted
from headway_trainer.report.model import KeptModel
from headway_trainer.report.trial_records import read_trials
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, BestModel, Checkpoints, Manifest, now
from headway_trainer.training.link import TrainEnd
from headway_trainer.tuning.repeats import seed_of
from made_runs import made_run, tuned

METRIC = "validation/accuracy"
SEED, SEEDS = 6, 3
WHOLE = 9
"""Trials of the search that is not raised."""


def made(folder: Path, trials: int, attempt: int = 1) -> Run:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 2},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"uniform": {"min": 0.001, "max": 1}}},
            "metric": METRIC,
            "search": {"name": "tpe", "startupTrials": 3},
            "seeds": SEEDS,
            "trials": trials,
        },
        "seed": SEED,
    }
    run, _ = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    return run


class Trainer:
    """Stands for the workers: a learning rate of a half is the best, and another seed is a little worse or better."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.begun: list[str] = []
        self._stop_at = stop_at

    def __call__(self, child: Run, _: object) -> TrainEnd:
        if len(self.begun) == self._stop_at:
            raise Interrupted("stopped")
        self.begun.append(child.scope)
        lr = (child.spec.training or Training()).optimizer.lr
        repeat = next(number for number in range(1, SEEDS + 1) if seed_of(SEED, number) == child.spec.seed)
        value = round(1 - abs(lr - 0.5) + (0, -0.03, 0.02)[repeat - 1], 6)
        checkpoints = Checkpoints(child.store, child.file.attempt)
        text = {MODEL_FILE: f"{lr} {repeat}", STATE_FILE: SharedState(step=2, epoch=2).model_dump_json()}
        files = checkpoints.write_parts(2, {name: partial(_whole, data) for name, data in text.items()})
        best = BestModel(step=2, file=MODEL_FILE, metrics={METRIC: value})
        told = {"step": 2, "epoch": 2, "batch": 0, "attempt": child.file.attempt, "world_size": 1, "time": now()}
        checkpoints.commit(Manifest.model_validate({**told, "best": best, "files": files}))
        kept = KeptModel(checkpoint="", step=2, epoch=2, metric=METRIC, better="max", value=value)
        return TrainEnd(finished=True, epochs_run=2, step=2, kept=kept)


def _whole(text: str) -> list[bytes]:
    return [text.encode()]


def came_to(run: Run, result: TuningResult) -> tuple[Any, ...]:
    """All that is told of the trials but for times, which is the best, and its model."""
    manifest = run.checkpoints.newest().manifest
    assert manifest is not None
    trials = [one.model_dump(exclude={"seconds": True, "repeats": {"__all__": {"seconds"}}}) for one in result.trials]
    assert [one.result() for one in read_trials(run.store)] == result.trials
    model = run.checkpoints.read(manifest, MODEL_FILE)
    return trials, result.best, result.epochs, result.counts, model, run.store.list("children")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], tuple[Any, ...]]:
    """What was trained in a search that is not raised, in order, and what it came to."""
    run, trainer = made(tmp_path_factory.mktemp("whole"), WHOLE), Trainer()
    return trainer.begun, came_to(run, tuned(run, trainer))


def test_the_search_has_repeats_before_and_after_where_it_is_raised(whole: tuple[list[str], Any]) -> None:
    begun, _ = whole
    repeated = sorted({int(scope.split("-")[1]) for scope in begun if "seed" in scope})
    assert len(repeated) >= 3
    assert repeated[0] == 1
    assert repeated[-1] > 4


@pytest.mark.parametrize("first", [1, 4, 5, 7])
def test_trials_that_are_added_after_its_end_are_those_of_a_search_that_had_them_from_the_start(
    tmp_path: Path, whole: tuple[list[str], tuple[Any, ...]], first: int
) -> None:
    before, after = Trainer(), Trainer()
    tuned(made(tmp_path, first), before)
    run = made(tmp_path, WHOLE, attempt=2)
    result = tuned(run, after)
    assert [*before.begun, *after.begun] == whole[0], "a repeat is trained once, and comes before any new trial"
    assert came_to(run, result) == whole[1]


def test_so_are_those_that_are_added_where_it_was_stopped_before_a_trial_or_in_its_repeats(
    tmp_path: Path, whole: tuple[list[str], tuple[Any, ...]]
) -> None:
    for scope in ("trial-5", "trial-5-seed-2", "trial-5-seed-3", "trial-6"):
        stop_at = whole[0].index(scope)
        before, after = Trainer(stop_at), Trainer()
        with pytest.raises(Interrupted):
            tuned(made(tmp_path / scope, int(scope.split("-")[1])), before)
        run = made(tmp_path / scope, WHOLE, attempt=2)
        result = tuned(run, after)
        assert [*before.begun, *after.begun] == whole[0], scope
        assert came_to(run, result) == whole[1], scope
