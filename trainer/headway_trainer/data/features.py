"""From raw rows to features on the store, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.bundle import FileDigest
from headway_trainer.data.info import SPLITS, w_file, x_file, y_file
from headway_trainer.data.shards import write_array, write_blocks
from headway_trainer.data.split import Parts
from headway_trainer.data.transform import ArrayChain, Chain, TableChain
from headway_trainer.storage import Store

Indices = npt.NDArray[np.int64]
BLOCK_BYTES = 4 * 1024 * 1024
"""Features that are made and written at once."""
FEWEST_ROWS = 256
"""Of a table in a block, as each block costs some time for each column."""
BLOCKS_OF_DISK = 16
"""Blocks of them for which rows are fetched from the disk at once."""


def write_features(
    store: Store,
    rows: Callable[[Indices], Any],
    y: npt.NDArray[Any],
    weights: npt.NDArray[np.float32] | None,
    *,
    parts: Parts,
    chain: Chain,
    on_disk: bool,
) -> list[FileDigest]:
    """Write each part's features, targets and weights; what was written.

    rows gives raw rows by their numbers; on_disk: from the disk, where it is asked for many at once. y: (rows, ...).
    weights: (rows,), none for all alike. Raises StorageError.
    """
    at_once = BLOCKS_OF_DISK if on_disk else 1
    files = []
    for name, index in zip(SPLITS, parts.indices, strict=True):
        shape, dtype = (len(index), *chain.input_shape), np.uint8 if stays(chain) else np.float32
        blocks = (_stored(block, chain) for block in _in_blocks(rows, index, chain, at_once=at_once))
        files.append(write_blocks(store, x_file(name), shape, dtype, blocks))
        files.append(write_array(store, y_file(name), y[index]))
        if weights is not None:
            files.append(write_array(store, w_file(name), weights[index]))
    return files


def stays(chain: Chain) -> bool:
    """Whether rows are stored as they are: numbers of 8 bits, a quarter of the size, for `batches.Feed` to scale."""
    return isinstance(chain, ArrayChain) and chain.tensor.type == "uint8"


def _stored(rows: Any, chain: Chain) -> npt.NDArray[Any]:
    """Rows as they are stored."""
    return rows if stays(chain) else chain.apply(rows)


def _in_blocks(rows: Callable[[Indices], Any], index: Indices, chain: Chain, *, at_once: int) -> Iterator[Any]:
    """The rows of these numbers in blocks whose features take BLOCK_BYTES in 64 bits; of a wide table, FEWEST_ROWS at
    least. at_once blocks are fetched at once."""
    least = FEWEST_ROWS if isinstance(chain, TableChain) else 1
    step = max(least, BLOCK_BYTES // (8 * max(1, math.prod(chain.input_shape))))
    for start in range(0, len(index), at_once * step):
        some = rows(index[start : start + at_once * step])
        for begin in range(0, len(some), step):
            yield some.slice(begin, step) if isinstance(some, pa.Table) else some[begin : begin + step]
