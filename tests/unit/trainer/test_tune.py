"""The search for better parameters, as a stage of a run: what is kept of which trial, and how it goes on after a fault.
Trials are not trained here; each says what a trial with its values would."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from headway_api.job import TrainingJobSpec
from headway_api.overlay import with_parameters
from headway_api.status import TuningStatus
from headway_api.training import Training
from headway_trainer.errors import OutOfMemory, StorageError, UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.publish import tidy
from headway_trainer.report.model import KeptModel
from headway_trainer.report.trial_files import TrialFile
from headway_trainer.report.trial_records import read_trials
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.run import Run
from headway_trainer.stages import trial_specs, trials
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, BestModel, Checkpoints, Manifest, now
from headway_trainer.training.link import Question, TrainEnd
from headway_trainer.tuning.gpu_time import GpuTime
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Parameters
from made_runs import Heard, is_killed_at_write, made_run, tuned

EPOCHS = 9
METRIC = "validation/accuracy"
LRS = [0.3, 0.1, 0.8, 0.5, 0.2, 0.9, 0.4, 0.6]


def made(folder: Path, attempt: int = 1, replicas: int = 1, gpus: int = 0, **tuning: Any) -> tuple[Run, Heard]:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": EPOCHS},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"grid": LRS}},
            "metric": METRIC,
            "search": {"name": "grid"},
            **tuning,
        },
        "workers": {"replicas": replicas, "resources": {"gpu": gpus}},
        "seed": 3,
    }
    run, sink = made_run(folder, spec, attempt=attempt, gpus=replicas * gpus)
    run.checkpoints.claim()
    return run, sink


def told(sink: Heard) -> list[TuningStatus]:
    """What was told of trials."""
    return [one.tuning for one in sink.files if one.tuning is not None]


class Trainer:
    """Stands for the workers: after each epoch a trial comes closer to the accuracy that its learning rate gives."""

    def __init__(self, at_epoch: Callable[[Run, int], None] = lambda *_: None) -> None:
        self.begun: list[str] = []
        self._at_epoch = at_epoch

    def __call__(self, child: Run, _: object) -> TrainEnd:
        self.begun.append(child.scope)
        assert child.compared is not None
        values: list[float] = []
        for epoch in range(1, EPOCHS + 1):
            if child.stop.is_set():
                _save(child, values)
                raise Interrupted(f"stopped after epoch {epoch - 1}")
            self._at_epoch(child, epoch)
            values.append(_value(_lr(child), epoch))
            if epoch in child.compared.at and not child.compared.goes_on(Question(epoch=epoch, value=values[-1])):
                break
        _save(child, values)
        kept = KeptModel(checkpoint="", step=0, metric=METRIC, better="max", value=max(values))
        return TrainEnd(finished=True, epochs_run=len(values), pruned=len(values) < EPOCHS, kept=kept)


def _whole(text: str) -> list[bytes]:
    return [text.encode()]


def _lr(run: Run) -> float:
    return (run.spec.training or Training()).optimizer.lr


def _value(lr: float, epoch: int) -> float:
    return round((1 - abs(lr - 0.55)) * epoch / EPOCHS, 6)


def _save(child: Run, values: list[float]) -> None:
    """Leave the checkpoint that a trial with these values so far leaves."""
    if not values:
        return
    step, checkpoints = 10 * len(values), Checkpoints(child.store, child.file.attempt)
    text = {MODEL_FILE: str(_lr(child)), STATE_FILE: SharedState(step=step, epoch=len(values)).model_dump_json()}
    files = checkpoints.write_parts(step, {name: partial(_whole, data) for name, data in text.items()})
    best = BestModel(step=step, file=MODEL_FILE, metrics={METRIC: max(values)})
    checkpoints.commit(
        Manifest(
            step=step,
            epoch=len(values),
            batch=0,
            attempt=child.file.attempt,
            world_size=1,
            time=now(),
            best=best,
            files=files,
        )
    )


def of_all(result: TuningResult) -> list[dict[str, Any]]:
    """All that is told of the trials but for times."""
    return [one.model_dump(exclude={"seconds"}) for one in result.trials]


def test_the_run_goes_on_with_the_best_trials_spec_and_checkpoint_and_nothing_stays_of_the_others(
    tmp_path: Path,
) -> None:
    run, sink = made(tmp_path, replicas=2)
    result = tuned(run, Trainer())
    assert [one.parameters["training.optimizer.lr"] for one in result.trials] == LRS
    assert [one.value for one in result.trials] == [_value(lr, EPOCHS) for lr in LRS]
    assert result.best == 4, "0.5 is as close as 0.6, and was tried before it"
    assert (_lr(run), run.spec.tuning, run.spec.workers.replicas) == (0.5, None, 1)
    checkpoint = run.checkpoints.newest().manifest
    assert checkpoint is not None
    assert run.checkpoints.read(checkpoint, MODEL_FILE) == b"0.5"
    assert SharedState.model_validate_json(run.checkpoints.read(checkpoint, STATE_FILE)).pruned
    assert run.store.list("children") == ["trial-4"]
    assert [one.result() for one in read_trials(run.store)] == result.trials
    newest = told(sink)[-1]
    assert (newest.completed, newest.running, newest.best and newest.best.trial) == (8, 0, 4)


def test_trials_that_fail_are_told_with_their_cause_and_the_others_go_on(tmp_path: Path) -> None:
    def fail(child: Run, epoch: int) -> None:
        if _lr(child) == 0.5 and epoch == 2:
            raise UserError("the training loss is no finite number any more")
        if _lr(child) == 0.9:
            raise OutOfMemory("the GPU's memory is full: lower training.batchSize")

    run, _ = made(tmp_path)
    result = tuned(run, Trainer(fail))
    failed = {one.number: (one.cause, one.message) for one in result.trials if one.state == "failed"}
    assert failed == {
        4: ("UserError", "the training loss is no finite number any more"),
        6: ("OutOfMemory", "the GPU's memory is full: lower training.batchSize"),
    }
    assert (result.counts, result.best) == ({"completed": 6, "failed": 2}, 8)


def test_values_that_go_together_in_no_spec_fail_their_trial_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(spec: TrainingJobSpec, parameters: dict[str, Any]) -> TrainingJobSpec:
        if parameters["training.optimizer.lr"] == 0.5:
            raise ValueError("training.optimizer.lr: 0.5 does not go with the rest")
        return with_parameters(spec, parameters)

    monkeypatch.setattr(trial_specs, "with_parameters", written)
    trainer = Trainer()
    result = tuned(made(tmp_path)[0], trainer)
    assert "trial-4" not in trainer.begun
    assert (result.trials[3].cause, result.trials[3].message) == (
        "UserError",
        "training.optimizer.lr: 0.5 does not go with the rest",
    )
    assert (result.counts, result.best) == ({"completed": 7, "failed": 1}, 8)


def test_five_failures_in_a_row_for_one_cause_end_the_job_with_that_sentence(tmp_path: Path) -> None:
    def fail(_: Run, __: int) -> None:
        raise UserError("hidden is too large for the memory")

    trainer = Trainer(fail)
    with pytest.raises(UserError, match=r"the last 5 trials that ended all failed.*hidden is too large"):
        tuned(made(tmp_path)[0], trainer)
    assert len(trainer.begun) == 5


def test_a_trial_without_a_finite_value_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}._value", lambda lr, _: math.nan if lr == 0.3 else lr)
    result = tuned(made(tmp_path)[0], Trainer())
    assert (result.trials[0].state, result.trials[0].cause) == ("failed", "NotANumber")
    assert result.best == 6


def test_a_stop_keeps_what_has_ended_and_the_next_attempt_has_the_trials_of_a_search_that_was_not_stopped(
    tmp_path: Path,
) -> None:
    whole = tuned(made(tmp_path / "whole")[0], Trainer())
    run, _ = made(tmp_path)

    def stop(child: Run, epoch: int) -> None:
        if child.scope == "trial-5" and epoch == 4:
            run.stop.set()
            assert child.stop.wait(30), "it is asked to stop"

    with pytest.raises(Interrupted, match="4 of 8 trials had ended"):
        tuned(run, Trainer(stop))
    assert run.store.list("children") == ["trial-4", "trial-5"]
    again, trainer = made(tmp_path, attempt=2)[0], Trainer()
    assert of_all(tuned(again, trainer)) == of_all(whole)
    assert trainer.begun == ["trial-5", "trial-6", "trial-7", "trial-8"]
    third, idle = made(tmp_path, attempt=3)[0], Trainer()
    assert of_all(tuned(third, idle)) == of_all(whole)
    assert (idle.begun, _lr(third)) == ([], 0.5), "what the search came to is kept"


RANDOM: dict[str, Any] = {
    "parameters": {"training.optimizer.lr": {"uniform": {"min": 0.1, "max": 0.9}}},
    "search": {"name": "tpe", "startupTrials": 3},
}


def own_model(run: Run) -> bytes:
    """The model in a run's own newest checkpoint."""
    checkpoint = run.checkpoints.newest().manifest
    assert checkpoint is not None
    return run.checkpoints.read(checkpoint, MODEL_FILE)


