"""Trials: what they are told while they are trained, and how the best one's model becomes the run's."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import fs
from safetensors.torch import load

from headway_api import wire
from headway_trainer.errors import StorageError
from headway_trainer.estimators.base import Place
from headway_trainer.estimators.rows import RowsOfTrials
from headway_trainer.ray import kv_link, train_stage
from headway_trainer.ray.kv_link import DriverLink, WorkerLink
from headway_trainer.report.model import EpochRecord
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import FOLDER, Checkpoints
from headway_trainer.training.checkpoints.take_over import go_on_from, take_over
from headway_trainer.training.link import Answer, Compared, Question, Request, Silence
from headway_trainer.training.process_group import Alone
from training_runs import Driver, Ticks, data_info, finish, make_job, run_until, same, training

METRIC = "validation/loss"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def test_a_trial_asks_after_the_epochs_at_which_it_is_compared_and_learns_nothing_else_from_it(store: Store) -> None:
    link, spec = Driver(), training(epochs=4)
    end, weights = finish(make_job(store.child("trial"), spec, link=link, compared_at=frozenset({1, 3, 4})))
    plain, plain_weights = finish(make_job(store.child("plain"), spec))
    assert [(one.epoch, one.value) for one in link.questions] == [
        (epoch, end.history[epoch - 1].validation["loss"]) for epoch in (1, 3)
    ], "after the last one nothing depends on the answer"
    assert same(weights, plain_weights)
    assert (end.epochs_run, end.pruned) == (plain.epochs_run, plain.pruned) == (4, False)


def test_a_trial_that_others_are_better_than_ends_after_that_epoch_for_good(store: Store) -> None:
    link = Driver(answer=lambda question: Answer.PRUNE if question.epoch == 2 else Answer.GO_ON)
    spec, at = training(epochs=5), frozenset({1, 2, 3})
    end, weights = finish(make_job(store, spec, link=link, compared_at=at))
    assert (end.finished, end.pruned, end.epochs_run, len(link.questions)) == (True, True, 2, 2)
    again, other = Driver(), make_job(store, spec, attempt=2, compared_at=at)
    resumed, resumed_weights = finish(other)
    assert (resumed.pruned, resumed.epochs_run, again.questions) == (True, 2, [])
    assert same(weights, resumed_weights)


def test_a_trial_that_hears_no_answer_asks_again_in_the_next_attempt_and_comes_to_the_same_weights(
    store: Store,
) -> None:
    spec, at = training(epochs=4), frozenset({2, 3})
    _, undisturbed = finish(make_job(store.child("whole"), spec, compared_at=at))
    first = Driver(answer=lambda _: Answer.STOP)
    stopped, _ = finish(make_job(store, spec, link=first, compared_at=at))
    assert (stopped.finished, stopped.epochs_run) == (False, 2)
    second = Driver(answer=lambda _: Answer.STOP)
    stopped, _ = finish(make_job(store, spec, attempt=2, link=second, compared_at=at))
    assert (stopped.finished, stopped.epochs_run) == (False, 2)
    third = Driver()
    end, weights = finish(make_job(store, spec, attempt=3, link=third, compared_at=at))
    assert [one.epoch for one in third.questions] == [2, 3]
    assert first.questions == second.questions == third.questions[:1]
    assert end.finished
    assert same(weights, undisturbed)


def test_a_trial_that_was_killed_before_its_checkpoint_asks_again_with_the_same_value(store: Store) -> None:
    spec, at = training(epochs=4, checkpoint={"everySteps": 3}), frozenset({1, 2, 3})
    first, second = Driver(), Driver()
    run_until(make_job(store, spec, link=first, compared_at=at), 9)
    finish(make_job(store, spec, attempt=2, link=second, compared_at=at))
    assert [one.epoch for one in first.questions] == [1, 2]
    assert [one.epoch for one in second.questions] == [2, 3]
    assert second.questions[0] == first.questions[1]


def test_a_stop_is_not_kept_waiting_by_a_question(store: Store) -> None:
    link = Driver({4: Request.STOP})
    end, _ = finish(make_job(store, training(epochs=3), link=link, clock=Ticks(1.0), compared_at=frozenset({1, 2})))
    assert (end.finished, end.epochs_run, link.questions) == (False, 1, [])
    again = Driver()
    finish(make_job(store, training(epochs=3), attempt=2, link=again, compared_at=frozenset({1, 2})))
    assert [one.epoch for one in again.questions] == [1, 2]


def test_a_trial_that_ends_for_now_after_an_epoch_goes_on_to_the_weights_of_one_that_did_not(store: Store) -> None:
    spec = training(epochs=5, schedule={"name": "cosine"})
    whole, undisturbed = finish(make_job(store.child("whole"), spec))
    link = Driver()
    for until in (2, 4, 6):
        end, weights = finish(make_job(store, spec, link=link, until=until, compared_at=frozenset({1, 2, 3, 4})))
        assert (end.finished, end.epochs_run) == (True, min(until, 5))
        assert [_judged(one) for one in end.history] == [_judged(one) for one in whole.history[:until]]
    assert same(weights, undisturbed)
    assert [one.epoch for one in link.questions] == [1, 3], "after its last epoch for now nothing depends on the answer"


def _judged(record: EpochRecord) -> dict[str, Any]:
    return record.model_dump(exclude={"seconds"})


def test_a_trial_that_takes_over_goes_on_from_the_others_checkpoint_with_its_own_values(store: Store) -> None:
    first, second = store.child("first"), store.child("second")
    ends = [
        finish(make_job(run, training(epochs=4, optimizer={"lr": lr}), until=2))
        for run, lr in ((first, 0.05), (second, 0.0001))
    ]
    for _ in range(2):  # the second time, as after an interruption
        go_on_from(Checkpoints(first, 2), 2, second, 2)
    spec = training(epochs=4, optimizer={"lr": 0.02})
    end, weights = finish(make_job(second, spec, attempt=2))
    assert end.history[:2] == ends[0][0].history != ends[1][0].history
    assert [one.learning_rate for one in end.history] == [0.05, 0.05, 0.02, 0.02]
    _, as_if = finish(make_job(first, spec, attempt=2))
    assert same(weights, as_if)
    assert (end.epochs_run, end.resumed_from_step) == (4, ends[0][0].step)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_checkpoint_of_another_epoch_is_not_taken_over_and_what_is_there_stays(store: Store, epoch: int) -> None:
    first, second = store.child("first"), store.child("second")
    for run in (first, second):
        finish(make_job(run, training(epochs=4), until=2))
    with pytest.raises(StorageError, match=f"has no end of epoch {epoch} any more"):
        go_on_from(Checkpoints(first, 2), epoch, second, 2)
    assert Checkpoints(second, 2).newest().manifest is not None


@pytest.mark.parametrize("stopped_at", [None, 6], ids=["completed", "stopped on its way"])
def test_the_best_trials_checkpoint_is_one_of_a_run_that_has_nothing_left_to_train(
    store: Store, stopped_at: int | None
) -> None:
    spec, trial, run = training(epochs=6), store.child("children", "trial-3"), store.child("run")
    link = Driver({stopped_at: Request.STOP} if stopped_at else {})
    of_trial, _ = finish(make_job(trial, spec, link=link, clock=Ticks(1.0)))
    best = Checkpoints(trial, 1).by_merit(METRIC, "min")[0]
    take_over(Checkpoints(trial, 1), run, 2, METRIC, "min")
    trial.delete()
    own = Driver()
    end, _ = finish(make_job(run, spec, attempt=2, link=own, compared_at=frozenset({1, 2, 3, 4, 5})))
    assert (end.finished, end.epochs_run, end.step) == (True, of_trial.epochs_run, of_trial.step)
    assert (end.history, own.questions, own.progress) == (of_trial.history, [], [])
    taken = Checkpoints(run, 2).by_merit(METRIC, "min")[0]
    assert (taken.candidate, taken.attempt) == (best.candidate, 2)


def test_the_model_that_is_taken_over_is_the_trials_byte_for_byte(store: Store) -> None:
    trial, run = store.child("children", "trial-1"), store.child("run")
    finish(make_job(trial, training(epochs=3)))
    checkpoints = Checkpoints(trial, 1)
    best = checkpoints.by_merit(METRIC, "min")[0]
    weights = load(checkpoints.read(best, best.candidate.file))
    take_over(checkpoints, run, 1, METRIC, "min")
    taken = Checkpoints(run, 1).newest()
    assert taken.manifest is not None
    assert not taken.notes
    found = load(Checkpoints(run, 1).read(taken.manifest, taken.manifest.candidate.file))
    assert all(torch.equal(weights[name], found[name]) for name in weights)


def test_a_damaged_checkpoint_is_passed_over_and_without_any_other_it_is_said(store: Store) -> None:
    trial = store.child("children", "trial-1")
    spec = training(epochs=3, checkpoint={"keepLast": 2, "everySteps": 4})
    finish(make_job(trial, spec))
    newest, older = Checkpoints(trial, 1).by_merit(METRIC, "min")[:2]
    trial.write(f"{FOLDER}/{newest.name}/{newest.candidate.file}", b"torn")
    assert take_over(Checkpoints(trial, 1), store.child("run"), 1, METRIC, "min").step == older.step
    trial.write(f"{FOLDER}/{older.name}/{older.candidate.file}", b"torn")
    with pytest.raises(StorageError, match="no checkpoint of the best trial can be read"):
        take_over(Checkpoints(trial, 1), store.child("other"), 1, METRIC, "min")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key-value store of Ray's head."""
    values: dict[bytes, bytes] = {}
    monkeypatch.setattr(kv_link, "_internal_kv_get", lambda key, **_: values.get(key))
    monkeypatch.setattr(kv_link, "_internal_kv_put", lambda key, value, **_: values.update({key: value}))
    monkeypatch.setattr(kv_link, "_internal_kv_del", lambda key, **_: values.pop(key, None))
    monkeypatch.setattr(kv_link, "PERIOD_SECONDS", 3600.0)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(("goes_on", "answer"), [(True, Answer.GO_ON), (False, Answer.PRUNE)])
