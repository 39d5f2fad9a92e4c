"""What holds for all tests: what was left out is said, and how fast the machine is decides nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("headway", deadline=None)
settings.load_profile("headway")

# Pages of the documentation say `headway`, and mean the one that is tested.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

_LONG = pytest.StashKey[int]()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the long tests that are not to run."""
    for item in items:
        if item.get_closest_marker("long"):
            item.config.stash[_LONG] = item.config.stash.get(_LONG, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many there were, and what runs them."""
    if number := config.stash.get(_LONG, 0):
        terminalreporter.section(f"{number} long tests were left out: `make test-long` runs them, too")
