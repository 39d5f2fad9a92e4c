"""Repeats with other seeds, as a stage of a run: which they are, what stays, and how it goes on after a fault."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headway_api.status import TuningStatus
from headway_api.training import Training
from headway_trainer.errors import UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.report.model import KeptModel
from headway_trainer.report.trial_records import read_trials
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.stages import Prepare, Results, Tune
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, BestModel, Checkpoints, Manifest, now
from headway_trainer.training.link import TrainEnd
from headway_trainer.tuning.repeats import seed_of
from made_runs import Heard, is_killed_at_write, made_run
from training_runs import data_info

METRIC = "validation/accuracy"
SEED, SEEDS, EPOCHS = 3, 3, 4
VALUES = {
    (0.1, 1): 0.80, (0.1, 2): 0.70, (0.1, 3): 0.72,  # the first one is always repeated: 0.74
    (0.2, 1): 0.73,  # not better than the mean
    (0.3, 1): 0.90, (0.3, 2): 0.60, (0.3, 3): 0.60,  # lucky: 0.70
    (0.4, 1): 0.79, (0.4, 2): 0.81, (0.4, 3): 0.80,  # the best: 0.80
}  # fmt: skip
"""The accuracy by the learning rate and the repeat."""


def made(folder: Path, attempt: int = 1, replicas: int = 1, **tuning: Any) -> tuple[Run, Heard]:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": EPOCHS},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"grid": sorted({lr for lr, _ in VALUES})}},
            "metric": METRIC,
            "search": {"name": "grid"},
            "seeds": SEEDS,
            **tuning,
        },
        "workers": {"replicas": replicas},
        "seed": SEED,
    }
    run, sink = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    return run, sink


class Trainer:
    """Stands for the workers."""

    def __init__(self, at: Callable[[Run], None] = lambda _: None) -> None:
        self.begun: list[str] = []
        self.seeds: dict[str, int] = {}
        self._at = at

    def train(self, child: Run) -> TrainEnd:
        """How one ends."""
        self.begun.append(child.scope)
        self.seeds[child.scope] = child.spec.seed
        self._at(child)
        lr = (child.spec.training or Training()).optimizer.lr
        repeat = next(number for number in range(1, SEEDS + 1) if seed_of(SEED, number) == child.spec.seed)
        value = VALUES.get((lr, repeat), 0.5)  # side by side, there is no best yet where the second one ends
        checkpoints = Checkpoints(child.store, child.file.attempt)
        text = {MODEL_FILE: f"{lr} {repeat}", STATE_FILE: SharedState(step=8, epoch=EPOCHS).model_dump_json()}
        files = checkpoints.write_parts(8, {name: partial(_whole, data) for name, data in text.items()})
        best = BestModel(step=8, file=MODEL_FILE, metrics={METRIC: value})
        made = {"step": 8, "epoch": EPOCHS, "batch": 0, "attempt": child.file.attempt, "world_size": 1, "time": now()}
        checkpoints.commit(Manifest.model_validate({**made, "best": best, "files": files}))
        kept = KeptModel(checkpoint="", step=8, epoch=EPOCHS, metric=METRIC, better="max", value=value)
        return TrainEnd(finished=True, epochs_run=EPOCHS, step=8, kept=kept)


def _whole(text: str) -> list[bytes]:
    return [text.encode()]


def tuned(run: Run, trainer: Trainer) -> TuningResult:
    """The stage's result."""
    assert run.spec.tuning is not None
    results = Results()
    results.add(Prepare(), data_info(100, 50))
    with pytest.MonkeyPatch.context() as patch:
        # A method of the trainer's would not be given the run.
        patch.setattr(Run, "on_workers", lambda child, _: trainer.train(child))
        return Tune().run(run.spec.tuning, run, results)


def of_all(result: TuningResult) -> list[dict[str, Any]]:
    """All that is told of the trials but for times."""
    return [one.model_dump(exclude={"seconds": True, "repeats": {"__all__": {"seconds"}}}) for one in result.trials]


