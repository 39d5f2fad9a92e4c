"""A training function of the user's own, and a storage that fails under Ray Train's hands: no error of the user's."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

import pytest
import torch
from pyarrow import fs
from ray.train import Checkpoint
from ray.train.v2._internal.execution.storage import StorageContext

from headway_trainer import api, storage_faults
from headway_trainer.errors import StorageError
from headway_trainer.ray.storage_guard import guard, storage_fault
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints

AWAY = OSError(
    "When uploading part for key 'x': AWS Error NETWORK_CONNECTION during UploadPart operation: curlCode: 28"
)
COPY = fs.copy_files


class Copies:
    """Ray's copying of files, which fails as often as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        self.count, self._errors, self._copy = 0, list(errors), COPY
        monkeypatch.setattr(fs, "copy_files", self.copy)

    def copy(self, *arguments: object, **keywords: object) -> None:
        self.count += 1
        if self._errors:
            raise self._errors.pop(0)
        self._copy(*arguments, **keywords)


class World:
    """A run's folder, Ray Train's view of it, and a checkpoint that a function has written on its own disk."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in ((StorageContext, "persist_current_checkpoint"), (Checkpoint, "to_directory")):
            monkeypatch.setattr(owner, name, getattr(owner, name))  # and put back
        monkeypatch.setattr(storage_faults, "PAUSES", (0.0, 0.0, 0.0))
        monkeypatch.setenv("TMPDIR", str(folder))
        self.store = Store.open(str(folder / "storage"))
        remote = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        guard(self.store)
        self.context = StorageContext("storage/ray", "run", remote)
        self.own = folder / uuid.uuid4().hex
        self.own.mkdir()
        (self.own / "model.pt").write_text("weights")

    def save(self) -> Checkpoint:
        saved: Checkpoint = self.context.persist_current_checkpoint(Checkpoint.from_directory(self.own), "checkpoint_1")
        return saved


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_storage_that_is_away_for_a_moment_costs_neither_saving_nor_loading(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = Copies(monkeypatch, AWAY, AWAY)
    saved = world.save()
    assert copies.count == 3
    assert world.store.read("ray/run/checkpoint_1/model.pt") == b"weights"
    copies = Copies(monkeypatch, OSError(errno.ESTALE, "Stale file handle"))
    with saved.as_directory() as folder:
        assert Path(folder, "model.pt").read_text() == "weights"
    assert copies.count == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AWAY, "NETWORK_CONNECTION"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "keepLast"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "mounted read-only"),
    ],
)
def test_a_checkpoint_that_cannot_be_saved_is_the_storages_fault(
    error: Exception, told: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Copies(monkeypatch, *[error] * 9)
    with pytest.raises(StorageError, match=r"could not save a checkpoint to .*storage/ray: ") as caught:
        world.save()
    assert told in str(caught.value)


def test_a_storage_that_was_taken_away_is_told(world: World) -> None:
    world.store.delete("ray")
    with pytest.raises(StorageError, match="the folder that the run began with is gone"):
        world.save()


def test_a_checkpoint_that_cannot_be_loaded_is_the_storages_fault_but_a_full_disk_of_the_pod_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = world.save()
    Copies(monkeypatch, *[AWAY] * 9)
    with pytest.raises(StorageError, match=r"could not load a checkpoint from .*checkpoint_1"):
        saved.to_directory()
    Copies(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left") as caught:
        saved.to_directory()
    assert not isinstance(caught.value, StorageError)


def test_a_function_of_an_attempt_that_was_replaced_saves_neither_checkpoints_nor_a_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = Checkpoints(world.store, 1).refuse_if_fenced
    guard(world.store, fence)
    monkeypatch.setattr(api, "_here", api.Here(world.store, None, 0, 1, fence))
    world.save()
    api.save_model({"w": torch.zeros(1)})
    before = world.store.read(api.MODEL_FILE)
    Checkpoints(world.store, 2).claim()
    (world.own / "more.pt").write_text("more")
    with pytest.raises(StorageError, match="replaced by attempt 2"):
        world.save()
    with pytest.raises(StorageError, match="replaced by attempt 2"):
        api.save_model({"w": torch.ones(1)})
    assert world.store.list("ray/run/checkpoint_1") == ["model.pt"]
    assert world.store.read(api.MODEL_FILE) == before


def test_a_checkpoint_that_the_function_never_wrote_is_its_own_error(world: World) -> None:
    (world.own / "model.pt").unlink()
    world.own.rmdir()
    with pytest.raises(FileNotFoundError):
        world.save()


@pytest.mark.parametrize(
    ("number", "name", "fault"),
    [
        (errno.ESTALE, "ray/run/checkpoint_1/model.pt", True),
        (errno.ENOSPC, "ray/run/checkpoint_1/model.pt", True),
        (errno.ENOENT, "ray/run/checkpoint_1/model.pt", False),
        (errno.ENOSPC, "../elsewhere", False),
    ],
)
def test_a_file_of_the_run_that_the_function_itself_uses(number: int, name: str, fault: bool, world: World) -> None:
    folder = world.store.local_path()
    assert folder is not None
    error = OSError(number, os.strerror(number), str((folder / name).resolve()))
    assert (storage_fault(error, world.store) is not None) == fault
    assert storage_fault(ValueError("no file"), world.store) is None
