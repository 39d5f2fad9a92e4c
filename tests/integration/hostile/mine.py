"""Training functions that nobody should write."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any

import pyarrow.fs
import ray.train
import torch
from torch import distributed


def exits(config: dict[str, Any]) -> None:
    sys.exit(config["status"])


def leaves(config: dict[str, Any]) -> None:
    if ray.train.get_context().get_world_rank() == 1:
        os._exit(config["status"])
    distributed.barrier()


def crashes(_: dict[str, Any]) -> None:
    ctypes.string_at(0)


def reports_in_vain(_: dict[str, Any]) -> None:
    """As when the storage is full: what Ray's copy of a checkpoint to it meets then."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pyarrow.fs.copy_files = full
    with tempfile.TemporaryDirectory() as folder:
        ray.train.report({"step": 3}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def falls_out(_: dict[str, Any]) -> None:
    """As when the network between the pods lets a process group form, and no more."""
    raise RuntimeError("NCCL error: remote process exited or there was a network error, ncclRemoteError")


def spins(_: dict[str, Any]) -> None:
    ray.train.report({"step": 7})
    while ray.train.get_context().get_world_rank() == 1:
        pass
    distributed.barrier()


def blocks(_: dict[str, Any]) -> None:
    """No report, but a step; then a data loader that never gives the next batch."""
    weights = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weights], lr=0.1)
    for batch in torch.utils.data.DataLoader(_Stuck(), batch_size=1):
        (weights * batch).sum().backward()
        optimizer.step()


class _Stuck(torch.utils.data.Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == 3:
            threading.Event().wait()
        return torch.ones(2)


def freezes(_: dict[str, Any]) -> None:
    """A step, and no report: Ray hears of one only when no rank is frozen."""
    torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1).step()
    if ray.train.get_context().get_world_rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    distributed.barrier()


def waits_for_itself(_: dict[str, Any]) -> None:
    ray.train.report({"step": 1})
    tensor = torch.zeros(1)
    distributed.recv(tensor, src=1 - ray.train.get_context().get_world_rank())


def floods(config: dict[str, Any]) -> None:
    """50 MB/s on standard output."""
    lines = ("x" * 1023 + "\n") * 2560
    began = time.monotonic()
    for part in range(20 * config["seconds"]):
        sys.stdout.write(lines)
        sys.stdout.flush()
        time.sleep(max(0.0, began + part / 20 - time.monotonic()))
        ray.train.report({"step": part})
    print("the end of the flood")
