"""What a storage's errors mean: a sentence that says how to mend it, and whether trying again may help."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from pyarrow import ArrowException

from headway_trainer.errors import NotFound, StorageError

PAUSES = (0.5, 2.0, 8.0)
"""Seconds before each further try of what may have been a passing fault."""

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.EREMOTEIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""What a file system over a network says while its server is away."""
_PASSING_WORDS = (
    "SLOW_DOWN",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    "SERVICE_UNAVAILABLE",
    "THROTTLING",
    "HTTP status 500",
    "HTTP status 503",
    "Connection reset",
    "curlCode: 28",
)
"""What pyarrow says of an object store that may answer the next time."""
_HINTS = {
    errno.ENOSPC: "the storage is full: free space there, or keep fewer checkpoints (training.checkpoint.keepLast)",
    errno.EDQUOT: "the quota is used up: raise it, or keep fewer checkpoints (training.checkpoint.keepLast)",
    errno.EROFS: "the storage is mounted read-only",
    errno.EACCES: "this user may not do that there: check the owner of the volume, or the Secret's rights",
    errno.EPERM: "this user may not do that there: check the owner of the volume, or the Secret's rights",
}

log = logging.getLogger(__name__)
Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


@contextlib.contextmanager
def storage_errors(uri: str, action: str) -> Iterator[None]:
    """Raise StorageError, or NotFound, for what the block raises of the storage at uri."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"could not {action} {uri}: there is no such file or folder") from error
    except (OSError, ArrowException) as error:
        hint = _HINTS.get(getattr(error, "errno", None) or 0)
        told = StorageError(f"could not {action} {uri}: {_shortly(error)}{f'; {hint}' if hint else ''}")
        raise told from error


def is_passing(error: BaseException) -> bool:
    """Whether what failed may well succeed in a moment."""
    cause = error.__cause__ or error
    if getattr(cause, "errno", None) in _PASSING:
        return True
    return any(word in str(cause) for word in _PASSING_WORDS)


def patient(method: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """The method, tried again after each of PAUSES where a StorageError may be a passing one."""

    @functools.wraps(method)
    def tried(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Answer:
        for pause in PAUSES:
            try:
                return method(*arguments, **keywords)
            except StorageError as error:
                if isinstance(error, NotFound) or not is_passing(error):
                    raise
                log.warning("%s; it is tried again in %g seconds", error, pause)
                time.sleep(pause)
        return method(*arguments, **keywords)

    return tried


def _shortly(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # Of several at once, pyarrow names the first in the second line.
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
