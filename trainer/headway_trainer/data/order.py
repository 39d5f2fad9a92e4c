"""The order of a shard's rows in an epoch: any, or, where they are read block by block, that of blocks and of rows
within a window of blocks. Pure.

Rows were dealt at random when they were prepared, so that any block of a shard is a random sample of it; within a
window, which memory holds, any row may come after any other. Every row comes once an epoch.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from headway_trainer.data.info import Blocks
from headway_trainer.seeds import order_seed


def epoch_order(rows: int, *, seed: int, epoch: int, rank: int) -> torch.Tensor:
    """The order of a shard's rows in an epoch (counted from 0): a permutation, int64 (rows,)."""
    generator = torch.Generator().manual_seed(order_seed(seed, epoch, rank))
    return torch.randperm(rows, generator=generator)


@dataclass(frozen=True)
class BlockOrder:
    """The order of a shard's rows in one pass."""

    rows: int
    """Of the shard."""
    blocks: Blocks
    order: tuple[int, ...]
    """The numbers of the blocks, in the order in which they are read."""
    seed: int | None
    """What rows within a window are shuffled by; none where they keep their order."""

    @staticmethod
    def shuffled(rows: int, blocks: Blocks, *, seed: int, epoch: int, rank: int) -> BlockOrder:
        """The order of an epoch (counted from 0): the same whenever it is asked for."""
        seed = order_seed(seed, epoch, rank)
        count = -(-rows // blocks.rows)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
        return BlockOrder(rows, blocks, tuple(order), seed)

    @staticmethod
    def in_order(rows: int, blocks: Blocks) -> BlockOrder:
        """The shard's own order."""
        return BlockOrder(rows, blocks, tuple(range(-(-rows // blocks.rows))), None)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each window ends in the order."""
        ends, end = [], 0
        for start in range(0, len(self.order), self.blocks.window):
            end += sum(stop - first for first, stop in map(self.bounds, self.order[start : start + self.blocks.window]))
            ends.append(end)
        return tuple(ends)

    def bounds(self, block: int) -> tuple[int, int]:
        """The rows of a block in the shard."""
        return block * self.blocks.rows, min(self.rows, (block + 1) * self.blocks.rows)

    def window(self, number: int) -> tuple[tuple[int, ...], torch.Tensor]:
        """A window's blocks as they are read, and the order of the rows in them, int64 (rows of the window,)."""
        size = self.blocks.window
        blocks = self.order[number * size : (number + 1) * size]
        rows = self.ends[number] - (self.ends[number - 1] if number else 0)
        if self.seed is None:
            return blocks, torch.arange(rows)
        generator = torch.Generator().manual_seed((self.seed + number + 1) % 2**63)
        return blocks, torch.randperm(rows, generator=generator)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The rows [start, stop) of the order as (window, first, last) within the windows that they are in."""
        window = bisect.bisect_right(self.ends, start)
        while start < stop:
            begin = self.ends[window - 1] if window else 0
            end = min(stop, self.ends[window])
            yield window, start - begin, end - begin
            start, window = end, window + 1
