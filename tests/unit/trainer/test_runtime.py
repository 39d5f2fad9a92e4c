"""Where the files and sockets of Ray's processes go, and how many cores they have."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from headway_trainer.errors import UserError
from headway_trainer.ray import runtime

SHORT = "/tmp"


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TMPDIR as batch systems give it."""
    folder = tmp_path / "scratch-of-a-user" / "job-0001" / "step-0002"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_short_tmpdir_is_used_and_its_longest_socket_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tempfile.mkdtemp(dir=SHORT, prefix="x")
    monkeypatch.setattr(tempfile, "tempdir", base)
    folder = Path(runtime.make_temp_dir())
    assert folder.parent == Path(base)
    longest = folder / "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
    longest.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(longest))
    shutil.rmtree(base)


def test_in_place_of_a_long_tmpdir_there_is_tmp(long_folder: Path) -> None:
    folder = Path(runtime.make_temp_dir())
    assert folder.parent == Path(SHORT)
    assert not list(long_folder.iterdir())
    folder.rmdir()


def test_where_neither_will_do_the_variable_is_named(long_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_SHORT_BASE", "/nonexistent")
    with pytest.raises(UserError, match=rf"TMPDIR is {long_folder}: .* set TMPDIR to a folder with a shorter path"):
        runtime.make_temp_dir()


def test_a_limit_on_cpu_time_bounds_the_cores_of_this_machine(tmp_path: Path) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text("max 100000\n")
    every = runtime.local_cores(limit)
    assert every == runtime.local_cores(tmp_path / "nothing")
    limit.write_text("50000 100000\n")
    assert runtime.local_cores(limit) == 1
    limit.write_text(f"{100 * 100000} 100000\n")
    assert runtime.local_cores(limit) == every


@pytest.mark.parametrize(("given", "cores"), [("3", 6), ("", None), ("0", None), ("4,2", None)])
def test_whoever_says_how_many_threads_a_process_has_gets_so_many(
    monkeypatch: pytest.MonkeyPatch, given: str, cores: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert runtime.lent_cores(2) == (runtime.local_cores() if cores is None else cores)
