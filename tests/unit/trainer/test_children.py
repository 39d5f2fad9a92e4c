"""Children of a run: what is theirs alone, how several are worked on at once, and what is told of all together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.train.v2._internal.execution.worker_group import worker_group

from headway_api.evaluation import Evaluation
from headway_api.job import TrainingJobSpec
from headway_api.model import Model
from headway_api.status import CheckpointStatus, TuningStatus
from headway_trainer import publish
from headway_trainer.errors import StorageError, UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.ray import controller
from headway_trainer.report.markdown import render
from headway_trainer.report.model import Artifact, CrossValidation, FoldResult, RunResult
from headway_trainer.run import Run
from headway_trainer.run_progress import Part, scope_told, together
from headway_trainer.seeds import child_seed
from headway_trainer.side_by_side import side_by_side
from headway_trainer.stages import Publish, Results, Train
from headway_trainer.stages.cross_validate import CrossValidate, over_folds
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import TrainEnd, TrainProgress
from made_runs import Heard, made_run

pytestmark = pytest.mark.usefixtures("steps_end")
SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}, "split": {"folds": 4}},
    "model": {"name": "mlp"},
    "training": {},
    "workers": {"replicas": 2},
    "seed": 5,
}


def made(tmp_path: Path, *, attempt: int = 1, gpus: int = 0, **spec: Any) -> tuple[Run, Heard]:
    return made_run(tmp_path, SPEC | spec, attempt=attempt, gpus=gpus, cores=8)


def test_a_child_has_folder_seed_and_share_of_the_machine_of_its_own(tmp_path: Path) -> None:
    run, _ = made(tmp_path, gpus=4)
    one, other = (run.child(scope, workers=1) for scope in ("fold-1", "fold-2"))
    assert one.file.storage_uri == f"{run.file.storage_uri}/children/fold-1"
    assert one.spec.workers.replicas == 1
    assert (one.around.gpus, one.threads) == (2, 4) == (2, run.threads)
    assert len({run.spec.seed, one.spec.seed, other.spec.seed}) == 3
    assert one.spec.seed == child_seed(5, "fold-1"), "the same in each attempt"
    one.stop.set()
    assert [one.stop.is_set() for one in (one, run, other)] == [True, False, False]


def test_an_older_attempt_can_write_nothing_in_a_childs_folder_any_more(tmp_path: Path) -> None:
    old = made(tmp_path)[0].child("fold-1", workers=1)
    made(tmp_path, attempt=2)[0].child("fold-1", workers=1)
    with pytest.raises(StorageError, match="attempt 1 of this run was replaced by attempt 2"):
        old.fence()
    with pytest.raises(StorageError, match="replaced by attempt 2"):
        made(tmp_path)[0].child("fold-1", workers=1)


class Item:
    def __init__(self, scope: str) -> None:
        self.scope, self.stop = scope, threading.Event()


def worked(work: Callable[[Item], Any], count: int = 5, at_once: int = 2, stop: threading.Event | None = None) -> Any:
    items = [Item(f"fold-{number}") for number in range(1, count + 1)]
    stop = stop or threading.Event()
    return side_by_side(items, work, at_once=at_once, stop=stop, alive=lambda: None)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_as_many_are_worked_on_at_once_as_there_is_room_for_and_their_order_is_kept(at_once: int) -> None:
    together_now, most, lock = [0], [0], threading.Lock()
    met = threading.Barrier(at_once)

    def work(item: Item) -> str:
        with lock:
            together_now[0] += 1
            most[0] = max(most[0], together_now[0])
        met.wait(30)  # as many as there is room for have to be there
        with lock:
            together_now[0] -= 1
        return item.scope

    count = 2 * at_once
    assert worked(work, count, at_once) == [f"fold-{number}" for number in range(1, count + 1)]
    assert most == [at_once]


def test_an_item_is_asked_for_when_there_is_room_for_it() -> None:
    ended: list[str] = []

    def items() -> Iterator[Item]:
        for number in range(1, 7):
            assert len(ended) >= number - 2, "two are under way"
            yield Item(f"trial-{number}")

    both = threading.Barrier(2)

    def work(item: Item) -> str:
        both.wait(30)
        ended.append(item.scope)
        return item.scope

    told = side_by_side(items(), work, at_once=2, stop=threading.Event(), alive=lambda: None)
    assert told == [f"trial-{number}" for number in range(1, 7)]


def test_an_error_of_what_gives_the_items_stops_those_that_are_worked_on() -> None:
    begun = threading.Event()

    def items() -> Iterator[Item]:
        yield Item("trial-1")
        assert begun.wait(30)
        raise StorageError("the log cannot be written")

    def work(item: Item) -> None:
        begun.set()
        assert item.stop.wait(30), "it is asked to stop"
        raise Interrupted("stopped after step 7")

    with pytest.raises(StorageError, match="the log"):
        side_by_side(items(), work, at_once=2, stop=threading.Event(), alive=lambda: None)


def test_a_trial_has_its_parents_seed_and_rows_and_a_folder_of_its_own(tmp_path: Path) -> None:
    run, _ = made(tmp_path, gpus=4)
    other = run.spec.model_copy(update={"model": Model(name="cnn")})
    trial, fold = run.child("trial-1", workers=1, spec=other), run.child("fold-1", workers=1)
    assert (trial.spec.seed, trial.spec.model, trial.spec.workers.replicas) == (5, Model(name="cnn"), 1)
    assert (trial.rows_uri, fold.rows_uri, run.rows_uri) == (run.file.storage_uri, None, None)
    assert trial.file.storage_uri == f"{run.file.storage_uri}/children/trial-1"
    run.become(trial.spec)
    assert (run.spec, run.around.gpus, run.around.cores, run.threads) == (trial.spec, 2, 4, trial.threads)


@pytest.mark.parametrize("stay", [True, False])
def test_processes_stay_for_the_run_itself_where_it_is_to_have_them(tmp_path: Path, stay: bool) -> None:
    run, _ = made(tmp_path)
    children = [run.child(f"trial-{number}", workers=1, spec=run.spec) for number in (1, 2, 3)]
    pools: list[Any] = run.side_by_side(children, lambda child: child.pool, workers=1, stay=stay)
    assert len({id(pool) for pool in pools}) == 1
    assert run.pool is (pools[0] if stay else None)
    assert pools[0]._closed is not stay


def test_an_error_of_one_stops_the_others_and_is_the_one_that_is_raised() -> None:
    begun: list[str] = []

    def work(item: Item) -> None:
        begun.append(item.scope)
        if item.scope == "fold-2":
            raise UserError("the learning rate is too high")
        assert item.stop.wait(30), "it is asked to stop"
        raise Interrupted("stopped after step 7")

    with pytest.raises(UserError, match="learning rate"):
        worked(work)
    assert sorted(begun) == ["fold-1", "fold-2"], "no further one was begun"


def test_a_stop_reaches_all_that_are_worked_on() -> None:
    stop = threading.Event()
    begun = threading.Barrier(2, action=stop.set)

    def work(item: Item) -> None:
        begun.wait(30)
        assert item.stop.wait(30)
        raise Interrupted(f"{item.scope} stopped")

    with pytest.raises(Interrupted, match="stopped"):
        worked(work, stop=stop)


def test_a_stop_between_two_children_is_an_interruption_and_no_success() -> None:
    stop = threading.Event()
    with pytest.raises(Interrupted, match="stopped before fold-"):
        worked(lambda _: stop.set(), count=3, at_once=1, stop=stop)


def at(step: int, planned: int, **more: Any) -> TrainProgress:
    return TrainProgress(step=step, done=step, planned=planned, epoch=2, epochs=9, **more)


def saved(step: int, minute: int) -> CheckpointStatus:
    return CheckpointStatus(uri=f"/c/{step}", step=step, time=f"2026-11-28T12:{minute:02d}:00Z")


def test_steps_checkpoints_and_losses_are_told_of_all_trainings_together() -> None:
    parts = {
        "fold-1": Part(100, at(80, 100, checkpoint=saved(80, 1), resumed_from_step=80), 0, "done"),
        "fold-2": Part(100, at(30, 100, checkpoint=saved(20, 3), metrics={"train/loss": 0.5}), 7, "running"),
        "fold-3": Part(100, at(10, 100, checkpoint=saved(10, 2), steps_per_second=4.0), None, "running"),
        "": Part(200),
    }
    whole, lost = together(parts)
    assert (whole.step, whole.done, whole.planned, lost) == (120, 140, 500, 7)
    assert whole.checkpoint is not None
    assert (whole.checkpoint.uri, whole.checkpoint.step) == ("/c/20", 110)
    assert (whole.resumed_from_step, whole.epoch, whole.steps_per_second) == (80, 0, 4.0)
    assert whole.metrics == {"fold-2/train/loss": 0.5}
    assert scope_told(parts) == "fold-2, fold-3 (1 of 3 done)"


def test_the_model_that_is_kept_is_told_as_in_any_other_job() -> None:
    parts = {"fold-1": Part(10, at(10, 10), None, "done"), "": Part(10, at(5, 10, metrics={"a": 1.0}), None, "running")}
    whole, _ = together(parts)
    assert (whole.epoch, whole.epochs, whole.metrics, whole.done) == (2, 9, {"a": 1.0}, 15)
    assert scope_told(parts) is None


def test_children_that_have_not_begun_count_as_much_as_the_others() -> None:
    parts = {
        "trial-1": Part(100, at(50, 100), None, "done"),
        "trial-2": Part(60, at(30, 60), None, "running"),
    }
    whole, _ = together(parts, children=5)
    assert (whole.done, whole.planned) == (130, 160 + 3 * 80)
    assert scope_told(parts, planned=5) == "trial-2 (1 of 5 done)"
    assert together(parts, children=1)[0].planned == 160
    assert together({"": Part(10)}, children=5)[0].planned == 10


def test_trials_are_told_with_all_else_that_is_told_and_never_forgotten(tmp_path: Path) -> None:
    run, sink = made(tmp_path)
    run.reporter.tuning(TuningStatus(planned=4, completed=2, running=0))
    run.reporter.expect_one("trial-1", 10, steps=10)
    run.reporter.expect_one("trial-2", 10, steps=4)
    child = run.child("trial-3", workers=1)
    run.reporter.expect_one("trial-3", 10)
    run.reporter.tuning(TuningStatus(planned=4, completed=2, running=1))
    run.reporter.progress(at(5, 10), child.steps, child.scope)
    newest = sink.files[-1]
    assert (newest.progress.step, newest.progress.percent) == (19, 62)
    assert newest.progress.scope == "trial-3 (2 of 4 done)"
    assert newest.tuning == TuningStatus(planned=4, completed=2, running=1)
    run.reporter.ended("trial-3")
    run.reporter.progress(at(5, 10), run.steps, "")
    assert sink.files[-1].progress.percent is not None
    assert sink.files[-1].progress.scope is None
    assert sink.files[-1].tuning is not None


def test_what_a_child_that_has_waited_goes_on_from_is_no_step_of_an_attempt_before(tmp_path: Path) -> None:
    run, sink = made(tmp_path)
    run.reporter.tuning(TuningStatus(planned=2, running=1))
    fresh, resumed = (run.child(f"trial-{number}", workers=1) for number in (1, 2))
    for child in (fresh, resumed):
        run.reporter.expect_one(child.scope, 40)
    run.reporter.progress(at(10, 40), fresh.steps, fresh.scope)
    run.reporter.progress(at(10, 40, resumed_from_step=4), resumed.steps, resumed.scope)
    for child in (fresh, resumed):
        run.reporter.waits(child.scope)
    again = run.child("trial-1", workers=1)
    run.reporter.expect_one(again.scope, 40)
    run.reporter.progress(at(20, 40, resumed_from_step=10), again.steps, again.scope)
    newest = sink.files[-1]
    assert (newest.progress.step, newest.progress.percent) == (30, 37)
    assert (newest.resumed_from_step, newest.steps_lost or 0) == (4, 0)
    assert newest.progress.scope == "trial-1 (0 of 2 done)"


def test_progress_of_children_only_ever_grows_and_names_them(tmp_path: Path) -> None:
    run, sink = made(tmp_path)
    children = [run.child(f"fold-{number}", workers=1) for number in (1, 2)]
    run.reporter.expect({"fold-1": 10, "fold-2": 10, "": 20})
    for step in (2, 5, 10):
        for child in children:
            run.reporter.progress(at(step, 10), child.steps, child.scope, ended=step == 10)
    for step in (10, 20):
        run.reporter.progress(at(step, 20), run.steps, ended=step == 20)
    told = [file.progress for file in sink.files]
    assert [one.percent for one in told] == [5, 10, 17, 25, 37, 50, 75, 100]
    assert [one.step for one in told] == [2, 4, 7, 10, 15, 20, 30, 40]
    assert [one.scope for one in told[:2]] == ["fold-1 (0 of 2 done)", "fold-1, fold-2 (0 of 2 done)"]
    assert told[-1].scope is None


def test_steps_that_several_children_do_again_are_added_up(tmp_path: Path) -> None:
    first, _ = made(tmp_path)
    for scope, step in (("fold-1", 40), ("fold-2", 60)):
        child = first.child(scope, workers=1)
        first.reporter.progress(at(step, 100), child.steps, scope)
        child.steps.close()
    again, sink = made(tmp_path, attempt=2)
    again.reporter.expect({"fold-1": 1, "fold-2": 1, "": 1})
    for scope, resumed in (("fold-1", 30), ("fold-2", 55)):
        child = again.child(scope, workers=1)
        again.reporter.progress(at(resumed + 1, 100, resumed_from_step=resumed), child.steps, scope)
    assert (sink.files[-1].resumed_from_step, sink.files[-1].steps_lost) == (85, 15)


def test_mean_and_deviation_are_those_of_all_folds_or_none() -> None:
    told = over_folds([{"accuracy": 0.5, "f1": None}, {"accuracy": 0.7, "f1": 0.1}, {"accuracy": 0.9, "f1": 0.2}])
    assert told["mean"] == {"accuracy": pytest.approx(0.7), "f1": None}
    assert told["standard_deviation"] == {"accuracy": pytest.approx(0.2), "f1": None}


def test_a_job_without_folds_has_no_such_stage() -> None:
    plain = SPEC | {"data": {"source": {"builtin": {"name": "digits"}}}}
    assert CrossValidate().spec(TrainingJobSpec.model_validate(plain)) is None
    assert CrossValidate().spec(TrainingJobSpec.model_validate(SPEC)) is not None


def test_status_and_report_have_the_figures_over_the_folds(tmp_path: Path) -> None:
    folds = [
        FoldResult(name=f"fold-{number}", rows={"train": 80, "validation": 20}, epochs_run=9, best_epoch=4)
        for number in (1, 2)
    ]
    of_folds = CrossValidation(folds=folds, mean={"f1": 0.5, "r2": None}, standard_deviation={"f1": 0.25, "r2": None})
    result = RunResult.model_validate(
        {"job": "x", "outcome": "Succeeded", "seed": 0, "worldSize": 2, "started": "", "finished": ""}
        | {"durationSeconds": 1, "crossValidation": of_folds}
    )
    own = Artifact(name="result", path="result.json", sha256="0", size_bytes=1)
    assert publish.to_status(Store.open(str(tmp_path)), result, own).metrics == {
        "folds/f1": "0.5",
        "folds/f1Std": "0.25",
    }
    page = render(result, loss=False, confusion=False)
    assert "| fold-2 | 80 | 20 | 9 | 4 | - | - |" in page
    assert "| standard deviation |  |  |  |  | 0.25 | - |" in page


def test_rays_barrier_is_left_out_until_the_last_fit_has_ended() -> None:
    own = worker_group.SynchronizationActor
    with controller._without_barrier:
        with controller._without_barrier:
            pass
        assert worker_group.SynchronizationActor is controller._NoActor
    assert worker_group.SynchronizationActor is own


def test_a_childs_checkpoints_are_apart_from_its_parents(tmp_path: Path) -> None:
    run, _ = made(tmp_path)
    child = run.child("fold-1", workers=1)
    child.checkpoints.write_parts(3, {"model.safetensors": lambda: [b"weights"]})
    assert (Checkpoints(child.store, 1).reached(), run.checkpoints.reached()) == (3, None)


def test_what_is_to_be_known_of_the_model_that_is_kept_is_a_warning_of_the_run(tmp_path: Path) -> None:
    run, _ = made(tmp_path)
    beaten = "The model does not beat the forecast that says the last known value again."
    results = Results()
    results.add(Train(), TrainEnd(finished=True, warnings=[beaten]))
    result = Publish().run(Evaluation(), run, results)
    assert beaten in run.reporter.told.warnings, "the status has these"
    assert result.message.count(beaten) == 1
    assert beaten in run.store.read("report.md").decode()
