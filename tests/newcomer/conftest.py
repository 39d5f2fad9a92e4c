"""A fresh copy of the checkout, in which the first command ever typed is `make run`."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from clone import copy_to


@dataclass(frozen=True)
class Fresh:
    """The copy, and how its first run went."""

    folder: Path
    seconds: float

    def bash(self, script: str, timeout: float) -> str:
        """Runs a script in the copy, with nothing of this test run's own environment but PATH and caches."""
        hidden = ("VIRTUAL_ENV", "PYTHONPATH", "PYTEST_CURRENT_TEST", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        environment["PATH"] = ":".join(part for part in environment["PATH"].split(":") if "/.venv/" not in part)
        done = subprocess.run(
            ["bash"],
            input=script,
            cwd=self.folder,
            env=environment,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """The copy after `make run`."""
    folder = copy_to(tmp_path_factory.mktemp("fresh") / "headway")
    began = time.monotonic()
    Fresh(folder, 0).bash("make run", timeout=1800)
    return Fresh(folder, time.monotonic() - began)