def test_a_promising_trial_is_trained_with_other_seeds_next_and_the_best_mean_is_the_best(tmp_path: Path) -> None:
    run, sink = made(tmp_path)
    trainer = Trainer()
    result = tuned(run, trainer)
    assert trainer.begun == [
        "trial-1", "trial-1-seed-2", "trial-1-seed-3", "trial-2",
        "trial-3", "trial-3-seed-2", "trial-3-seed-3", "trial-4", "trial-4-seed-2", "trial-4-seed-3",
    ]  # fmt: skip
    assert len(set(trainer.seeds.values())) == SEEDS, "all trials have the same ones"
    assert trainer.seeds["trial-4"] == SEED, "that of the job"
    assert result.best == 4
    assert [one.value for one in result.trials] == [
        pytest.approx(0.74), 0.73, pytest.approx(0.70), pytest.approx(0.80)
    ]  # fmt: skip
    assert [one.own_value for one in result.trials] == [0.80, None, 0.90, 0.79]
    best = result.trials[3]
    assert best.deviation == pytest.approx(statistics.stdev([0.79, 0.81, 0.80]))
    assert [(one.repeat, one.seed, one.value) for one in best.repeats] == [
        (2, trainer.seeds["trial-4-seed-2"], 0.81),
        (3, trainer.seeds["trial-4-seed-3"], 0.80),
    ]
    assert (result.counts, result.seeds, result.epochs) == ({"completed": 4}, 3, 10 * EPOCHS)
    manifest = run.checkpoints.newest().manifest
    assert manifest is not None
    assert run.checkpoints.read(manifest, MODEL_FILE) == b"0.4 1", "the model of the job's own seed"
    assert run.spec.seed == SEED
    assert run.store.list("children") == ["trial-4"], "nothing stays of the repeats"
    assert [one.result() for one in read_trials(run.store)] == result.trials
    told: list[TuningStatus] = [one.tuning for one in sink.files if one.tuning is not None]
    newest = told[-1].best
    assert newest is not None
    assert (newest.trial, newest.value, newest.deviation) == (4, "0.8", "0.01")
    assert max(one.completed + one.running for one in told) == 4, "repeats are no trials"


def test_side_by_side_the_last_trial_is_repeated_too(tmp_path: Path) -> None:
    run, _ = made(tmp_path, replicas=3)
    trainer = Trainer()
    result = tuned(run, trainer)
    assert result.best == 4
    assert {"trial-4-seed-2", "trial-4-seed-3"} <= set(trainer.begun)
    assert len(trainer.begun) == len(set(trainer.begun)), "each once"


def test_a_stop_in_a_repeat_goes_on_with_it_and_what_has_ended_is_not_trained_again(tmp_path: Path) -> None:
    whole = tuned(made(tmp_path / "whole")[0], Trainer())
    run, _ = made(tmp_path)

    def stop(child: Run) -> None:
        if child.scope == "trial-3-seed-2":
            run.stop.set()
            raise Interrupted("stopped")

    with pytest.raises(Interrupted, match="2 of 4 trials had ended"):
        tuned(run, Trainer(stop))
    assert run.store.list("children") == ["trial-1", "trial-3", "trial-3-seed-2"]
    again, trainer = made(tmp_path, attempt=2)[0], Trainer()
    assert of_all(tuned(again, trainer)) == of_all(whole)
    assert trainer.begun == ["trial-3-seed-2", "trial-3-seed-3", "trial-4", "trial-4-seed-2", "trial-4-seed-3"]


def test_a_repeat_that_fails_fails_its_trial_and_the_others_go_on(tmp_path: Path) -> None:
    def fail(child: Run) -> None:
        if child.scope == "trial-4-seed-2":
            raise UserError("the training loss is no finite number any more")

    result = tuned(made(tmp_path)[0], Trainer(fail))
    last = result.trials[3]
    assert (last.state, last.value, last.cause) == ("failed", None, "UserError")
    assert last.message == "with the seed of its repeat 2: the training loss is no finite number any more"
    assert [one.state for one in last.repeats] == ["failed", "completed"]
    assert (result.best, result.counts) == (1, {"completed": 3, "failed": 1})


def test_a_budget_that_is_used_up_leaves_the_repeats_that_have_not_begun(tmp_path: Path) -> None:
    run, _ = made(tmp_path, budget={"epochs": 6 * EPOCHS})
    trainer = Trainer()
    result = tuned(run, trainer)
    assert trainer.begun[-2:] == ["trial-3", "trial-3-seed-2"]
    cut = result.trials[2]
    assert (cut.state, [(one.state, one.epochs) for one in cut.repeats]) == (
        "stopped",
        [("completed", EPOCHS), ("stopped", 0)],
    )
    assert result.best == 1, "of whole ones it is the best"
    assert run.store.list("children") == ["trial-1"]


def test_a_search_that_is_killed_in_any_write_comes_to_the_same_trials_and_the_same_model(tmp_path: Path) -> None:
    some: dict[str, Any] = {"parameters": {"training.optimizer.lr": {"grid": [0.1, 0.4]}}, "seeds": 2}
    whole = of_all(tuned(made(tmp_path / "whole", **some)[0], Trainer()))
    number = 0
    while True:
        number += 1
        folder, trainer = tmp_path / str(number), Trainer()
        if not is_killed_at_write(partial(tuned, made(folder, **some)[0], trainer), number):
            break
        run, again = made(folder, attempt=2, **some)[0], Trainer()
        assert of_all(tuned(run, again)) == whole, f"killed in write {number}"
        checkpoint = run.checkpoints.newest().manifest
        assert checkpoint is not None
        assert run.checkpoints.read(checkpoint, MODEL_FILE) == b"0.4 1"
        assert not {*trainer.begun[:-1]} & {*again.begun}, "what has ended is not trained again"
    assert number > 25, "claims, checkpoints and events of four trainings"
