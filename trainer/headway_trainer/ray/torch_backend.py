"""How Ray Train's workers become a process group of torch; and what they run, without importing it here.

It does what Ray's own torch backend does for CPUs and NVIDIA GPUs, in fewer round trips, and in a module that does not
import torch: so the driver, which only directs, takes neither the time nor the memory that torch costs.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig

from headway_trainer.entrypoints import describe
from headway_trainer.errors import OutOfMemory, StorageError, UserError
from headway_trainer.logs.sources import mark
from headway_trainer.process_resources import memory_part
from headway_trainer.ray.stock import stock
from headway_trainer.training.exceptions import is_peer_error

_numbers = itertools.count()
"""Of the groups of this attempt: those of children that run side by side have different ones, too."""
JOIN_SECONDS = 120
"""How long the ranks may take to find each other."""
LATER_SECONDS = 120
"""How much later than the driver's watchdog a collective gives up: the watchdog can say who stands still, and a
collective cannot. A peer that died is noticed at once, by its connections or by Ray."""


@dataclass
class TorchGroup(BackendConfig):  # type: ignore[misc]  # ray has no types
    """A process group over NCCL where workers have GPUs, else over gloo."""

    gpus: int = 0
    """Lent to each process."""
    gpu_sharers: int = 1
    """Processes of so many groups share each GPU."""
    progress_seconds: int = 1800
    """How long the driver's watchdog waits for a step."""

    @property
    def backend_cls(self) -> type[Backend]:
        """What starts it."""
        return _TorchBackendOfSeveralGpus if self.gpus > 1 else _TorchBackend

    @property
    def train_func_context(self) -> Callable[[], contextlib.AbstractContextManager[None]]:
        """What the training function runs in."""
        return partial(_on_own_device, self.gpu_sharers)


class _TorchBackend(Backend):  # type: ignore[misc]  # ray has no types
    share_cuda_visible_devices = True
    """As torchrun does it: each process sees all GPUs of its pod, and its own is the one of number LOCAL_RANK."""

    def on_start(self, worker_group: Any, backend_config: TorchGroup) -> None:
        """Join the workers. Their processes end with the group, or `leave` undoes it."""
        address, port = worker_group.execute_single(0, get_address_and_port)
        number = next(_numbers)
        ray.get(
            [
                worker_group.execute_single_async(index, _join, address, port, number, backend_config)
                for index in range(len(worker_group))
            ]
        )


class _TorchBackendOfSeveralGpus(_TorchBackend):
    share_cuda_visible_devices = False
    """A process with several GPUs sees those alone: code that spreads over all that it sees must not take another
    process' as well."""


def _join(address: str, port: int, number: int, group: TorchGroup) -> None:
    """In a worker: the environment that torchrun would give, and the process group, the attempt's number-th."""
    from ray.train.v2._internal.execution.train_fn_utils import get_train_fn_utils
    from torch import distributed

    from headway_trainer.ray.device import own_device

    # ray.train.get_context() asks first whether Ray Tune is about, and imports all of that.
    context = get_train_fn_utils().get_context()
    _sign_output(mark(context.get_world_rank(), number))
    os.environ |= {
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        "RANK": str(context.get_world_rank()),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "NODE_RANK": str(context.get_node_rank()),
        "ACCELERATE_TORCH_DEVICE": str(own_device()),
    }
    # A collective that fails must end the process' wait, not hang it.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    distributed.init_process_group(
        backend="nccl" if group.gpus else "gloo",
        init_method="env://",
        timeout=datetime.timedelta(seconds=JOIN_SECONDS),
    )
    distributed.set_timeout(datetime.timedelta(seconds=group.progress_seconds + LATER_SECONDS))


def leave() -> None:
    """In a worker that is kept for other work: leave the process group, and free what was trained in it."""
    import gc

    import torch
    from torch import distributed

    distributed.destroy_process_group()
    gc.collect()
    if not gc.get_freeze_count():
        # What is there by now is modules, above all: to look through them takes longer than a small child.
        gc.freeze()
    torch.cuda.empty_cache()  # nothing where no GPU was used


def await_end(seconds: float) -> None:
    """In a worker: wait until its training function has returned, for so many seconds at most."""
    from ray.train.v2._internal.execution.context import get_train_context

    thread = get_train_context().execution_context.training_thread_runner._thread
    if thread is not None:
        thread.join(seconds)


def _sign_output(line: str) -> None:
    """Whose the output of this process is, from here on."""
    for stream in (sys.stdout, sys.stderr):
        stream.write(line)
        stream.flush()


@contextlib.contextmanager
def _on_own_device(sharers: int = 1) -> Iterator[None]:
    """In a worker: on its GPU, if it has one, of whose memory it takes no more than its part."""
    import torch

    from headway_trainer.ray.device import own_device

    device = own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
        if sharers > 1:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(memory_part(total, sharers), device)
    yield


def train_built_in(config: dict[str, Any]) -> Any:
    """The built-in training function, imported in the worker alone."""
    from headway_trainer.ray import built_in_function

    if stock():  # what `_join` does of ours elsewhere
        from torch import distributed

        _sign_output(mark(distributed.get_rank(), 0))
    return _told(built_in_function.train, config)


def train_own(config: dict[str, Any]) -> Any:
    """The training function around the user's own, imported in the worker alone."""
    from headway_trainer.ray import user_function

    return _told(user_function.train, config)


def _told(function: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> Any:
    """Call the function. An error whose message says all is not printed with a trace, as Ray would; others are."""
    from headway_trainer.ray import exit_guard
    from headway_trainer.ray.step_counter import counted

    logging.getLogger("ray.train.v2._internal.util").setLevel(logging.CRITICAL)
    try:
        with exit_guard.told(config["scope"]), counted(config["scope"]):
            return function(config)
    except (UserError, StorageError, OutOfMemory):
        raise
    except Exception as error:
        if is_peer_error(error):
            print(
                f"a collective call failed, as when another worker is gone: {describe(error)}",
                file=sys.stderr,
                flush=True,
            )
        else:
            traceback.print_exc()
        raise
