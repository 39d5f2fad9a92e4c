"""`make test` divides the tests among two calls of pytest: together they are all."""

from __future__ import annotations

import subprocess
import tomllib

import pytest

from markdown_blocks import ROOT


@pytest.mark.parametrize("target", ["test", "test-long"])
def test_each_folder_of_tests_is_run_once(target: str) -> None:
    told = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    calls = [line for line in told.splitlines() if "/pytest " in line]
    folders = [word for line in calls for word in line.split() if "tests" in word and "/pytest" not in word]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    assert sorted(folders) == sorted(wanted)