@pytest.mark.parametrize("before", [1, 4, 8])
@pytest.mark.parametrize("scheduler", ["none", "asha", "hyperband", "median"])
def test_a_search_whose_trials_are_raised_after_its_end_is_the_one_that_had_as_many_from_the_start(
    tmp_path: Path, before: int, scheduler: str
) -> None:
    fields = RANDOM | {"scheduler": {"name": scheduler}, "maxConcurrent": 1}
    whole_run, _ = made(tmp_path / "whole", **fields, trials=10)
    whole = tuned(whole_run, Trainer())
    first = made(tmp_path, **fields, trials=before)[0]
    tuned(first, Trainer())
    tidy(first.store)
    assert "children" not in first.store.list()
    run, trainer = made(tmp_path, attempt=2, **fields, trials=10)[0], Trainer()
    result = tuned(run, trainer)
    assert of_all(result) == of_all(whole)
    assert (result.best, result.ended) == (whole.best, whole.ended)
    assert trainer.begun == [f"trial-{number}" for number in range(before + 1, 11)], "none is trained twice"
    assert own_model(run) == own_model(whole_run) == str(_lr(run)).encode()


@pytest.mark.parametrize("better", [False, True])
def test_the_best_trial_of_before_stays_the_best_unless_one_of_the_new_ones_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, better: bool
) -> None:
    first = made(tmp_path, **RANDOM, trials=3)[0]
    before = tuned(first, Trainer())
    kept = own_model(first)
    tidy(first.store)
    # A new best one may have fewer steps than the one before it.
    monkeypatch.setattr(f"{__name__}.EPOCHS", 4)
    monkeypatch.setattr(f"{__name__}._value", lambda lr, _: (2 if better else 0) - lr / 10)
    run = made(tmp_path, attempt=2, **RANDOM, trials=5)[0]
    result = tuned(run, Trainer())
    assert (result.best == before.best) is not better
    assert (own_model(run) == kept) is not better
    assert own_model(run) == str(_lr(run)).encode()


