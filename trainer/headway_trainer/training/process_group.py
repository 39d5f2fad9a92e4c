"""The workers that train together, as the loop sees them: what it needs of torch.distributed, and a group of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

_ONE_ORDER = 2
"""Summands that give the same sum in whatever order they are added."""


class Group(Protocol):
    """A group of workers. Every rank has to make the same calls in the same order."""

    rank: int
    world_size: int

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks; the tensor itself may be changed."""

    def from_first(self, numbers: list[int]) -> list[int]:
        """Rank 0's numbers, on every rank."""

    def gather(self, text: str) -> list[str]:
        """Every rank's text, on every rank."""

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows of all ranks, in the order of the ranks, on every rank; each has its own number of them."""

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every rank rank 0's tensors, in place; all have them in the same order, of the same shapes and types."""

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model, with gradients averaged over the group after each backward pass."""


class Alone:
    """A group of one."""

    rank = 0
    world_size = 1

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor itself."""
        return tensor

    def from_first(self, numbers: list[int]) -> list[int]:
        """The numbers themselves."""
        return numbers

    def gather(self, text: str) -> list[str]:
        """The text alone."""
        return [text]

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor itself."""
        return tensor

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """They are its own."""

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model itself."""
        return model


class Workers:
    """The default process group of torch.distributed, over gloo on CPUs and NCCL on GPUs."""

    def __init__(self, device: torch.device) -> None:
        self.rank = distributed.get_rank()
        self.world_size = distributed.get_world_size()
        self._device = device

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """An all-reduce."""
        on_device = tensor.to(self._device)
        distributed.all_reduce(on_device)
        return on_device.to(tensor.device)

    def from_first(self, numbers: list[int]) -> list[int]:
        """A broadcast; every rank gives a list of the same length."""
        tensor = torch.tensor(numbers, dtype=torch.int64, device=self._device)
        distributed.broadcast(tensor, src=0)
        return [int(number) for number in tensor.tolist()]

    def gather(self, text: str) -> list[str]:
        """As gather_rows, of the texts' bytes, with a length for each."""
        data = (
            torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) if text else torch.zeros(0, dtype=torch.uint8)
        )
        return [bytes(part.tolist()).decode() for part in self._parts(data)]

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """Two all-gathers: of the numbers of rows, and of the rows padded to the longest."""
        return torch.cat(self._parts(tensor)).to(tensor.device)

    def _parts(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        length = torch.tensor([len(tensor)], dtype=torch.int64, device=self._device)
        lengths = [torch.zeros_like(length) for _ in range(self.world_size)]
        distributed.all_gather(lengths, length)
        sizes = [int(size.item()) for size in lengths]
        padded = torch.zeros(max(sizes), *tensor.shape[1:], dtype=tensor.dtype, device=self._device)
        padded[: len(tensor)] = tensor.to(self._device)
        parts = [torch.zeros_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return [part[:size] for part, size in zip(parts, sizes, strict=True)]

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """One broadcast of the bytes of all tensors."""
        shared = [tensor.detach() for tensor in tensors]
        if not shared:
            return
        together = torch.cat([_bytes(tensor) for tensor in shared]).to(self._device)
        distributed.broadcast(together, src=0)
        start = 0
        for tensor in shared:
            stop = start + tensor.numel() * tensor.element_size()
            first = together[start:stop].clone()  # a view as another type has to begin where its memory does
            tensor.copy_(first.view(tensor.dtype).reshape(tensor.shape))
            start = stop

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model in DistributedDataParallel."""
        device_ids = [self._device] if self._device.type == "cuda" else None
        parallel = DistributedDataParallel(model, device_ids=device_ids)
        if self._device.type == "cpu" and self.world_size > _ONE_ORDER:
            _settle_buckets(parallel)
        return parallel


def _settle_buckets(parallel: DistributedDataParallel) -> None:
    """Let the gradients lie in the buckets from the first step on as they do in every other.

    DistributedDataParallel orders its buckets anew after the first backward pass. Of three summands or more, the order
    in which gloo adds them depends on the place in the bucket: so the first step after a resume would have other sums
    than the same step of a run that was never stopped. Two summands have one order.
    """
    parallel.reducer._push_all_rebuilt_params()
    parallel.reducer._rebuild_buckets()


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's content, uint8 (bytes,), whatever its type and its layout in memory."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def current_group(device: torch.device) -> Group:
    """The process group that this process belongs to."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        return Workers(device)
    return Alone()
