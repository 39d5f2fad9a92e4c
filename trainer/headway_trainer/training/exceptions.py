"""What exceptions in a training process mean: the user's own, in a sentence that says where; those of the pod's limits
(memory, processes, /dev/shm), in one that says which; the others pass."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from pathlib import Path

from headway_trainer.entrypoints import describe, is_own, location
from headway_trainer.errors import OutOfMemory, UserError

_PEER_GONE = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "application timeout caused pair closure",
    "gloo/transport",
    "connectfullmesh failed",
    "socket timeout",
    "remote process has exited",
    "ncclremoteerror",
)
_NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "Cannot allocate memory")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a volume of the pod's own
_NO_SHARED_MEMORY = ("out of shared memory", "unable to allocate shared memory", "unable to write to file </torch_")
_NO_THREAD = "can't start new thread"
_ONE_ROW = "Expected more than 1 value per channel when training"
"""What torch says of a batch of one row."""
_UNUSED = "Expected to have finished reduction in the prior iteration"
"""What DistributedDataParallel says of parameters without a gradient; which, at the end."""
_UNUSED_WHICH = re.compile(r"did not receive grad for rank \d+: ([\d ]+)")


def raise_as_users(error: Exception, what: str | None = None, folder: Path | None = None) -> None:
    """Raise a UserError for an exception that is the user's: it came out of their code, or memory did not do.

    what: names the code, where the exception is the user's wherever it came from. folder: where their code lies.
    An exception that another worker's end has caused is nobody's, and passes. A lack of memory is OutOfMemory.
    """
    import torch

    if is_peer_error(error):
        return
    if isinstance(error, torch.OutOfMemoryError):
        if torch.cuda.is_available() and torch.cuda.get_per_process_memory_fraction() < 1:
            raise UserError(
                "the part of the GPU's memory that a trial has is too little for this model and batch: lower"
                " training.batchSize, or tuning.trialsPerWorker"
            ) from error
        raise UserError(
            "the GPU has too little memory for this model and batch: lower training.batchSize, or take more workers"
        ) from error
    if _ONE_ROW in str(error):
        raise UserError(
            "batch normalisation needs more than one row a worker in each step: "
            "raise training.batchSize, or take fewer workers"
        ) from error
    if what is None and _UNUSED in str(error):  # a function of their own can ask torch to look for them
        raise UserError(_unused(str(error))) from error
    place = location(error, folder) or location(error)
    _raise_as_limit(error, place or what or "training")
    if place is None and what is None:
        return
    _print_trace(error, folder)
    raise UserError(f"{place or what} raised {describe(error)}") from error


def _unused(text: str) -> str:
    found = _UNUSED_WHICH.search(text)
    which = f" (of those that are trained, counted from 0: {', '.join(found[1].split())})" if found else ""
    return (
        "with more than one training process, each parameter of the model has to take part in the loss of each step, "
        f"and some did not{which}: leave them out, freeze them by requires_grad_(False), or take one process"
    )


def _raise_as_limit(error: Exception, place: str) -> None:
    """Raise for what a limit of the pod has caused, with that limit's name."""
    text, number = str(error), getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(sign in text for sign in _NO_MEMORY):
        raise OutOfMemory(
            f"{place} did not get the memory that it asked for ({describe(error)}): "
            "raise workers.resources.memory, or lower training.batchSize"
        ) from error
    if any(sign in text for sign in _NO_SHARED_MEMORY) or (number == errno.ENOSPC and _SHARED_MEMORY in text):
        raise UserError(
            f"{_SHARED_MEMORY} is full: {place} raised {describe(error)}. It holds what data loader workers hand over, "
            "and is as large as workers.resources.memory: raise that, or take fewer data loader workers"
        ) from error
    if number == errno.EAGAIN or _NO_THREAD in text:
        raise UserError(
            f"{place} raised {describe(error)}: the pod has as many processes and threads as it may "
            "(its process limit); start fewer of them, and end those that are done"
        ) from error


def _print_trace(error: Exception, folder: Path | None) -> None:
    """The trace from the first line of the user's own code on: what leads there is not theirs."""
    told = traceback.TracebackException.from_exception(error)
    first = next((index for index, frame in enumerate(told.stack) if is_own(Path(frame.filename), folder)), 0)
    told.stack = traceback.StackSummary.from_list(told.stack[first:])
    print("".join(told.format(chain=False)), file=sys.stderr, flush=True)


def is_peer_error(error: BaseException) -> bool:
    """Whether an exception comes from a collective that another worker has left."""
    names = {base.__name__ for base in type(error).__mro__}
    if "DistError" in names or "DistBackendError" in names:
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _PEER_GONE)
