"""What a training function of the user's own reports in a trial, by number; and what becomes of the best one's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway_api.metrics import Better
from headway_trainer.errors import StorageError
from headway_trainer.kept_results import keep
from headway_trainer.ray.reports import NUMBER
from headway_trainer.ray.trial_reports import TrialReports
from headway_trainer.stages import own_trials
from headway_trainer.stages.trial_ends import of_reports
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import RAY_FOLDER, RAY_RUN
from headway_trainer.training.link import Compared, TrainEnd, TrainProgress
from headway_trainer.tuning.trial import Trial
from made_runs import made_run
from studies import study, tuning

SNAPSHOT = "checkpoint_manager_snapshot.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "trial"))


def compared(better: Better = "max", **values: float | None) -> Compared:
    known = {int(number[1:]): value for number, value in values.items()}
    return Compared(frozenset(), lambda _: True, metric="score", better=better, values=known)


def listed(store: Store, **checkpoints: tuple[int, Any]) -> None:
    """What Ray Train lists of checkpoints: by folder the report's number and its score."""
    folder = store.child(RAY_FOLDER, RAY_RUN)
    results = []
    for name, (number, score) in checkpoints.items():
        folder.write(f"{name}/weights", name.encode())
        results.append({"checkpoint_dir_name": name, "metrics": {NUMBER: number, "score": score}})
    folder.write(SNAPSHOT, json.dumps({"checkpoint_results": results}).encode())


def report(reports: TrialReports, number: int, score: Any, checkpoint: str | None = None) -> None:
    saved = None if checkpoint is None else SimpleNamespace(path=f"/x/{checkpoint}")
    reports.after_report(None, [{"score": score, "epoch": number, NUMBER: number}], saved)


def test_values_are_kept_by_the_number_of_the_report_which_nobody_else_sees(store: Store) -> None:
    told, known = list[TrainProgress](), compared()
    reports = TrialReports(store, told.append, keep_last=2, compared=known)
    for number, score in enumerate([0.5, float("nan"), "high", True, 0.25], 1):
        report(reports, number, score)
    assert known.values == {1: 0.5, 2: None, 3: None, 4: None, 5: 0.25}
    assert told[-1].metrics == {"score": 0.25, "epoch": 5.0}
    end = reports.end(None)
    assert (end.reports, end.metrics["reported"]) == (5, {"score": 0.25, "epoch": 5.0})


def test_a_function_that_goes_on_from_a_checkpoint_reports_what_came_after_it_again(store: Store) -> None:
    known = compared()
    reports = TrialReports(store, lambda _: None, keep_last=2, compared=known)
    for number in range(1, 6):
        report(reports, number, number / 10)
    reports.after_exception(None, {})
    report(reports, 4, 0.9)
    assert known.values == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9}
    report(reports, 1, 0.8)
    assert known.values == {1: 0.8}, "without a checkpoint it begins anew"


def test_the_next_attempt_knows_the_reports_whose_checkpoints_are_there(store: Store) -> None:
    listed(store, best=(2, 0.9), newest=(5, 0.4))
    known = compared(n1=0.1, n2=0.9)
    reports = TrialReports(store, lambda _: None, keep_last=1, compared=known)
    assert reports.recover() == []
    assert known.values == {1: 0.1, 2: 0.9, 5: 0.4}


@pytest.mark.parametrize(("better", "best"), [("max", "b"), ("min", "a")])
def test_the_checkpoint_is_the_best_one_that_is_there(store: Store, better: Better, best: str) -> None:
    reports = TrialReports(store, lambda _: None, keep_last=2, compared=compared(better))
    listed(store, a=(1, 0.1), b=(3, 0.7), c=(4, 0.4), d=(5, None), gone=(6, 0.0 if better == "min" else 0.9))
    store.child(RAY_FOLDER, RAY_RUN).delete("gone")
    report(reports, 6, 0.2, checkpoint="c")
    checkpoint = reports.end(None).checkpoint
    assert checkpoint is not None
    assert checkpoint.uri.rpartition("/")[2] == best
    config = reports.run_config().checkpoint_config
    assert (config.num_to_keep, config.checkpoint_score_attribute, config.checkpoint_score_order) == (
        2,
        "score",
        better,
    )


@pytest.mark.parametrize(
    ("known", "end", "told"),
    [
        (compared("max", n1=0.5, n2=0.9, n3=0.7), TrainEnd(finished=True), ("completed", 0.9, 3)),
        (compared("min", n1=0.5, n2=0.9, n3=None), TrainEnd(finished=True, pruned=True), ("stopped", 0.5, 3)),
        (compared("min", n2=0.5), TrainEnd(finished=False), ("stopped", 0.5, 2)),
        (compared(), TrainEnd(finished=False), ("stopped", None, 0)),
        (compared(n1=None), TrainEnd(finished=True), ("failed", None, 1)),
        (compared(), TrainEnd(finished=True), ("failed", None, 0)),
    ],
)
def test_a_trial_ends_with_the_best_value_that_it_has_reported(
    known: Compared, end: TrainEnd, told: tuple[str, float | None, int]
) -> None:
    ended = of_reports(Trial(4, {}), known, end)
    assert (ended.state, ended.value, ended.epochs) == told
    assert (ended.trial, ended.curve) == (4, list(known.values.items()))
    if ended.state == "failed":
        assert ended.message == "training.entrypoint never reported score as a finite number"


def test_the_best_trial_s_files_take_the_place_of_those_of_the_best_one_before(tmp_path: Path) -> None:
    spec = {"training": {"entrypoint": "train:main"}, "code": {"configMap": {"name": "x"}}}
    run, _ = made_run(tmp_path, spec)
    run.store.write("model.safetensors", b"old")
    run.store.write(f"{RAY_FOLDER}/{RAY_RUN}/old/weights", b"old")
    trial = run.store.child("children", "trial-3")
    with pytest.raises(StorageError, match="cannot be read any more"):
        own_trials.take_over(trial, run)
    listed(trial, best=(2, 0.9), newest=(5, 0.4))
    reports = TrialReports(trial, lambda _: None, keep_last=1, compared=compared())
    report(reports, 5, 0.4)
    keep(trial, own_trials._KEPT, own_trials._KEPT, reports.end(None))
    for _ in range(2):
        own_trials.take_over(trial, run)
        end = own_trials.end_of_the_best(run)
        assert end.checkpoint is not None
        assert end.checkpoint.uri == run.store.child(RAY_FOLDER, RAY_RUN, "best").uri
        assert (Path(end.checkpoint.uri) / "weights").read_bytes() == b"best"
        assert not run.store.exists("model.safetensors"), "it saved none"
        assert run.store.list(f"{RAY_FOLDER}/{RAY_RUN}") == ["best", SNAPSHOT, "newest"]
        trial.write("model.safetensors", b"new")
        own_trials.take_over(trial, run)
        assert run.store.read("model.safetensors") == b"new"
        trial.delete("model.safetensors")


@pytest.mark.parametrize(
    ("scheduler", "judged"),
    [("none", set()), ("asha", {1, 3, 9, 27, 81, 243, 729, 2187, 6561}), ("median", set(range(1, 10_001)))],
)
def test_of_a_function_whose_reports_nobody_has_counted_many_are_judged(scheduler: str, judged: set[int]) -> None:
    one = study(tuning(scheduler={"name": scheduler}), epochs=10, most_reports=own_trials.MOST_REPORTS)
    asked = one.ask()
    assert asked is not None
    assert one.judged_at(asked.trial) == judged