def test_a_raised_search_that_is_killed_in_any_write_comes_to_the_same_trials_and_the_same_model(
    tmp_path: Path,
) -> None:
    whole_run, _ = made(tmp_path / "whole", **RANDOM, trials=5)
    whole = of_all(tuned(whole_run, Trainer()))
    number, models = 0, set()
    while True:
        number += 1
        first = made(tmp_path / str(number), **RANDOM, trials=2)[0]
        tuned(first, Trainer())
        tidy(first.store)
        models.add(own_model(first))
        killed = made(tmp_path / str(number), attempt=2, **RANDOM, trials=5)[0]
        if not is_killed_at_write(partial(tuned, killed, Trainer()), number):
            break
        run = made(tmp_path / str(number), attempt=3, **RANDOM, trials=5)[0]
        assert of_all(tuned(run, Trainer())) == whole, f"killed in write {number}"
        assert own_model(run) == own_model(whole_run), f"killed in write {number}"
    assert number > 15, "claims, checkpoints and events of three trials, and the model that is taken over"
    assert models != {own_model(whole_run)}, "one of the new trials is the best"


def test_trials_on_other_rows_are_refused_as_their_values_could_not_be_compared(tmp_path: Path) -> None:
    first = made(tmp_path, **RANDOM, trials=2)[0]
    tuned(first, Trainer())
    tidy(first.store)
    again, idle = made(tmp_path, attempt=2, **RANDOM, trials=4)[0], Trainer()
    with pytest.raises(
        UserError, match=r"data\.source holds other rows .* put the source back, or begin again with a job"
    ):
        tuned(again, idle, rows="1")
    assert idle.begun == []


