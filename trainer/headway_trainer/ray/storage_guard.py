"""Ray Train's own ways to the storage, in a training process with a function of the user's: `ray.train.report` copies a
checkpoint there, and `Checkpoint.as_directory` copies one from there.

A storage that is away for a moment is met with the patience that our own reads and writes have, and one that fails is
no error of the function that called. These are not public interfaces of Ray, which is pinned to one minor version.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pyarrow import fs
from ray.train import Checkpoint
from ray.train.v2._internal.execution.storage import StorageContext

from headway_trainer.errors import NotFound, StorageError
from headway_trainer.storage import Store
from headway_trainer.storage_faults import is_passing, patient, storage_errors

_NO_MARKER = "Unable to set up cluster storage"
"""What Ray says of a storage that has lost the file that it began with."""
_ROOM = {errno.ENOSPC, errno.EDQUOT}
_LASTING = {*_ROOM, errno.EROFS, errno.EACCES, errno.EPERM}

_SAVE, _LOAD = StorageContext.persist_current_checkpoint, Checkpoint.to_directory
"""Ray's own."""

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


def guard(store: Store, fence: Callable[[], None] = lambda: None) -> None:
    """Let Ray Train's ways to the storage in this process raise as Store does: of this job, and of no trial before.

    fence: is asked before a checkpoint is saved, and raises where this attempt may save none.
    """
    save, load = _SAVE, _LOAD
    guarded_save = _guarded(save, store.child("ray").uri, "save a checkpoint to")

    @functools.wraps(save)
    def persist(context: StorageContext, checkpoint: Checkpoint, *arguments: Any, **keywords: Any) -> Checkpoint:
        if isinstance(checkpoint.filesystem, fs.LocalFileSystem) and not Path(checkpoint.path).exists():
            return save(context, checkpoint, *arguments, **keywords)  # it is the function's, and it raises
        fence()
        return guarded_save(context, checkpoint, *arguments, **keywords)

    @functools.wraps(load)
    def to_directory(checkpoint: Checkpoint, *arguments: Any, **keywords: Any) -> str:
        if isinstance(checkpoint.filesystem, fs.LocalFileSystem):
            return str(load(checkpoint, *arguments, **keywords))
        guarded = _guarded(load, f"{store.child('ray').uri} ({checkpoint.path})", "load a checkpoint from", fills=True)
        return str(guarded(checkpoint, *arguments, **keywords))

    StorageContext.persist_current_checkpoint = persist
    Checkpoint.to_directory = to_directory


def storage_fault(error: BaseException, store: Store) -> StorageError | None:
    """What the function's own use of a file of the run's folder has met, where that is the storage's fault."""
    folder, number = store.local_path(), getattr(error, "errno", None)
    if folder is None or not isinstance(error, OSError) or number is None:
        return None
    names = [Path(str(name)) for name in (error.filename, error.filename2) if name is not None]
    if not any(name.is_relative_to(folder) for name in names):
        return None
    if not is_passing(error) and number not in _LASTING:
        return None
    return StorageError(f"could not use {names[0]}: {error.strerror}")


def _guarded(
    method: Callable[Parameters, Answer], uri: str, action: str, *, fills: bool = False
) -> Callable[Parameters, Answer]:
    """The method, with patience and the storage's errors. fills: whether it is the pod's own disk that it fills."""

    @patient
    def tried(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Answer:
        try:
            with storage_errors(uri, action):
                return method(*arguments, **keywords)
        except StorageError as error:
            if fills and getattr(error.__cause__, "errno", None) in _ROOM and error.__cause__ is not None:
                raise error.__cause__ from None
            raise
        except RuntimeError as error:
            if _NO_MARKER not in str(error):
                raise
            raise NotFound(f"could not {action} {uri}: the folder that the run began with is gone") from error

    return tried
