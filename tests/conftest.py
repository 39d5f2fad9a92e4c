"""What holds for all tests: what was left out is said, how they are divided, and a fast machine decides nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from side_by_side import Together

# How long an example takes says how busy the machine is.
settings.register_profile("headway", deadline=None)
settings.load_profile("headway")

# What a shell starts in the background ignores Ctrl-C, and so does what that starts: no test of Ctrl-C would end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Pages of the documentation say `headway`, and mean the one that is tested.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

ALONE = ("newcomer", "e2e")
"""Folders of tests that time a start, or have the one node of this machine."""

_LONG = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is to run while no other test does, before anything is chosen by marks."""
    for item in items:
        if item.path.parent.name in ALONE:
            item.add_marker("alone")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How tests are divided among processes."""
    return Together(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the long tests that are not to run."""
    for item in items:
        if item.get_closest_marker("long"):
            item.config.stash[_LONG] = item.config.stash.get(_LONG, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many there were, and what runs them."""
    if number := config.stash.get(_LONG, 0):
        terminalreporter.section(f"{number} long tests were left out: `make test-long` runs them, too")
