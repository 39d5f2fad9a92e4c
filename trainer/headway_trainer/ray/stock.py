"""The switch that turns off all that Headway changes in Ray: `HEADWAY_STOCK_RAY=1` in the environment of a job's pods.

With it, nodes have all of Ray's own processes, Ray Train its own trainer, controller and torch backend, and training
processes import what they import. A start takes longer, lost workers end the attempt instead of being
replaced in it, and only the built-in loop is run. It answers whether a fault is Ray's, or of what is changed in it.
"""

from __future__ import annotations

import logging
import os

ENV = "HEADWAY_STOCK_RAY"
RAY = "2.60"
"""The version of Ray whose inside is changed (docs/decisions/0030)."""

log = logging.getLogger(__name__)


def stock() -> bool:
    """Whether Ray is to be as it is. Raises ValueError for a value of the switch that says neither."""
    value = os.environ.get(ENV, "")
    if value not in {"", "0", "1"}:
        raise ValueError(f"{ENV} is {value!r}, and must be 1 (Ray as it is) or 0")
    return value == "1"


def is_known(version: str) -> bool:
    """Whether a version of Ray is the one whose inside is changed."""
    return version.startswith(f"{RAY}.")


def warn_of_version(version: str) -> None:
    """Say so in the log if this is another version of Ray."""
    if not stock() and not is_known(version):
        log.warning(
            "this is Ray %s, and Headway changes the inside of Ray %s: if it fails, set %s=1", version, RAY, ENV
        )
