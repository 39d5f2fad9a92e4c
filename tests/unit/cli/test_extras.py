"""What a user is told to type where a package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headway_cli import extras
from headway_cli.main import COMMANDS


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of an environment of one's own."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path


def test_each_extra_of_a_command_has_a_mark_by_which_it_is_known() -> None:
    assert {entry.extra for entry in COMMANDS.values()} - {None} == set(extras.MARKS)


def test_in_an_environment_of_ones_own_pip_installs_and_upgrades(prefix: Path) -> None:
    assert extras.installing("headway[trainer]") == "pip install 'headway[trainer]'"
    assert extras.upgrading() == "pip install --upgrade headway"
    assert list(prefix.iterdir()) == []


def test_in_an_environment_of_pipx_pipx_does(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").write_text("{}")
    assert extras.installing("headway[trainer]") == "pipx install --force 'headway[trainer]'"
    assert extras.upgrading() == "pipx upgrade headway"


def test_an_extra_is_there_where_its_mark_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "MARKS", {"trainer": "no_such_package_at_all", "server": "json"})
    assert not extras.installed("trainer")
    assert extras.installed("server")
