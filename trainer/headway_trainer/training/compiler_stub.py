"""Training without torch's compiler, which nothing here uses and which costs each process five seconds to import.

torch's optimisers and DistributedDataParallel import `torch._dynamo` only to mark functions that it must leave alone,
and to ask for a setting of it. With a stand-in that answers both, a worker takes its first step that much earlier; the
arithmetic is the same (docs/decisions/0032). A user's own model may well be compiled: then the stand-in stays away.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

_NAME = "torch._dynamo"


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Answer for the compiler in this block, unless it has been imported already."""
    if _NAME in sys.modules:
        yield
        return
    stand_in = types.ModuleType(_NAME, "Stands in for torch's compiler where nothing is compiled.")
    stand_in.__dict__.update(
        disable=_disable,
        graph_break=lambda: None,
        utils=types.SimpleNamespace(get_optimize_ddp_mode=lambda: "ddp_optimizer"),
    )
    sys.modules[_NAME] = stand_in
    torch._dynamo = stand_in
    try:
        yield
    finally:
        del sys.modules[_NAME]
        del torch._dynamo


def _disable(function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Callable[..., Any]:  # noqa: ARG001 - torch's signature
    return function
