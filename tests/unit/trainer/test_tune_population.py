"""Population based training as a stage of a run: its trials wait for each other, take over from others, and go on after
a fault. Trials are not trained here; each says what a trial with its values would."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headway_api.training import Training
from headway_trainer.errors import UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.report.model import EpochRecord, KeptModel
from headway_trainer.report.trial_records import TrialRecord, read_trials, schedule_of
from headway_trainer.report.tuning_model import ScheduledValues, TuningResult
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, BestModel, Checkpoints, Manifest, now
from headway_trainer.training.link import Question, TrainEnd
from made_runs import Heard, is_killed_at_write, made_run, tuned

METRIC = "validation/accuracy"
LR = "training.optimizer.lr"


def made(
    folder: Path, attempt: int = 1, replicas: int = 1, epochs: int = 6, interval: int = 2, **tuning: Any
) -> tuple[Run, Heard]:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": epochs},
        "tuning": {
            "parameters": {LR: {"logUniform": {"min": 0.01, "max": 1}}},
            "metric": METRIC,
            "search": {"name": "random"},
            "scheduler": {"name": "pbt", "intervalEpochs": interval, "quantile": 0.4},
            "trials": 5,
            **tuning,
        },
        "workers": {"replicas": replicas},
        "seed": 3,
    }
    run, sink = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    return run, sink


def _lr(run: Run) -> float:
    return (run.spec.training or Training()).optimizer.lr


def _after(model: float, lr: float, epoch: int) -> float:
    return round(model + 0.1 / (1 + 10 * abs(lr - 1 / epoch**2)), 9)


def _whole(text: str) -> list[bytes]:
    return [text.encode()]


class Trainer:
    """Stands for the workers: each epoch adds to a model, which is one number, what its learning rate is worth then.

    The best one falls with the epochs.
    """

    def __init__(self, at_epoch: Callable[[Run, int], None] = lambda *_: None) -> None:
        self.epochs: list[tuple[str, int]] = []
        """The epochs that were trained, each with its trial."""
        self._at_epoch = at_epoch

    def __call__(self, child: Run, _: object) -> TrainEnd:
        assert child.compared is not None
        assert child.compared.until is not None
        checkpoints = Checkpoints(child.store, child.file.attempt)
        state, model = SharedState(), 0.0
        if (found := checkpoints.newest().manifest) is not None:
            state = SharedState.model_validate_json(checkpoints.read(found, STATE_FILE))
            model = float(checkpoints.read(found, MODEL_FILE))
        pruned = False
        while state.epoch < child.compared.until and not pruned:
            if child.stop.is_set():
                raise Interrupted(f"stopped after epoch {state.epoch}")
            epoch = state.epoch + 1
            self._at_epoch(child, epoch)
            self.epochs.append((child.scope, epoch))
            model = _after(model, _lr(child), epoch)
            state.epoch, state.step = epoch, 10 * epoch
            state.history.append(_record(epoch, model))
            if epoch in child.compared.at and epoch < child.compared.until:
                pruned = not child.compared.goes_on(Question(epoch=epoch, value=model))
            _save(checkpoints, state, model)
        kept = KeptModel(checkpoint="", step=state.step, metric=METRIC, better="max", value=model)
        return TrainEnd(finished=True, epochs_run=state.epoch, pruned=pruned, history=state.history, kept=kept)


def _record(epoch: int, model: float) -> EpochRecord:
    return EpochRecord(
        epoch=epoch, step=10 * epoch, train={}, validation={"accuracy": model}, learning_rate=0.1, seconds=0.0
    )


def _save(checkpoints: Checkpoints, state: SharedState, model: float) -> None:
    text = {MODEL_FILE: str(model), STATE_FILE: state.model_dump_json()}
    files = checkpoints.write_parts(state.step, {name: partial(_whole, data) for name, data in text.items()})
    checkpoints.commit(
        Manifest(
            step=state.step,
            epoch=state.epoch,
            batch=0,
            attempt=checkpoints.attempt,
            world_size=1,
            time=now(),
            best=BestModel(step=state.step, file=MODEL_FILE, metrics={METRIC: model}),
            files=files,
        )
    )
    checkpoints.retain(1, 1, METRIC, "max")


def of_all(run: Run, result: TuningResult) -> list[dict[str, Any]]:
    """All that is told of the trials but for times and for the order in which they reported."""
    records = [one.model_dump(exclude={"seconds", "began", "ended"}) for one in read_trials(run.store)]
    for one in records:
        one["reports"] = [{key: each[key] for key in ("epoch", "value")} for each in one["reports"]]
    return [{"best": result.best, "schedule": result.schedule}, *records]


def model_of(run: Run) -> bytes:
    manifest = run.checkpoints.newest().manifest
    assert manifest is not None
    return run.checkpoints.read(manifest, MODEL_FILE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], bytes]:
    """The trials and the model of a population that nothing happened to, one trained at a time."""
    run, _ = made(tmp_path_factory.mktemp("whole"))
    result = tuned(run, Trainer())
    return of_all(run, result), model_of(run)


def test_the_worst_go_on_from_checkpoints_of_the_best_and_the_best_model_is_the_runs(tmp_path: Path) -> None:
    run, sink = made(tmp_path, replicas=2)
    trainer = Trainer()
    result = tuned(run, trainer)
    assert sorted(trainer.epochs) == [(f"trial-{number}", epoch) for number in range(1, 6) for epoch in range(1, 7)]
    order = [epoch for _, epoch in trainer.epochs]
    assert [sorted(order[start : start + 10]) for start in (0, 10, 20)] == [
        sorted([first, first + 1] * 5) for first in (1, 3, 5)
    ], "all come to the end of a generation before any goes on"
    assert (result.takeovers, result.counts) == (4, {"completed": 5})
    records = read_trials(run.store)
    for one in records:
        for values in one.lineage[1:]:
            source = records[(values.source or 0) - 1]
            at_source = next(each.value for each in source.reports if each.epoch == values.after_epoch)
            mine = next(each.value for each in one.reports if each.epoch == values.after_epoch)
            assert at_source is not None
            assert mine is not None
            assert at_source > mine
    best = records[(result.best or 0) - 1]
    assert best.value == max(one.value or 0.0 for one in records)
    assert model_of(run) == str(best.value).encode()
    assert _lr(run) == best.parameters[LR]
    assert result.schedule == schedule_of(records, best.number)
    for one in records:
        assert _trained_with(one, records) == one.value, "the schedule is what its model was trained with"
    assert run.store.list("children") == [f"trial-{best.number}"]
    told = [one.tuning for one in sink.files if one.tuning is not None]
    assert max(one.waiting for one in told) >= 3
    assert all(one.running <= 2 for one in told)
    assert (told[-1].completed, told[-1].waiting, told[-1].running) == (5, 0, 0)
    assert sink.files[-1].progress.percent in (None, 100)
    assert sink.files[-1].resumed_from_step is None, "what a trial waited for is no step of an attempt before"


def _trained_with(record: TrialRecord, records: list[TrialRecord]) -> float:
    """What comes of a model that is trained with a trial's schedule."""
    whole = [ScheduledValues(first=1, last=6, trial=record.number, parameters=record.parameters)]
    model, epochs = 0.0, list[int]()
    for part in schedule_of(records, record.number) or whole:
        lr = part.parameters[LR]
        assert isinstance(lr, float)
        for epoch in range(part.first, part.last + 1):
            model = _after(model, lr, epoch)
            epochs.append(epoch)
    assert epochs == [1, 2, 3, 4, 5, 6]
    return model