def test_each_trial_that_has_ended_leaves_its_result_and_what_a_kill_left_out_is_written_by_the_next_attempt(
    tmp_path: Path,
) -> None:
    run, _ = made(tmp_path, trials=4)
    killed = threading.Event()

    def kill(child: Run, epoch: int) -> None:
        if child.scope == "trial-3" and epoch == 2 and not killed.is_set():
            killed.set()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        tuned(run, Trainer(kill))
    assert run.store.list("trials") == ["1", "2"]
    run.store.delete("trials/1")
    again, _ = made(tmp_path, attempt=2, trials=4)
    tuned(again, Trainer(kill))
    files = [TrialFile.model_validate_json(again.store.read(f"trials/{number}/result.json")) for number in range(1, 5)]
    assert [(one.number, one.state, one.value, one.attempt) for one in files] == [
        (number, "completed", _value(lr, EPOCHS), 1 if number == 2 else 2) for number, lr in enumerate(LRS[:4], 1)
    ]
    assert (files[0].seed, files[0].workers, files[0].metric, files[0].better) == (3, 1, METRIC, "max")


def test_a_trial_s_curve_is_kept_in_its_result_whole_and_in_the_log_thinned(tmp_path: Path) -> None:
    run, _ = made(tmp_path, scheduler={"name": "median", "graceEpochs": 1})
    result = tuned(run, Trainer())
    asked = [(epoch, _value(LRS[0], epoch)) for epoch in range(1, EPOCHS)]
    file = TrialFile.model_validate_json(run.store.read("trials/1/result.json"))
    assert file.values == asked, "the metric after each epoch that was judged"
    assert [one.number for one in result.curves] == list(range(1, 9))
    assert [epoch for epoch, _ in result.curves[0].points] == [epoch for epoch, _ in asked]
    assert read_trials(run.store)[0].curve == result.curves[0].points


def test_a_budget_that_is_used_up_stops_the_trials_that_run_and_their_values_count(tmp_path: Path) -> None:
    run, _ = made(tmp_path, budget={"epochs": 31})
    result = tuned(run, Trainer())
    assert [(one.state, one.epochs) for one in result.trials] == [("completed", 9)] * 3 + [("stopped", 4)]
    assert result.trials[3].value == _value(0.5, 4)
    assert "budget.epochs is 31" in result.ended


def test_a_budget_of_gpu_hours_counts_all_attempts_and_ends_with_the_best_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(trials, "GpuTime", partial(GpuTime, lambda: now[0]))

    def epoch_of_half_an_hour(child: Run, epoch: int) -> None:
        now[0] += 1800
        if (child.file.attempt, child.scope, epoch) == (1, "trial-2", 5):
            run.stop.set()
            assert child.stop.wait(30)
        if (child.file.attempt, child.scope, epoch) == (2, "trial-2", 6):
            assert child.stop.wait(30), "the budget is used up"

    # Each epoch takes one GPU hour. The second attempt does those of trial 2 again.
    run, _ = made(tmp_path, gpus=2, budget={"gpuHours": 20})
    with pytest.raises(Interrupted):
        tuned(run, Trainer(epoch_of_half_an_hour))
    now[0] += 1e6
    result = tuned(made(tmp_path, attempt=2, gpus=2, budget={"gpuHours": 20})[0], Trainer(epoch_of_half_an_hour))
    assert [(one.state, one.epochs) for one in result.trials] == [("completed", 9), ("stopped", 6)]
    assert result.best == 1
    assert result.gpu_hours == 9 + 5 + 6
    assert result.ended == "all trials together have taken 20 GPU hours, and budget.gpuHours is 20"


