"""Where the files and sockets of Ray's processes go."""

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
