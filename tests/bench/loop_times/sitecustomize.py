"""Where this folder is on PYTHONPATH, each process writes when its training loops began and ended.

To the file that LOOP_TIMES names, a line a loop: two seconds since the epoch. Python imports a module of this name when
it starts, so the loop is timed where it runs, and nothing else of a process is changed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


class Timing(MetaPathFinder):
    """Finds the loop's module as others do, and times its loop."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - as of MetaPathFinder
        target: ModuleType | None = None,  # noqa: ARG002 - as of MetaPathFinder
    ) -> ModuleSpec | None:
        """As of MetaPathFinder."""
        if fullname != "headway_trainer.training.loop":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader, run_module = spec.loader, spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run_module(module)
                module.Loop.run = _timed(module.Loop.run)

            loader.exec_module = exec_module  # type: ignore[method-assign]  # a loader of a source file is an object
        return spec


def _timed(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def timed(loop: Any) -> Any:
        began = time.time()
        try:
            return run(loop)
        finally:
            with Path(os.environ["LOOP_TIMES"]).open("a") as file:
                file.write(f"{began} {time.time()}\n")

    return timed


if "LOOP_TIMES" in os.environ:
    sys.meta_path.insert(0, Timing())
