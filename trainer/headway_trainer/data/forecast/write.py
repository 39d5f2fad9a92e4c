"""Series and windows on the store: each row once, and of each window where it begins and what is forecast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.bundle import FileDigest
from headway_trainer.data.forecast.info import SERIES_FILE
from headway_trainer.data.forecast.plan import Plan
from headway_trainer.data.info import SPLITS, x_file, y_file
from headway_trainer.data.sample import odd_rows, spread
from headway_trainer.data.shards import write_array, write_blocks
from headway_trainer.data.split.parts import Indices
from headway_trainer.data.transform import TableChain
from headway_trainer.storage import Store

_BLOCK_BYTES = 4 * 1024 * 1024
_SAMPLE_WINDOWS = 64
_SAMPLE_ROWS = 16_384
"""Rows that the windows of a sample have together, at least one window."""


def write_windows(
    store: Store,
    plan: Plan,
    rows: Callable[[Indices], Any],
    y: npt.NDArray[np.float32],
    chain: TableChain,
) -> list[FileDigest]:
    """Write the features of all rows, and each part's windows; what was written.

    rows gives rows of the table by their numbers; y: (rows,) or (rows, targets), standardised, as the table has them.
    """
    order, features = plan.series.order, chain.input_shape[0]
    step = max(1, _BLOCK_BYTES // (8 * features))

    def blocks() -> Iterator[npt.NDArray[np.float32]]:
        for start in range(0, len(order), step):
            yield chain.apply(rows(order[start : start + step]))

    files = [write_blocks(store, SERIES_FILE, (len(order), features), np.float32, blocks())]
    wide = plan.forecast.horizon * (1 if y.ndim == 1 else y.shape[1])
    for name, starts in zip(SPLITS, plan.windows.starts, strict=True):
        files.append(write_array(store, x_file(name), starts))
        files.append(write_blocks(store, y_file(name), (len(starts), wide), np.float32, plan.targets_of(y, starts)))
    return files


def sample_windows(plan: Plan, table: pa.Table, chain: TableChain) -> pa.Table:
    """The seen rows of some windows that no weight is fitted to, one window after the other: some with missing values
    or unseen categories first. (windows * history, columns)."""
    train, *held_out = plan.windows.starts
    unseen = np.concatenate(held_out)
    candidates = np.sort(unseen if len(unseen) else train)
    columns = table.select([tensor.name for tensor in chain.tensors])
    history = plan.forecast.history
    odd = np.concatenate([[0], np.cumsum(odd_rows(columns, chain)[plan.series.order])])
    has_odd = odd[candidates + history] > odd[candidates]
    count = max(1, min(_SAMPLE_WINDOWS, _SAMPLE_ROWS // history))
    chosen = spread(candidates[has_odd], count // 2)
    others = np.setdiff1d(candidates, chosen)
    chosen = np.sort(np.concatenate([chosen, spread(others, count - len(chosen))]))
    rows = plan.series.order[(chosen[:, np.newaxis] + np.arange(history)).ravel()]
    return columns.take(pa.array(rows)).combine_chunks()
