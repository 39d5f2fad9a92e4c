"""What a training function of the user's own reports."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway_api.job import TrainingJobSpec
from headway_api.status_words import MAX_METRIC_NAME_LENGTH, MAX_METRICS
from headway_api.wire import RunFile
from headway_trainer.progress import to_file
from headway_trainer.ray.failure_policy import Reached
from headway_trainer.ray.reports import Reports
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import RAY_FOLDER, RAY_RUN
from headway_trainer.training.link import TrainProgress

OWN = {"training": {"entrypoint": "train:main"}, "code": {"configMap": {"name": "x"}}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def report(reports: Reports, values: dict[Any, Any], *, checkpoint: str | None = None) -> None:
    """Report as rank 0's function would, through Ray Train."""
    saved = None if checkpoint is None else SimpleNamespace(path=f"/x/{checkpoint}")
    reports.after_report(None, [values], saved)


def test_what_is_reached_never_grows_by_beginning_from_nothing_again(store: Store) -> None:
    reports = Reports(store, lambda _: None, keep_last=2)
    for _ in range(2):
        reports.after_exception(None, {})
        assert reports.reached == Reached(0, 0)
        for _ in range(3):
            report(reports, {"loss": 1.0})
        assert reports.reached == Reached(3, 0)
    assert reports.count == 6


def test_a_reported_step_and_each_checkpoint_are_what_is_reached(store: Store) -> None:
    store.child(RAY_FOLDER, RAY_RUN).write("checkpoint_manager_snapshot.json", json.dumps({}).encode())
    told: list[TrainProgress] = []
    reports = Reports(store, told.append, keep_last=2)
    report(reports, {"step": 40}, checkpoint="a")
    report(reports, {"step": 50}, checkpoint="b")
    assert reports.reached == Reached(50, 2)
    assert told[-1].step == 50


def test_a_value_that_is_no_number_is_named_until_it_is_one_again_and_the_last_number_is_kept(store: Store) -> None:
    told: list[TrainProgress] = []
    reports = Reports(store, told.append, keep_last=2)
    for value in (0.5, math.nan, -math.inf):
        report(reports, {"loss": value, "name": "x"})
    assert (told[-1].metrics, told[-1].not_finite) == ({"loss": 0.5}, ["loss"])
    assert reports.end(None).metrics == {"reported": {"loss": 0.5}}
    report(reports, {"loss": 0.25})
    assert (told[-1].metrics, told[-1].not_finite) == ({"loss": 0.25}, [])


def test_as_many_of_the_newest_checkpoints_stay_as_the_spec_says(store: Store) -> None:
    config = Reports(store, lambda _: None, keep_last=5).run_config().checkpoint_config
    assert (config.num_to_keep, config.checkpoint_score_attribute) == (5, None)


def test_a_list_that_is_cut_short_is_replaced_by_one_whose_checkpoints_are_there(store: Store) -> None:
    folder = store.child(RAY_FOLDER, RAY_RUN)

    def listed(*names: str) -> bytes:
        return json.dumps({"checkpoint_results": [{"checkpoint_dir_name": name} for name in names]}).encode()

    for name in ("a", "b"):
        folder.write(f"{name}/weights", b"x")
    folder.write("checkpoint_manager_snapshot.json", listed("a", "b"))
    report(Reports(store, lambda _: None, keep_last=2), {}, checkpoint="b")
    # The third: listed, and the first deleted; then the driver is killed.
    folder.write("c/weights", b"x")
    folder.write("checkpoint_manager_snapshot.json", listed("b", "c"))
    folder.delete("a")
    assert Reports(store, lambda _: None, keep_last=2).recover() == []
    # In the next attempt it is killed while Ray Train writes the list with the fourth.
    folder.write("checkpoint_manager_snapshot.json", listed("c", "d")[:-9])
    assert "the list before it is used" in Reports(store, lambda _: None, keep_last=2).recover()[0]
    assert folder.read("checkpoint_manager_snapshot.json") == listed("b", "c")


def test_names_without_end_are_bounded_and_the_newest_stay(store: Store) -> None:
    told: list[TrainProgress] = []
    reports = Reports(store, told.append, keep_last=2)
    for step in range(3 * MAX_METRICS):
        report(reports, {"step": step, f"loss_of_step_{step}": 0.5, 7: 1.0, "x" * 1000: 2.0} if step else {"first": 1})
    metrics = told[-1].metrics
    assert len(metrics) == MAX_METRICS
    assert {
        "step",
        "7",
        "x" * MAX_METRIC_NAME_LENGTH,
        f"loss_of_step_{step}",
        f"loss_of_step_{step - 100}",
    } <= metrics.keys()
    assert "first" not in metrics
    assert "loss_of_step_1" not in metrics
    assert told[0].notes == []
    assert told[-1].notes == reports.end(None).notes
    assert "More than 128 names of metrics were reported" in told[-1].notes[0]
    assert len(told[-1].notes) == 1
    # One report may hold more of them; where it is in training stays known.
    report(reports, {"step": 999} | {f"m{index}": 1.0 for index in range(3 * MAX_METRICS)})
    assert len(told[-1].metrics) == MAX_METRICS
    assert told[-1].step == 999


def test_names_without_end_of_values_that_are_no_numbers_are_bounded_and_the_newest_stay(store: Store) -> None:
    told: list[TrainProgress] = []
    reports = Reports(store, told.append, keep_last=2)
    for step in range(3 * MAX_METRICS):
        report(reports, {f"loss_of_step_{step}": math.nan})
    assert told[-1].not_finite == [f"loss_of_step_{index}" for index in range(step - MAX_METRICS + 1, step + 1)]
    assert len(reports._not_finite) == MAX_METRICS, "nor are they kept in memory"
    assert told[MAX_METRICS - 1].notes == []
    assert "More than 128 names of metrics were reported" in told[-1].notes[0]


@pytest.mark.parametrize(
    ("values", "counted", "restarted", "steps"),
    [
        ({"loss": 1.0}, 1840, False, 1840),
        ({"loss": 1.0}, None, False, None),
        ({"loss": 1.0}, 900, True, None),
        ({"global_step": 70}, 1840, True, 70),
    ],
    ids=["counted by rank 0", "no optimiser of torch", "a group that began later", "reported"],
)
def test_steps_are_those_that_are_known_and_never_the_number_of_reports(
    store: Store, values: dict[str, float], counted: int | None, *, restarted: bool, steps: int | None
) -> None:
    told: list[TrainProgress] = []
    reports = Reports(store, told.append, keep_last=2)
    if restarted:
        reports.after_exception(None, {})
    for _ in range(40):
        report(reports, values)
    end = reports.end(counted)
    assert (end.reports, end.own_steps) == (40, steps)
    assert told[-1].counts_reports == ("global_step" not in values)
    run = RunFile(namespace="n", name="x", uid="u", storage_uri=store.uri, spec=TrainingJobSpec.model_validate(OWN))
    assert to_file(run, told[-1], 7).progress.step == (70 if "global_step" in values else None)