def test_the_answer_to_another_epoch_is_not_taken_for_this_ones(
    monkeypatch: pytest.MonkeyPatch, goes_on: bool, answer: Answer
) -> None:
    driver, worker = DriverLink("trial-1"), WorkerLink("trial-1")
    driver.answer(2, goes_on=not goes_on)
    asked = Question(epoch=3, value=0.5)

    def answered(_: float) -> None:
        assert driver.question() == asked
        driver.answer(3, goes_on=goes_on)

    monkeypatch.setattr("headway_trainer.ray.kv_link.time.sleep", answered)
    assert worker.ask(asked) == answer
    assert worker.ask(asked) == answer, "a group of workers that is started again hears it at once"
    worker.close()


@pytest.mark.usefixtures("keys")
def test_a_stop_ends_the_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerLink("trial-1")
    monkeypatch.setattr("headway_trainer.ray.kv_link.time.sleep", lambda _: setattr(worker, "_stop", True))
    assert worker.ask(Question(epoch=1, value=None)) == Answer.STOP
    worker.close()


class Asking:
    """The driver's link to a trial that asks one thing after the other, as soon as it is answered."""

    def __init__(self, *questions: Question) -> None:
        self._questions = list(questions)
        self.answers: list[tuple[int, bool]] = []

    def question(self) -> Question | None:
        return self._questions[len(self.answers)] if len(self.answers) < len(self._questions) else self._questions[-1]

    def answer(self, epoch: int, *, goes_on: bool) -> None:
        self.answers.append((epoch, goes_on))