def test_trials_in_the_middle_of_an_epoch_are_stopped_when_the_search_is_over(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def wait(child: Run, epoch: int) -> None:
        if epoch == 3 and child.scope in {"trial-1", "trial-2"}:
            both.wait(30)
        if epoch == 5 and child.scope == "trial-2":
            assert child.stop.wait(30), "the other one has reached the value"

    run, _ = made(
        tmp_path, replicas=2, stopWhen={"value": 0.7}, parameters={"training.optimizer.lr": {"grid": [0.5, 0.1]}}
    )
    result = tuned(run, Trainer(wait))
    assert [one.state for one in result.trials] == ["stopped", "stopped"]
    assert result.best == 1


def test_a_trial_is_answered_while_another_one_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposing, answered = threading.Event(), threading.Event()
    propose = Study.propose

    def slow(study: Study) -> Parameters | None:
        if len(study.trials) == 2:
            proposing.set()
            assert answered.wait(30), "trial-2 reports meanwhile, and goes on"
        return propose(study)

    def report(child: Run, epoch: int) -> None:
        if child.scope == "trial-2" and epoch == 2:
            assert proposing.wait(30), "trial-1 has ended"
        if child.scope == "trial-2" and epoch == 4:
            answered.set()

    monkeypatch.setattr(Study, "propose", slow)
    run, _ = made(tmp_path, replicas=2, trials=3, scheduler={"name": "median"})
    assert tuned(run, Trainer(report)).counts == {"completed": 3}


@pytest.mark.parametrize(("workers", "at_once"), [(2, 2), (3, 1), (4, 1)])
def test_as_many_trials_run_at_once_as_have_room_for_all_their_workers(
    tmp_path: Path, workers: int, at_once: int
) -> None:
    """Each trial waits until so many run: with fewer at once, none would ever end."""
    all_run, running, most = threading.Barrier(at_once), set[str](), 0

    def wait(child: Run, epoch: int) -> None:
        nonlocal most
        if epoch == 1:
            running.add(child.scope)
            most = max(most, len(running))
            all_run.wait(30)
        if epoch == EPOCHS:
            running.discard(child.scope)

    run, _ = made(tmp_path, replicas=4, workersPerTrial=workers)
    assert tuned(run, Trainer(wait)).counts == {"completed": 8}
    assert most == at_once


def test_nothing_is_said_to_a_trial_before_it_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []

    def train(child: Run, _: object) -> TrainEnd:
        assert child.compared is not None
        monkeypatch.setattr(Store, "open_output", _full)
        answers.append(child.compared.goes_on(Question(epoch=1, value=0.5)))
        raise AssertionError("it was answered")

    run, _ = made(tmp_path, scheduler={"name": "asha"})
    with pytest.raises(StorageError, match="is full"):
        tuned(run, train)
    assert answers == []


@contextlib.contextmanager
def _full(_: Store, path: str, **__: Any) -> Iterator[BinaryIO]:
    raise StorageError(f"{path}: the storage is full")
    yield


def test_a_search_that_is_killed_in_any_write_comes_to_the_same_trials_and_the_same_model(tmp_path: Path) -> None:
    tuning: dict[str, Any] = {"scheduler": {"name": "asha"}, "trials": 3}
    whole_run, _ = made(tmp_path / "whole", **tuning)
    whole = of_all(tuned(whole_run, Trainer()))
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        trainer = Trainer()
        if not is_killed_at_write(partial(tuned, made(folder, **tuning)[0], trainer), number):
            break
        run, again = made(folder, attempt=2, **tuning)[0], Trainer()
        assert of_all(tuned(run, again)) == whole, f"killed in write {number}"
        assert _lr(run) == _lr(whole_run)
        checkpoint = run.checkpoints.newest().manifest
        assert checkpoint is not None
        assert run.checkpoints.read(checkpoint, MODEL_FILE) == str(_lr(run)).encode()
        twice = {*trainer.begun[:-1]} & {*again.begun}
        assert not twice, "a trial that has ended is not trained again"
    assert number > 20, "claims, checkpoints and events of three trials"
