"""Each trial's result.json: written beside the trials, and once."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headway_trainer.errors import StorageError
from headway_trainer.report.trial_files import TrialFile, trial_schema
from headway_trainer.stages.trial_writer import TrialWriter
from headway_trainer.storage import Store
from markdown_blocks import ROOT


def file(number: int, **fields: Any) -> TrialFile:
    told: dict[str, Any] = {
        "number": number,
        "parameters": {"training.optimizer.lr": 0.1},
        "state": "stopped",
        "value": 0.5,
        "job": "digits",
        "metric": "validation/accuracy",
        "better": "max",
        "values": [(1, 0.25), (2, None), (3, 0.5)],
        "seed": 7,
        "workers": 1,
        "processes": 2,
        "attempt": 1,
    }
    return TrialFile.model_validate(told | fields)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def nothing() -> None:
    """No newer attempt."""


def test_each_trial_has_a_file_that_fits_the_published_schema(store: Store) -> None:
    writer = TrialWriter(store, nothing)
    for number in (1, 2, 10):
        writer.add(file(number))
    writer.finish()
    assert writer.written() == {1, 2, 10}
    document = json.loads(store.read("trials/10/result.json"))
    assert document["values"] == [[1, 0.25], [2, None], [3, 0.5]]
    assert TrialFile.model_validate(document) == file(10)
    published = (ROOT / "docs/reference/trial.schema.json").read_text()
    assert published == trial_schema(), "run: make generate"
    jsonschema.Draft202012Validator(json.loads(published)).validate(document)


def test_a_trial_does_not_wait_for_a_slow_storage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, write = threading.Event(), Store.write

    def slow(self: Store, path: str, data: bytes) -> None:
        assert goes_on.wait(30)
        write(self, path, data)

    monkeypatch.setattr(Store, "write", slow)
    writer = TrialWriter(store, nothing)
    for number in range(1, 50):
        writer.add(file(number))
    assert writer.written() == set()
    goes_on.set()
    writer.finish()
    assert writer.written() == set(range(1, 50))


def test_what_could_not_be_written_is_tried_again_in_the_end_and_then_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, write = [1, 2, 1], Store.write

    def sometimes(self: Store, path: str, data: bytes) -> None:
        number = int(path.split("/")[1])
        if number in away:
            away.remove(number)
            raise StorageError(f"{path}: the storage is away")
        write(self, path, data)

    monkeypatch.setattr(Store, "write", sometimes)
    writer = TrialWriter(store, nothing)
    for number in (1, 2, 3):
        writer.add(file(number))
    with pytest.raises(StorageError, match=r"trials/1/result\.json"):
        writer.finish()
    again = TrialWriter(store, nothing)
    assert again.written() == {3}


def test_a_fault_that_is_none_of_the_storage_is_told_when_the_next_trial_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def broken(*_: object) -> None:
        failed.set()
        raise TypeError("a fault of ours")

    monkeypatch.setattr(Store, "write", broken)
    writer = TrialWriter(store, nothing)
    writer.add(file(1))
    assert failed.wait(30)
    with pytest.raises(TypeError, match="a fault of ours"):
        writer.finish()
    with pytest.raises(TypeError, match="a fault of ours"):
        writer.add(file(2))


def test_an_attempt_that_another_has_followed_writes_none(store: Store) -> None:
    def fence() -> None:
        raise StorageError("a newer attempt is at work")

    writer = TrialWriter(store, fence)
    writer.add(file(1))
    writer.close()
    assert writer.written() == set()
    with pytest.raises(StorageError, match="newer attempt"):
        writer.finish()
