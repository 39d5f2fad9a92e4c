"""What a run's next attempt has to know of the one before: the code of the user's that it ran."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_api.wording import listed
from headway_trainer.errors import NotFound
from headway_trainer.storage import Store

RECORD_FILE = "record.json"
MOST_MODULES = 2000
"""Of a folder with more modules, those that come first are looked at."""
_SHOWN = 3


class RunRecord(StatusSection):
    """`record.json`."""

    code: dict[str, str] = Field(default_factory=dict)
    """The digests of the modules in the folder of the user's code, by their paths in it."""


def read_record(store: Store) -> RunRecord | None:
    """The record of a run; none if there is none that can be read. Raises StorageError."""
    with contextlib.suppress(NotFound, ValidationError):
        return RunRecord.model_validate_json(store.read(RECORD_FILE))
    return None


def write_record(store: Store, record: RunRecord) -> None:
    """Leave the record for the next attempt. Raises StorageError."""
    store.write(RECORD_FILE, record.model_dump_json().encode())


def module_digests(folder: str | Path) -> dict[str, str]:
    """The digests of all Python modules below a folder, but for hidden folders and virtual environments."""
    root, found = Path(folder), dict[str, str]()
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_skipped(Path(place, name)))
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            if len(found) >= MOST_MODULES:
                return found
            with contextlib.suppress(OSError):
                path = Path(place, name)
                found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changed_modules(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The modules that are not what they were, in words; none if all are. Those that are new were not run before."""
    changed = sorted(name for name, digest in before.items() if now.get(name) != digest)
    return listed(changed, _SHOWN) if changed else None


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith((".", "__")) or folder.name == "site-packages" or (folder / "pyvenv.cfg").exists()
