"""A newcomer's first hour on one machine: `make run`, and the tutorial word by word."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bench.yardstick import loop_ms
from markdown_blocks import ROOT, script

from .conftest import Fresh

pytestmark = [pytest.mark.ray, pytest.mark.timeout(2400)]

FIRST_STEP_SECONDS = 15.0
"""From the command to the first optimiser step, where the loop of bench/yardstick.py takes LOOP_MS at most."""
LOOP_MS = 50.0


def test_make_run_trains_digits_from_a_fresh_copy(fresh: Fresh) -> None:
    result = json.loads((fresh.folder / "out/digits/result.json").read_text())
    assert result["metrics"]["test"]["accuracy"] >= 0.97
    assert (fresh.folder / "out/digits/report.md").read_text().startswith("# ")


def test_the_second_make_run_takes_its_first_step_within_15_seconds(fresh: Fresh) -> None:
    """Other work on the machine only ever adds seconds, so the best of three runs tells what the start takes."""
    before = json.loads((fresh.folder / "out/digits/result.json").read_text())
    bar = FIRST_STEP_SECONDS * max(1.0, loop_ms() / LOOP_MS)
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=60.0) > bar:
        typed = datetime.now(UTC)
        fresh.bash("make run", timeout=300)
        result = json.loads((fresh.folder / "out/digits/result.json").read_text())
        assert result["finished"] != before["finished"]
        assert result["metrics"]["test"] == before["metrics"]["test"]
        seconds.append((datetime.fromisoformat(result["training"]["firstStepTime"]) - typed).total_seconds())
    assert min(seconds) <= bar, seconds


@pytest.mark.long
def test_the_tutorial_works_word_by_word_on_one_machine(fresh: Fresh) -> None:
    fresh.bash(script(ROOT / "docs/tutorial.md", cluster=False), timeout=1200)
    mine = json.loads((fresh.folder / "out/mine/result.json").read_text())
    wine = json.loads((fresh.folder / "out/wine/result.json").read_text())
    assert mine["metrics"]["reported"]["loss"] < 1
    assert wine["metrics"]["test"]["accuracy"] >= 0.8
