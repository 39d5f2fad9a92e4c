"""From typed columns to numbers: fitted on the training rows alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_trainer.data.content import TableContent
from headway_trainer.data.info import Column
from headway_trainer.errors import UserError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    x: npt.NDArray[np.float64]
    names: list[str]
    columns: list[Column]
    numeric: npt.NDArray[np.bool_]
    notes: list[str] = field(default_factory=list)


def encode_table(table: pa.Table, train: Indices) -> Encoded:
    raise NotImplementedError


def target_values(content: TableContent) -> npt.NDArray[Any]:
    raise NotImplementedError


def fill_array(x: npt.NDArray[Any], train: Indices) -> tuple[npt.NDArray[np.floating], list[str]]:
    """x as floating-point numbers, with NaN in flat rows replaced by the feature's median over the training rows."""
    small = x.dtype == np.float32 or x.dtype.itemsize < np.dtype(np.float32).itemsize
    x = x.astype(np.float32 if small else np.float64, copy=False)
    if np.isinf(x).any():
        row = int(np.argwhere(np.isinf(x))[0][0])
        raise UserError(f"the features hold an infinite number in row {row + 1}: replace it by a finite number or NaN")
    empty = np.isnan(x)
    if not empty.any():
        return x, []
    if x.ndim > 2:  # noqa: PLR2004 - rows and features
        row = int(np.argwhere(empty)[0][0])
        raise UserError(f"the features hold NaN in row {row + 1}: images must be complete; take such rows out")
    known = [column[~np.isnan(column)] for column in x[train].T]
    medians = np.array([np.median(column) if column.size else 0.0 for column in known], dtype=x.dtype)
    x = np.where(empty, medians, x)
    return x, [f"{int(empty.sum())} empty values of features were replaced by the median of the training part."]
