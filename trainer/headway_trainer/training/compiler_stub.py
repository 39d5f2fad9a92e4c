"""Training without torch's compiler, which nothing here uses and which costs each process five seconds to import.

torch's optimisers and DistributedDataParallel import `torch._dynamo` only to mark functions that it must leave alone,
and to ask for a setting of it. With a stand-in that answers both, a worker takes its first step that much earlier; the
arithmetic is the same (docs/decisions/0032). Whatever else is asked of it (activation checkpointing and nested tensors
do) is answered by the compiler itself, which is imported then. A user's own model may well be compiled: then the
stand-in stays away.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

_NAME = "torch._dynamo"


class _StandIn(types.ModuleType):
    """Knows what its dict has; becomes the compiler when it is asked for anything else."""

    def __getattr__(self, name: str) -> Any:
        # Modules are asked for __file__ and the like by whoever lists them; __path__ is the import of a part.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
            del torch._dynamo
        compiler = importlib.import_module(_NAME)
        self.__dict__.update({key: value for key, value in vars(compiler).items() if not key.startswith("__")})
        return getattr(compiler, name)


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Answer for the compiler in this block, unless it has been imported already."""
    if _NAME in sys.modules:
        yield
        return
    stand_in = _StandIn(_NAME, "Stands in for torch's compiler where nothing is compiled.")
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
        if sys.modules[_NAME] is stand_in:
            del sys.modules[_NAME]
            del torch._dynamo


def _disable(function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Callable[..., Any]:  # noqa: ARG001 - torch's signature
    return function
