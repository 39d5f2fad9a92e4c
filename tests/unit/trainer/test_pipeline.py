"""The driver's way from its start to training: what is timed, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headway_api.data import Data
from headway_api.job import Retry
from headway_api.model import Model
from headway_trainer.data.info import INFO_FILE
from headway_trainer.errors import StorageError, UserError
from headway_trainer.outcome import Interrupted, Lost
from headway_trainer.pipeline import compare_code
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import TrainEnd
from unit.trainer.pipeline_world import SPEC, World

PREPARE = "headway_trainer.stages.prepare.prepare"


def test_the_head_is_ready_while_the_data_is_still_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])

    class PreparedError(Exception):
        pass

    def prepare(*_: object, **__: object) -> None:
        assert world.ready.wait(30)
        raise PreparedError

    monkeypatch.setattr(PREPARE, prepare)
    with pytest.raises(PreparedError):
        world.execute()


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
    world.run()._await_workers()
    assert world.head.looks == 2


def test_workers_that_do_not_come_are_waited_for_until_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [1])
    began = world.now
    with pytest.raises(Lost, match=r"1 of 2 workers came within 900 seconds"):
        world.run()._await_workers()
    assert 900 <= world.now - began <= 903


def test_a_stop_ends_the_wait_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [1])
    world.stop.set()
    with pytest.raises(Interrupted, match="stopped before training began"):
        world.run()._await_workers()


def test_a_resume_tells_that_the_source_has_changed_and_goes_on_with_the_rows_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    source = tmp_path / "rows.csv"
    source.write_text("a,label\n" + "".join(f"{number}.5,{number % 2}\n" for number in range(100)))
    data = Data.model_validate({"source": {"uri": str(source)}, "target": "label"})
    world.change(spec={"data": data})
    before = world.prepare()
    assert world.pipeline.reporter.told.warnings == []
    source.write_text(source.read_text() + "1,1\n")
    assert world.prepare() == before
    assert world.pipeline.reporter.told.warnings == [
        f"The source has changed since the rows of this run were prepared ({source}: 698 bytes then, 702 now): it goes "
        "on with those rows; a job of another name takes the new ones."
    ]


def test_a_resume_tells_that_the_code_has_changed_once_there_is_something_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    (tmp_path / "code").mkdir()
    module = tmp_path / "code/net.py"
    pipeline = world.pipeline
    world.change(spec={"model": Model(entrypoint="net:build")}, uid="")
    pipeline.around = replace(pipeline.around, code_dir=str(tmp_path / "code"))
    for text in ("first", "second"):
        module.write_text(text)
        compare_code(world.run())
    assert pipeline.reporter.told.warnings == [], "nothing was trained yet"
    world.store.write("checkpoints/step-0000000007-attempt-1/model.safetensors", b"weights")
    compare_code(world.run())
    assert pipeline.reporter.told.warnings == [], "nothing has changed"
    module.write_text("third")
    compare_code(world.run())
    assert pipeline.reporter.told.warnings == [
        "The code has changed since this run's last attempt (net.py): it goes on from the newest checkpoint with the "
        "code of now; headway run --fresh begins again."
    ]


@pytest.mark.parametrize(("uid", "retries", "stays"), [("u", 0, False), ("u", 1, True), ("", 0, True)])
def test_after_an_error_of_the_user_no_copy_of_their_rows_stays_where_no_attempt_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: str, retries: int, *, stays: bool
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    world.change(spec={"retry": Retry.model_validate({"userError": retries})}, uid=uid)

    def train(*_: object) -> TrainEnd:
        assert world.store.exists(INFO_FILE)
        raise UserError("train.py:3 raised KeyError")

    monkeypatch.setattr(Run, "on_workers", train)
    with pytest.raises(UserError):
        world.execute()
    assert world.store.exists(INFO_FILE) == world.store.exists("data") == stays


def test_an_attempt_claims_the_run_before_it_prepares_and_a_replaced_one_writes_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    old = Checkpoints(world.store, 0)

    def prepare(*_: object, **__: object) -> None:
        with pytest.raises(StorageError, match="replaced by attempt 1"):
            old.refuse_if_fenced()
        raise Interrupted("far enough")

    with monkeypatch.context() as patch:
        patch.setattr(PREPARE, prepare)
        with pytest.raises(Interrupted):
            world.execute()
    with pytest.raises(StorageError, match="replaced by attempt 1"):
        world.prepare(attempt=0)
    assert world.store.list("data") == []
