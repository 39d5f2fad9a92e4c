"""Credentials for a storage, from the Secret that a pod has mounted. It imports nothing that is slow."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
"""pyarrow takes a service account's key from this variable alone, whenever a file system is built."""
_building = threading.Lock()
_own: list[str | None] = []
"""What the pod itself had in GOOGLE, once `adopt` has put something else there."""


def mounted(secret_dir: str) -> str | None:
    """The folder of a Secret; None where this machine or pod has none."""
    return secret_dir if Path(secret_dir).is_dir() else None


def read_secrets(secret_dir: str | None) -> dict[str, str]:
    """The files of a Secret's folder, named like the environment variables of the cloud's own tools."""
    if secret_dir is None or not Path(secret_dir).is_dir():
        return {}
    files = (path for path in Path(secret_dir).iterdir() if path.is_file() and not path.name.startswith("."))
    found = {path.name: path.read_text().strip() for path in files}
    if found.get(GOOGLE, "").startswith("{"):
        found[GOOGLE] = str(Path(secret_dir, GOOGLE))
    elif f"{GOOGLE}_JSON" in found:
        found[GOOGLE] = str(Path(secret_dir, f"{GOOGLE}_JSON"))
    return found


def adopt(secret_dir: str | None) -> None:
    """Give this process and its children the storage's credentials, for the file systems that others build there.

    Ray Train sends the run's file system from process to process, and each builds it anew before any code of ours runs.
    What Store.open is given counts more; a Secret that cannot be read is told there.
    """
    key = None
    with contextlib.suppress(OSError, ValueError):
        key = read_secrets(secret_dir).get(GOOGLE)
    if key is not None:
        if not _own:
            _own.append(os.environ.get(GOOGLE))
        os.environ[GOOGLE] = key


@contextlib.contextmanager
def google(secret: Mapping[str, str]) -> Iterator[None]:
    """Build a file system with the key in a Secret; without one, as whoever this pod is."""
    with _building:
        before = os.environ.get(GOOGLE)
        _set(secret.get(GOOGLE, _own[0] if _own else before))
        try:
            yield
        finally:
            _set(before)


def _set(value: str | None) -> None:
    if value is None:
        os.environ.pop(GOOGLE, None)
    else:
        os.environ[GOOGLE] = value