@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_how_many_are_trained_at_once_changes_nothing(
    tmp_path: Path, replicas: int, whole: tuple[list[dict[str, Any]], bytes]
) -> None:
    run, _ = made(tmp_path, replicas=replicas)
    result = tuned(run, Trainer())
    assert (of_all(run, result), model_of(run)) == whole


def test_a_stop_in_the_middle_of_a_generation_changes_nothing(
    tmp_path: Path, whole: tuple[list[dict[str, Any]], bytes]
) -> None:
    run, _ = made(tmp_path)

    def stop(child: Run, epoch: int) -> None:
        if (child.scope, epoch) == ("trial-3", 4):
            run.stop.set()
            assert child.stop.wait(30), "it is asked to stop"

    first, second = Trainer(stop), Trainer()
    with pytest.raises(Interrupted, match="0 of 5 trials had ended"):
        tuned(run, first)
    again, _ = made(tmp_path, attempt=2)
    result = tuned(again, second)
    assert (of_all(again, result), model_of(again)) == whole
    assert not set(first.epochs) & set(second.epochs), "nothing is trained twice"


def test_a_population_that_is_killed_in_any_write_comes_to_the_same_trials_and_the_same_model(tmp_path: Path) -> None:
    small: dict[str, Any] = {"epochs": 2, "interval": 1, "trials": 3}
    run, _ = made(tmp_path / "whole", **small)
    undisturbed = of_all(run, tuned(run, Trainer())), model_of(run)
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        if not is_killed_at_write(partial(tuned, made(folder, **small)[0], Trainer()), number):
            break
        again, _ = made(folder, attempt=2, **small)
        result = tuned(again, Trainer())
        assert (of_all(again, result), model_of(again)) == undisturbed, f"killed in write {number}"
    assert number > 30, "claims, checkpoints, copies and events of three trials"


def test_a_trial_that_fails_leaves_the_population_and_the_others_go_on(tmp_path: Path) -> None:
    def fail(child: Run, epoch: int) -> None:
        if (child.scope, epoch) == ("trial-2", 3):
            raise UserError("the training loss is no finite number any more")

    run, _ = made(tmp_path, replicas=2)
    result = tuned(run, Trainer(fail))
    assert result.counts == {"completed": 4, "failed": 1}
    assert result.trials[1].cause == "UserError"
    assert all(values.source != 2 for one in read_trials(run.store) for values in one.lineage if values.after_epoch > 2)


@pytest.mark.parametrize("budget", [13, 20])
def test_a_budget_ends_those_that_wait_too_and_their_values_count(tmp_path: Path, budget: int) -> None:
    run, _ = made(tmp_path, budget={"epochs": budget})
    result = tuned(run, Trainer())
    assert result.counts == {"stopped": 5}
    assert sum(one.epochs for one in result.trials) == budget
    assert all(one.value is not None for one in result.trials)
    assert f"budget.epochs is {budget}" in result.ended
    best = max(result.trials, key=lambda one: one.value or 0.0)
    assert (result.best, model_of(run)) == (best.number, str(best.value).encode())
