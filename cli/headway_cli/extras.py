"""How a package is added to the Python in which this command line is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

MARKS: Mapping[str, str] = MappingProxyType(
    {"predict": "onnxruntime", "server": "uvicorn", "trainer": "torch", "ui": "aiohttp"}
)
"""Extras of the distribution that commands need, each with a package that comes with it."""
_PIPX = "pipx_metadata.json"
"""pipx keeps it in the root of each environment that it makes."""


def installed(extra: str) -> bool:
    """Whether an extra is installed, by its mark, which is not imported."""
    return importlib.util.find_spec(MARKS[extra]) is not None


def installing(requirement: str) -> str:
    """The command that a user types to add a requirement, such as headway[trainer].

    pipx hides its environments: there, `pip install` would put the package into another Python. With --force it adds
    to the environment that is there.
    """
    return f"{'pipx install --force' if _by_pipx() else 'pip install'} '{requirement}'"


def upgrading() -> str:
    """The command that a user types for the newest Headway."""
    return "pipx upgrade headway" if _by_pipx() else "pip install --upgrade headway"


def _by_pipx() -> bool:
    return (Path(sys.prefix) / _PIPX).is_file()
