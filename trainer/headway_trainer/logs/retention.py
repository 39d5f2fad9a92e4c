"""Which logs stay: those of the attempts that the job's status lists."""

from __future__ import annotations

from headway_api import wire
from headway_api.status import MAX_ATTEMPTS_KEPT
from headway_trainer.logs import sources
from headway_trainer.storage import Store


def tidy(store: Store, attempt: int) -> None:
    """Delete the files of attempts before the last MAX_ATTEMPTS_KEPT, and of what was replaced long ago in this one.

    store: the job's folder. Files that are not Headway's stay. Raises StorageError.
    """
    logs = store.child(wire.LOGS_DIR)
    for name in logs.list():
        number = _attempt(name)
        if number is not None and number <= attempt - MAX_ATTEMPTS_KEPT:
            _delete(logs.child(name), [file for file in logs.list(name) if sources.is_ours(file)])
    own = store.child(wire.logs_dir(attempt))
    _delete(own, sources.expired(own.list()))


def _attempt(folder: str) -> int | None:
    number = folder.removeprefix("attempt-")
    return int(number) if number != folder and number.isdecimal() else None


def _delete(folder: Store, names: list[str]) -> None:
    for name in names:
        folder.delete(name)
    if names and not folder.list():
        folder.delete()
