"""What a whole attempt tells trackers, from its beginning to whatever end it comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway_api.tracking import Tracking
from headway_trainer.errors import UserError
from headway_trainer.run import Run
from headway_trainer.tracking import marks, told
from headway_trainer.tracking.events import Began, Ended, Event, Record
from headway_trainer.training.link import Measured
from unit.trainer.pipeline_world import ONNX, World, exporting


def recorded(world: World) -> list[Event]:
    return Record(world.store, 99).read()


def test_a_run_that_succeeds_has_parameters_metrics_of_its_end_and_no_more_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting(monkeypatch, ONNX)
    world = World(tmp_path, monkeypatch, [2])
    _, word = world.execute()
    began, ended = recorded(world)
    assert isinstance(began, Began)
    assert (began.name, began.identity, began.parameters["model.name"]) == ("x", "u", "mlp")
    assert isinstance(ended, Ended)
    assert (ended.state, ended.values) == ("completed", {"test/accuracy": 0.9})
    assert ended.tags["headway.report"] == f"{world.store.uri}/report.md"
    assert len(ended.tags["headway.data"]) == 64
    assert not [sentence for sentence in word.warnings if "racker" in sentence]


def test_an_error_is_the_end_of_an_attempt_with_its_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> None:
        raise UserError("lower the learning rate")

    monkeypatch.setattr(Run, "on_workers", train)
    world = World(tmp_path, monkeypatch, [2])
    with pytest.raises(UserError):
        world.execute()
    ended = recorded(world)[-1]
    assert isinstance(ended, Ended)
    assert (ended.state, ended.tags["headway.cause"]) == ("failed", "UserError")
    assert ended.tags["headway.message"] == "lower the learning rate"


@pytest.mark.parametrize("broken", ["parameters_of", "tags_of", "without_secrets"])
def test_a_fault_in_what_is_told_ends_no_run(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporting(monkeypatch, ONNX)

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(told, broken, fail)
    result, _ = World(tmp_path, monkeypatch, [2]).execute()
    assert result.outcome == "Succeeded"


def test_that_a_run_has_ended_is_told_also_where_a_fault_keeps_what_it_came_to_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting(monkeypatch, ONNX)

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(told, "without_secrets", fail)
    world = World(tmp_path, monkeypatch, [2])
    world.execute()
    ended = recorded(world)[-1]
    assert isinstance(ended, Ended)
    assert (ended.state, ended.values) == ("completed", {})


def test_nothing_is_recorded_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporting(monkeypatch, ONNX)
    world = World(tmp_path, monkeypatch, [2])
    world.change(spec={"tracking": Tracking(tensorboard=False)})
    world.execute()
    assert not world.store.exists("tracking")
    assert not world.store.exists("tensorboard")


def test_people_are_told_that_numbers_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporting(monkeypatch, ONNX)
    monkeypatch.setattr(marks, "MOST_CHARACTERS", 10)
    world = World(tmp_path, monkeypatch, [2])
    train: Any = Run.on_workers

    def reporting(run: Run, *given: Any, **named: Any) -> Any:
        run.reporter.course.measured("", Measured(step=1, values={f"m{number}": 1.0 for number in range(10_000)}))
        return train(run, *given, **named)

    monkeypatch.setattr(Run, "on_workers", reporting)
    _, word = world.execute()
    assert [sentence for sentence in word.warnings if "TensorBoard" in sentence] == [
        "The record of this run is full (32 MiB): trackers and TensorBoard have no numbers after that. Report fewer"
        " names, or less often.",
        "Trackers and TensorBoard have the first 64 of up to 10,000 numbers at a step.",
    ]
