"""What a pod finds and leaves at fixed places."""

from __future__ import annotations

import os
from pathlib import Path

from headway_api import wire

ENV_TERMINATION_FILE = "HEADWAY_TERMINATION_FILE"
ENV_READY_FILE = "HEADWAY_READY_FILE"
"""Other places for the files that are left: several pods' processes can then run on one machine."""


def read_run_file() -> wire.RunFile:
    """The RunFile that the operator wrote. Raises OSError and ValidationError: without it there is nothing to do."""
    path = os.environ.get(wire.ENV_RUN_FILE, f"{wire.RUN_DIR}/{wire.KEY_RUN}")
    return wire.RunFile.model_validate_json(Path(path).read_bytes())


def touch_ready() -> None:
    """Say that this pod is part of the Ray cluster."""
    Path(os.environ.get(ENV_READY_FILE, wire.READY_FILE)).touch()
