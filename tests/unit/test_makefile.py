"""`make test` divides the tests among some calls of pytest: together they are all, and none runs twice."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections import Counter
from itertools import product

import pytest

from markdown_blocks import ROOT
from side_by_side import SHARED, together


def calls(target: str) -> list[list[str]]:
    """The words of each call of pytest of a target."""
    told = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line) for line in told.splitlines() if re.match(r"\S*/pytest ", line)]


def chosen(call: list[str]) -> str:
    """The marks that a call chooses by, as an expression."""
    return call[call.index("-m") + 1] if "-m" in call else "True"


@pytest.mark.parametrize("target", ["test", "test-long"])
def test_each_test_is_run_once_and_only_long_ones_are_left_out(target: str) -> None:
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    for folder, long, alone in product(folders, (False, True), (False, True)):
        marks = {"long": long, "alone": alone}
        run = [call for call in calls(target) if folder in call and eval(chosen(call), marks)]  # noqa: S307 - our own
        assert len(run) == (not (long and target == "test")), f"{folder}, {marks}"
    assert {word for call in calls(target) for word in call if "tests" in word and "/pytest" not in word} == set(
        folders
    )


@pytest.mark.parametrize("target", ["test", "test-long"])
def test_what_is_to_run_alone_runs_in_one_process(target: str) -> None:
    side_by_side = [chosen(call) for call in calls(target) if "-n" in call and "tests/e2e" in call]
    assert side_by_side
    assert not any(eval(marks, {"long": False, "alone": True}) for marks in side_by_side)  # noqa: S307 - our own


def test_tests_that_share_a_fixture_of_their_package_stay_in_one_process() -> None:
    found = [path for path in (ROOT / "tests").rglob("conftest.py") if 'scope="package"' in path.read_text()]
    assert {path.parent.relative_to(ROOT).as_posix() for path in found} == set(SHARED)
    ids = [f"{folder}/{name}.py::test_x[a::b]" for folder in SHARED for name in ("test_a", "test_b")]
    assert Counter(map(together, ids)) == dict.fromkeys(SHARED, 2)
    assert together("tests/cluster/test_crd.py::test_x[a::b]") == "tests/cluster/test_crd.py"
