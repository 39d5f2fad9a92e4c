"""A training process that ends itself: `sys.exit` and `os._exit` in a user's code are mistakes, whatever the status.

Ray sees a process that is gone, as after a crash or a lost node, and would start it again. So the process says first
that it leaves, and where from.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import ray.train
from ray.experimental.internal_kv import _internal_kv_put

from headway_trainer.entrypoints import is_own, location
from headway_trainer.errors import UserError
from headway_trainer.ray.kv_link import KEY_LEFT
from headway_trainer.ray.runtime import KV_NAMESPACE, scoped


@contextlib.contextmanager
def told(scope: str = "") -> Iterator[None]:
    """Tell when the code in this block ends the process. scope: of the run that it trains for.

    Raises UserError where that can be stopped.
    """
    leave, pid = os._exit, os.getpid()

    def tell_and_leave(status: int) -> NoReturn:
        if os.getpid() == pid:  # a forked child ends so by right
            _tell(status, scope)
        leave(status)

    os._exit = tell_and_leave
    try:
        yield
    except SystemExit as error:
        raise UserError(sentence(f"sys.exit({error.code!r})", location(error) or "the training code")) from error
    finally:
        os._exit = leave


def sentence(call: str, place: str) -> str:
    """What is wrong with it."""
    return f"{place} called {call}, which ends the training process: return from the function instead, or raise"


def _tell(status: int, scope: str) -> None:
    stack = traceback.extract_stack()[:-2]
    own = [frame for frame in stack if is_own(Path(frame.filename), None)]
    if not own:  # Ray ends its process so, too
        return
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}"
    text = sentence(f"os._exit({status})", f"rank {ray.train.get_context().get_world_rank()}: {place}")
    print(text, file=sys.stderr, flush=True)
    with contextlib.suppress(Exception):  # it goes, whether it is heard or not
        _internal_kv_put(scoped(KEY_LEFT, scope), text.encode(), namespace=KV_NAMESPACE)
