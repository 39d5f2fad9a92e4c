"""Where training processes stand when training stands still: each tells its stack, the driver says whose to look at."""

from __future__ import annotations

import faulthandler
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headway_trainer.entrypoints import is_own

_TRAINING_THREAD = "TrainingThread"
"""How Ray Train names the thread that it calls the training function in."""
_REPORT = "report"
_RAYS_WAITS = {_REPORT, "barrier", "broadcast_from_rank_zero"}
"""Functions of Ray Train that return once every rank has called them."""
_SHOWN_RANKS = 4
_OURS = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Standing:
    """Where one training process stands."""

    place: str
    """The innermost line that is the user's or Headway's own, as `train.py:17 in fit`."""
    waiting: bool
    """Whether it waits there for the other ranks."""
    trace: str
    """The stack of the thread that trains."""
    reports: bool = False
    """Whether it waits in `ray.train.report`."""


def standing() -> Standing:
    """Where this process stands; the stacks of all its threads go to its log.

    It runs in the main thread of a training process, beside the thread that trains.
    """
    faulthandler.dump_traceback(file=2, all_threads=True)
    threads = [one for one in threading.enumerate() if one.name.startswith(_TRAINING_THREAD)]
    frames = sys._current_frames()
    stacks = [traceback.extract_stack(frames[one.ident]) for one in threads if one.ident in frames]
    return judged(stacks[0]) if stacks else Standing("no training function", waiting=True, trace="")


def judged(stack: traceback.StackSummary) -> Standing:
    """What a stack says."""
    users = [index for index, frame in enumerate(stack) if is_own(Path(frame.filename), None)]
    ours = [index for index, frame in enumerate(stack) if frame.filename.startswith(_OURS)]
    last = (users or ours or [len(stack) - 1])[-1]
    frame = stack[last]
    return Standing(
        place=f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}",
        waiting=any(_is_wait(inner) for inner in stack[last:]) or _is_wrapper(stack[-1]),
        reports=any(_is_rays(inner) and inner.name == _REPORT for inner in stack[last:]),
        trace="".join(traceback.format_list(stack[last if users else 0 :])),
    )


def _is_wait(frame: traceback.FrameSummary) -> bool:
    """Whether a frame waits for other ranks: a collective, the backward pass that averages gradients, ray's report."""
    if _is_rays(frame):
        return frame.name in _RAYS_WAITS
    return "/torch/distributed/" in frame.filename or frame.name == "_engine_run_backward"


def _is_rays(frame: traceback.FrameSummary) -> bool:
    return "/ray/train/" in frame.filename


def _is_wrapper(frame: traceback.FrameSummary) -> bool:
    """Whether the innermost frame is DistributedDataParallel's own: it is in native code then, which synchronises."""
    return frame.filename.endswith("/torch/nn/parallel/distributed.py")


def sentence(found: Mapping[int, Standing | None], names: Mapping[int, str]) -> str:
    """Which ranks stand still, and where. found: None for a rank that did not answer. names: where each rank runs."""
    silent = [rank for rank in sorted(found) if found[rank] is None]
    busy = {rank: one for rank, one in sorted(found.items()) if one is not None and not one.waiting}
    waiting = {rank: one for rank, one in sorted(found.items()) if one is not None and one.waiting}
    if silent:
        who = _joined([_named(rank, names) for rank in silent])
        return f"{who} did not answer: a process that is frozen, or native code that does not return"
    if busy:
        where = _joined([f"{_named(rank, names)} stands at {one.place}" for rank, one in busy.items()])
        return f"{where}{', and the others wait for it' if waiting else ''}"
    reporting = {rank for rank, one in waiting.items() if one.reports}
    where = _joined([f"{_named(rank, names)} at {_place(one)}" for rank, one in waiting.items()])
    if reporting and len(reporting) < len(waiting):
        return (
            f"ranks wait for each other: {where}; ray.train.report returns once every rank has called it: call it on "
            "every rank, as often on each, and give the checkpoint on rank 0 alone"
        )
    return f"all ranks wait for each other: {where}; each rank has to make the same collective calls in the same order"


def _place(standing: Standing) -> str:
    return f"{standing.place}, in ray.train.report" if standing.reports else standing.place


def _named(rank: int, names: Mapping[int, str]) -> str:
    return f"rank {rank} ({names[rank]})"


def _joined(parts: list[str]) -> str:
    more = f", and {len(parts) - _SHOWN_RANKS} more" if len(parts) > _SHOWN_RANKS else ""
    return ", ".join(parts[:_SHOWN_RANKS]) + more