def test_each_question_is_answered_once_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("headway_trainer.ray.train_stage.time.monotonic", lambda: next(clock) * 0.02)
    asked = [Question(epoch=epoch, value=1.0 / epoch) for epoch in (1, 3, 9)]
    link: Any = Asking(*asked)
    heard: list[Question] = []

    def goes_on(question: Question) -> bool:
        heard.append(question)
        return question.epoch < 9

    stage: Any = type("Stage", (), {"compared": Compared(frozenset({1, 3, 9}), goes_on)})
    done: Any = type("Never", (threading.Event,), {"wait": lambda *_: False})()
    assert not train_stage.Questions(stage, link).ended(done)
    assert heard == asked
    assert link.answers == [(1, True), (3, True), (9, False)]


class Reads:
    """Counts what is read of a part of the rows."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


def _place(rows: Store | None, *, digest: str = "0", rank: int = 0) -> Any:
    info = data_info(8, 4).model_copy(update={"digest": digest})
    group = type("OneOfTwo", (Alone,), {"rank": rank, "world_size": 2})()
    spec = {"data": {"source": {"builtin": {"name": "iris"}}}, "model": {"name": "mlp"}, "training": {}}
    run = wire.RunFile.model_validate({"namespace": "", "name": "x", "uid": "", "storageUri": "s3://b/x", "spec": spec})
    return Place(run, info, Store(fs.LocalFileSystem(), "/", "/"), torch.device("cpu"), group, Silence(), rows_of=rows)


def _bucket(name: str, folder: Path) -> Store:
    """A storage whose files this machine has not."""
    return Store(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), name, f"s3://b/{name}")


def test_rows_of_an_object_store_are_read_once_for_trials_that_follow_each_other(tmp_path: Path) -> None:
    kept, train, validation = RowsOfTrials(), Reads(), Reads()
    for _ in range(3):
        trial = _place(_bucket("run", tmp_path))
        assert kept.read(trial, "train", train) == 1
        assert kept.read(trial, "validation", validation) == 1
    for number, other in enumerate(
        [
            _place(_bucket("other", tmp_path)),
            _place(_bucket("run", tmp_path), digest="1"),
            _place(_bucket("run", tmp_path), rank=1),
            _place(_bucket("run", tmp_path)),
        ],
        2,
    ):
        assert kept.read(other, "train", train) == number, "of one run, one preparation and one rank alone"


@pytest.mark.parametrize("local", [True, False], ids=["files of this machine", "no trial"])
def test_other_rows_are_not_kept(tmp_path: Path, local: bool) -> None:
    kept, read = RowsOfTrials(), Reads()
    place = _place(Store.open(str(tmp_path)) if local else None)
    assert [kept.read(place, "train", read) for _ in range(2)] == [1, 2]
