"""What tests start in a process of its own: `headway` as a user calls it, and modules of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-c", "from headway_cli.main import main; main()"]


def clean_environment() -> dict[str, str]:
    """This process' environment without what says something to Ray or to Headway."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HEADWAY_"))}


def run_environment() -> dict[str, str]:
    """What `headway run` gets: as many threads as in pods, so that weights can be compared on any machine."""
    return clean_environment() | {"OMP_NUM_THREADS": "1"}


def module(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m NAME` to its end, where NAME is found as it is by this process."""
    return subprocess.run(
        [sys.executable, "-m", name, *map(str, words)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def headway(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `headway` to its end. variables: more of the environment."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        env=run_environment() | variables,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
