"""What `headway bundle` packs, and what it refuses before it fetches anything."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headway_cli import bundle as command
from headway_cli.bundle import bundle
from headway_cli.own_wheel import write_wheel
from markdown_blocks import ROOT
from served import bundle as model


def packed(folder: Path, output: Path) -> Result:
    """The command."""
    return CliRunner().invoke(bundle, [str(folder), str(output)])


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The locks that wheels were asked for; there is one wheel."""
    told: list[str] = []

    def fetch(lock: Path, folder: Path) -> None:
        told.append(lock.read_text())
        (folder / "other-1-py3-none-any.whl").write_bytes(b"wheel")

    monkeypatch.setattr(command, "fetch_wheels", fetch)
    return told


def unpacked(archive: Path, folder: Path) -> Path:
    """What is in the one folder of an archive."""
    with tarfile.open(archive) as found:
        found.extractall(folder, filter="data")
    [root] = folder.iterdir()
    return root


def test_the_archive_has_the_model_the_wheels_their_sums_and_how_to_start(tmp_path: Path, fetched: list[str]) -> None:
    folder = model(tmp_path / "churn")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "result.json").write_text("{}")
    said = packed(folder, tmp_path / "edge.tar.gz")
    assert said.exit_code == 0, said.output
    assert "the model churn for Python" in said.output
    assert fetched == [(ROOT / "requirements/server.lock").read_text()]
    root = unpacked(tmp_path / "edge.tar.gz", tmp_path / "out")
    assert root.name == "edge"
    version = distribution("headway").version
    assert sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()) == [
        "README",
        "SHA256SUMS",
        "model/model.json",
        "model/model.onnx",
        "requirements.lock",
        "run.sh",
        f"wheels/headway-{version}-py3-none-any.whl",
        "wheels/other-1-py3-none-any.whl",
    ]
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=root, check=False).returncode == 0
    sums = (root / "SHA256SUMS").read_text()
    assert sums.count("\n") == 7, "of every file but this one"
    assert f"headway=={version} --hash=sha256:" in (root / "requirements.lock").read_text().splitlines()[-1]


@pytest.mark.usefixtures("fetched")
def test_the_same_model_is_packed_to_the_same_bytes(tmp_path: Path) -> None:
    folder = model(tmp_path / "churn")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert packed(folder, tmp_path / name / "edge.tar.gz").exit_code == 0
    assert (tmp_path / "a/edge.tar.gz").read_bytes() == (tmp_path / "b/edge.tar.gz").read_bytes()


@pytest.mark.usefixtures("fetched")
def test_what_was_changed_after_it_was_packed_is_not_started(tmp_path: Path) -> None:
    assert packed(model(tmp_path / "churn"), tmp_path / "edge.tar.gz").exit_code == 0
    root = unpacked(tmp_path / "edge.tar.gz", tmp_path / "out")
    with (root / "model/model.json").open("a") as stream:
        stream.write(" ")
    done = subprocess.run([str(root / "run.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "these files are not as they were packed:\nmodel/model.json: FAILED" in done.stderr
    assert not (root / ".venv").exists()


@pytest.mark.usefixtures("fetched")
def test_another_python_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    assert packed(model(tmp_path / "churn"), tmp_path / "edge.tar.gz").exit_code == 0
    root = unpacked(tmp_path / "edge.tar.gz", tmp_path / "out")
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 2.7\n")
    other.chmod(0o755)
    done = subprocess.run(
        [str(root / "run.sh")], env={"PATH": "/usr/bin:/bin", "PYTHON": str(other)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{other} is 2.7: name another one with PYTHON=" in done.stderr
    assert not (root / ".venv").exists()


def test_what_cannot_be_served_or_written_is_told_before_anything_is_fetched(
    tmp_path: Path, fetched: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    said = packed(tmp_path / "empty", tmp_path / "edge.tar.gz")
    assert said.exit_code == 1
    assert "model.json is not there: give the folder of a finished run" in said.output
    folder = model(tmp_path / "churn")
    (tmp_path / "there.tar.gz").write_text("mine")
    assert "is there already: remove it" in packed(folder, tmp_path / "there.tar.gz").output
    assert (tmp_path / "there.tar.gz").read_text() == "mine"
    assert "name it so" in packed(folder, tmp_path / "edge.zip").output
    assert fetched == []


def test_wheels_that_cannot_be_had_leave_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    said = packed(model(tmp_path / "churn"), tmp_path / "edge.tar.gz")
    assert said.exit_code == 1
    assert "pip cannot fetch the wheels of the server: ERROR: No matching distribution" in said.output
    assert [file.name for file in tmp_path.iterdir()] == ["churn"]


def test_the_own_wheel_is_one_that_pip_installs_with_its_command(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, distribution("headway"))
    with zipfile.ZipFile(wheel) as found:
        assert found.testzip() is None
        assert "headway_cli/server.lock" in found.namelist()
        assert not [name for name in found.namelist() if "__pycache__" in name]
    words = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(tmp_path / "site"), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
    program = "from headway_cli.main import COMMANDS; import headway_cli; print(headway_cli.__file__, *COMMANDS)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "serve" in done.stdout
    assert (tmp_path / "site/bin/headway").is_file()


def test_what_is_packed_is_what_the_image_of_the_server_has() -> None:
    own = (ROOT / "cli/headway_cli/server.lock").read_text()
    assert own == (ROOT / "requirements/server.lock").read_text(), "run requirements/compile.sh"
