"""Batches of rows that stay on the store: a window of blocks is read while the one before it is learnt from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from headway_trainer.data.batches import Batch, Feed
from headway_trainer.data.info import Blocks, DataInfo
from headway_trainer.data.order import BlockOrder
from headway_trainer.data.stored import StoredRows

READERS = 4
"""Blocks read at the same time: an object store takes long for each, but answers several at once."""


class BlockBatches:
    """A shard's rows, in the order of its blocks."""

    def __init__(
        self,
        x: StoredRows,
        y: torch.Tensor,
        info: DataInfo,
        device: torch.device,
        *,
        weights: torch.Tensor | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._x, self._y, self._weights = x, y, weights
        self._blocks = info.blocks or Blocks.of(x.row_bytes)
        self._device = device
        self._feed = Feed(info, device)
        self._clock = clock
        self.waited = 0.0
        """Seconds that whoever works on the batches has waited for them, and for what is done to them on a CPU."""

    def __len__(self) -> int:
        return len(self._y)

    def epoch(self, bounds: Iterable[tuple[int, int]], *, seed: int, epoch: int, rank: int) -> Iterator[Batch]:
        """The batches that bounds cut from the order of an epoch (counted from 0), on the device."""
        return self._over(BlockOrder.shuffled(len(self), self._blocks, seed=seed, epoch=epoch, rank=rank), bounds)

    def in_order(self, bounds: Iterable[tuple[int, int]]) -> Iterator[Batch]:
        """The batches that bounds cut from the shard as it is."""
        return self._over(BlockOrder.in_order(len(self), self._blocks), bounds)

    def _over(self, order: BlockOrder, bounds: Iterable[tuple[int, int]]) -> Iterator[Batch]:
        """bounds follow each other; what is read begins with the window that the first one lies in."""
        with _Windows(self._x, order) as windows:
            for start, stop in bounds:
                began = self._clock()
                parts = [windows.rows(*piece) for piece in order.pieces(start, stop)]
                x = torch.cat([part for part, _ in parts])
                index = torch.cat([rows for _, rows in parts])
                if self._device.type == "cuda":
                    x = x.pin_memory()
                weights = None if self._weights is None else self._weights[index].to(self._device, non_blocking=True)
                batch = Batch(self._feed(x), self._y[index].to(self._device, non_blocking=True), weights)
                self.waited += self._clock() - began
                yield batch


class _Windows:
    """Reads windows one after the other, the next one ahead."""

    def __init__(self, x: StoredRows, order: BlockOrder) -> None:
        self._x, self._order = x, order
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="headway-blocks")
        self._ahead: tuple[int, list[Future[None]], torch.Tensor] | None = None
        self._number = -1
        self._rows = torch.empty(0)
        self._shuffled = self._index = torch.empty(0, dtype=torch.int64)

    def __enter__(self) -> _Windows:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.shutdown(cancel_futures=True)

    def rows(self, window: int, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows [start, stop) of a window in its order, and their numbers in the shard."""
        if window != self._number:
            self._take(window)
        some = self._shuffled[start:stop]
        return self._rows[some], self._index[some]

    def _take(self, window: int) -> None:
        if self._ahead is None or self._ahead[0] != window:
            self._ahead = self._begin(window)
        _, reads, rows = self._ahead
        self._rows = torch.empty(0)  # before the one after it is begun: two are in memory at most
        for read in reads:
            read.result()
        blocks, self._shuffled = self._order.window(window)
        self._index = torch.cat([torch.arange(*self._order.bounds(block)) for block in blocks])
        self._number, self._rows = window, rows
        self._ahead = self._begin(window + 1) if window + 1 < len(self._order.ends) else None

    def _begin(self, window: int) -> tuple[int, list[Future[None]], torch.Tensor]:
        blocks, shuffled = self._order.window(window)
        rows = torch.empty((len(shuffled), *self._x.shape[1:]), dtype=self._x.dtype)
        reads, at = [], 0
        for start, stop in map(self._order.bounds, blocks):
            reads.append(self._readers.submit(self._read, start, stop, rows[at : at + stop - start]))
            at += stop - start
        return window, reads, rows

    def _read(self, start: int, stop: int, into: torch.Tensor) -> None:
        into.numpy()[...] = self._x.read(start, stop)
