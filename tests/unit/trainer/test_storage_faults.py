"""A storage that is full, read-only, or away for a moment: the checkpoint before stays good, and the reason is told."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from headway_trainer.errors import NotFound, StorageError
from headway_trainer.outcome import judge
from headway_trainer.storage import Store
from headway_trainer.storage_faults import PAUSES, is_passing, patient, storage_errors
from headway_trainer.training.checkpoints.store import Checkpoints
from training_runs import finish, make_job, same, training

SPEC = training(epochs=4, checkpoint={"everySteps": 1, "keepLast": 100})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some checkpoints, and not for all."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("needs a kernel that lets this process mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_storage_that_is_full_during_a_save_keeps_the_checkpoint_before_and_says_what_to_do(
    small_disk: Path, tmp_path: Path
) -> None:
    _, weights = finish(make_job(Store.open(str(tmp_path / "whole")), SPEC))
    run = Store.open(str(small_disk))
    with pytest.raises(StorageError) as raised:
        finish(make_job(run, SPEC))
    verdict = judge(raised.value)
    assert verdict.cause == "StorageError"
    assert "No space left on device; the storage is full: free space there" in verdict.message
    assert str(small_disk) in verdict.message
    complete = Checkpoints(run, 1).complete()
    assert 1 <= len(complete) < 16
    names = sorted(path.name for path in (small_disk / "checkpoints").glob("step-*"))
    assert names == [one.name for one in complete], "what was half written makes room again"
    _remount(small_disk, "size=64m")
    resumed, again = finish(make_job(run, SPEC, attempt=2))
    assert resumed.resumed_from_step == complete[-1].step
    assert same(weights, again)


def test_a_storage_that_turns_read_only_during_a_save_keeps_the_checkpoint_before(
    small_disk: Path, tmp_path: Path
) -> None:
    _, weights = finish(make_job(Store.open(str(tmp_path / "whole")), SPEC))
    _remount(small_disk, "size=64m")
    run = Store.open(str(small_disk))
    job = make_job(run, SPEC)
    steps = 0

    def hook(module: nn.Module, *_: object) -> None:
        nonlocal steps
        steps += module.training
        if steps == 6:
            _remount(small_disk, "ro")

    job.model.register_forward_pre_hook(hook)
    with pytest.raises(StorageError, match="the storage is mounted read-only"):
        finish(job)
    _remount(small_disk, "rw")
    resumed, again = finish(make_job(run, SPEC, attempt=2))
    assert resumed.resumed_from_step == 5
    assert same(weights, again)


class Flaky:
    """Fails as it is told to, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    @patient
    def look(self) -> str:
        self.calls += 1
        with storage_errors("s3://bucket/run", "look up"):
            if self.errors:
                raise self.errors.pop(0)
        return "there"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def test_a_passing_fault_is_waited_out(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    flaky = Flaky(OSError(errno.ESTALE, "Stale file handle"), OSError("AWS Error SLOW_DOWN during PutObject"))
    assert flaky.look() == "there"
    assert pauses == list(PAUSES[:2])
    assert "could not look up s3://bucket/run" in caplog.text


def test_a_fault_that_stays_is_told_after_a_bounded_number_of_tries(pauses: list[float]) -> None:
    flaky = Flaky(*[OSError(errno.ETIMEDOUT, "Connection timed out") for _ in range(99)])
    with pytest.raises(StorageError, match=r"could not look up s3://bucket/run: .*Connection timed out"):
        flaky.look()
    assert flaky.calls == len(PAUSES) + 1
    assert sum(pauses) < 30


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the storage is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the quota is used up"),
        (OSError(errno.EROFS, "Read-only file system"), "mounted read-only"),
        (PermissionError(errno.EACCES, "Permission denied"), "check the owner of the volume"),
        (OSError("AWS Error ACCESS_DENIED during PutObject"), "ACCESS_DENIED"),
    ],
)
def test_a_fault_that_waiting_does_not_mend_is_told_at_once(error: OSError, said: str, pauses: list[float]) -> None:
    with pytest.raises(StorageError, match=said):
        Flaky(error).look()
    assert pauses == []


def test_what_is_not_there_is_not_waited_for(pauses: list[float]) -> None:
    with pytest.raises(NotFound):
        Flaky(FileNotFoundError(errno.ENOENT, "No such file")).look()
    assert pauses == []


@pytest.mark.parametrize("method", ["read", "size", "sha256", "list", "walk", "exists", "is_file", "delete", "write"])
def test_every_whole_operation_of_a_store_is_patient(method: str, tmp_path: Path, pauses: list[float]) -> None:
    store = Store.open(str(tmp_path))
    store.write("file", b"x")
    real = store.filesystem
    store.filesystem = _Away(real)
    store._local = False
    arguments = {"write": ("new", b"x"), "list": (), "walk": ()}
    getattr(store, method)(*arguments.get(method, ("file",)))
    assert pauses == [PAUSES[0]]


class _Away:
    """A file system whose first call fails."""

    def __init__(self, real: Any) -> None:
        self._real, self._failed = real, False

    def __getattr__(self, name: str) -> Any:
        if not self._failed:
            self._failed = True
            raise OSError(errno.EIO, "Input/output error")
        return getattr(self._real, name)


def test_a_storage_error_of_our_own_is_not_a_passing_one() -> None:
    assert not is_passing(StorageError("attempt 1 of this run was replaced by attempt 2"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no such bucket\nmore of it", "no such bucket"),
        ("Got the following 2 errors in bucket 'a':\n- key 'x/': not empty.\n- key 'y/': not empty.", "- key 'x/'"),
        ("", "OSError"),
    ],
)
def test_the_sentence_of_a_fault_names_the_first_of_several(said: str, told: str) -> None:
    with pytest.raises(StorageError) as raised, storage_errors("s3://models/a", "delete"):
        raise OSError(said)
    assert told in str(raised.value)
    assert "more of it" not in str(raised.value)
    assert "'y/'" not in str(raised.value)
