"""The driver's way from its start to training: what is timed, and what is not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.outcome import Interrupted, Lost
from headway_trainer.pipeline import Pipeline, Surroundings
from headway_trainer.progress import Nowhere
from headway_trainer.ray_runtime import Head

SPEC = TrainingJobSpec.model_validate(
    {
        "data": {"source": {"builtin": {"name": "digits"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 1},
        "workers": {"replicas": 2},
    }
)


class Pods(Head):
    """A head without Ray: workers come as a test says."""

    def __init__(self, temp_dir: Path, places: list[int]) -> None:
        super().__init__(temp_dir=str(temp_dir))
        self.looks = 0
        self._places = places

    def _connect(self) -> None:
        """There is nothing to connect to."""

    def wait_for_workers(self, count: int, deadline: float) -> int:  # noqa: ARG002 - as Head's
        self.looks += 1
        return self._places[min(self.looks, len(self._places)) - 1]


class World:
    """A pipeline, whose clock a test turns."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[int]) -> None:
        self.head, self.stop, self.ready = Pods(tmp_path, places), threading.Event(), threading.Event()
        run = wire.RunFile(namespace="n", name="x", uid="u", storage_uri=str(tmp_path / "run"), spec=SPEC)
        self.pipeline = Pipeline(
            run,
            Surroundings(head=self.head, sink=Nowhere(), stop=self.stop, note=lambda _: None, ready=self.ready.set),
        )
        self.now = time.monotonic()
        monkeypatch.setattr("headway_trainer.pipeline.time.monotonic", self.clock)

    def clock(self) -> float:
        self.now += 0.5
        return self.now


def test_the_head_is_ready_while_the_data_is_still_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])

    class PreparedError(Exception):
        pass

    def prepare(_: object) -> None:
        assert world.ready.wait(30)
        raise PreparedError

    monkeypatch.setattr(world.pipeline, "_prepare", prepare)
    with pytest.raises(PreparedError):
        world.pipeline.execute()
    world.head._stopping.set()


def test_a_head_that_does_not_come_up_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])

    def refused() -> None:
        raise ConnectionError("no Ray")

    monkeypatch.setattr(world.head, "_connect", refused)
    world.head.start(world.ready.set)
    with pytest.raises(ConnectionError, match="no Ray"):
        world.head.wait()
    assert not world.ready.is_set()


def test_workers_that_are_there_are_seen_however_long_preparing_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [1, 2])
    world.now += SPEC.scheduling.startup_deadline_seconds + 1
    world.pipeline._await_workers()
    assert world.head.looks == 2


def test_workers_that_do_not_come_are_waited_for_until_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [1])
    began = world.now
    with pytest.raises(Lost, match=r"1 of 2 workers came within 900 seconds"):
        world.pipeline._await_workers()
    assert 900 <= world.now - began <= 903


def test_a_stop_ends_the_wait_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [1])
    world.stop.set()
    with pytest.raises(Interrupted, match="stopped before training began"):
        world.pipeline._await_workers()
