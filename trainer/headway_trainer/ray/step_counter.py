"""The optimiser steps of rank 0, told to the driver's watchdog: the built-in loop's, and a user's own function's.

torch's hook on every optimiser counts them; a thread tells the count, so that a loop whose steps become slow from one
moment to the next is still seen to go on, between two checks of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ray.experimental.internal_kv import _internal_kv_put
from torch import distributed
from torch.optim.optimizer import register_optimizer_step_post_hook

from headway_trainer.ray.kv_link import KEY_STEPS
from headway_trainer.ray.runtime import KV_NAMESPACE, scoped

PERIOD_SECONDS = 1.0


@contextlib.contextmanager
def counted(scope: str = "") -> Iterator[None]:
    """Count the optimiser steps of this block, where this process is rank 0. scope: of the run that it trains for."""
    if distributed.get_rank() != 0:
        yield
        return
    counter = Counter(scope)
    handle = register_optimizer_step_post_hook(counter.count)
    thread = threading.Thread(target=counter.run, name="headway-step-counter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        handle.remove()
        counter.closed.set()
        thread.join()
        counter.tell()


class Counter:
    """Counts steps, and tells when there were more."""

    def __init__(self, scope: str = "") -> None:
        """scope: of the run whose steps these are."""
        self._key = scoped(KEY_STEPS, scope)
        self.closed = threading.Event()
        self._steps = self._told = 0

    def count(self, *_: object) -> None:
        """A step was done."""
        self._steps += 1

    def run(self) -> None:
        """Tell the count every PERIOD_SECONDS, as long as it grows."""
        while not self.closed.wait(PERIOD_SECONDS):
            self.tell()

    def tell(self) -> None:
        """Tell the count, if it has grown."""
        if self._steps != self._told:
            self._told = self._steps
            _internal_kv_put(self._key, str(self._told).encode(), namespace=KV_NAMESPACE)
