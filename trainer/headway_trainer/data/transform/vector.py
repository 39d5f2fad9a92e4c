"""Vectors: a list of numbers a row, such as an embedding, each number a feature. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.base import StatusSection
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.data.transform.graph import Graph, Tensor

Floats = npt.NDArray[np.float64]
_BLOCK_NUMBERS = 2**20
"""Numbers that are made of lists at once."""


class Vector(StatusSection):
    """One column of lists of the same length. A missing number becomes the median of the training rows."""

    kind: Literal["vector"] = "vector"
    inputs: tuple[str]
    """The column."""
    fill: list[float]
    """What stands in for a missing number, for each place of the list; a missing list lacks all of them."""

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray, scratch: Scratch = MEMORY) -> Vector:
        """By the column's values in the training rows: 0 stands in where all of them are missing.

        scratch: where they lie, and where they may lie once more, place by place.
        """
        shape = (len(train), train.type.list_size)
        places = scratch.transposed(number_blocks(train), shape, np.float64)
        known = (place[~np.isnan(place)] for place in places)
        return Vector(inputs=(name,), fill=[float(np.median(column)) if len(column) else 0.0 for column in known])

    @property
    def outputs(self) -> tuple[str, ...]:
        """`column[place]` for each number."""
        return tuple(f"{self.inputs[0]}[{index}]" for index in range(len(self.fill)))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The list of each row, NaN where a number is missing."""
        return (Tensor(name=self.inputs[0], type="double", shape=(len(self.fill),)),)

    @property
    def quantities(self) -> tuple[bool, ...]:
        """All are scaled."""
        return (True,) * len(self.fill)

    def apply(self, table: pa.Table) -> Floats:
        """(rows, length)."""
        values = numbers_of(table[self.inputs[0]])
        return np.where(np.isnan(values), np.array(self.fill), values)

    def onnx(self, graph: Graph) -> str:
        """The value (rows, length), double."""
        value = graph.input(self.tensors[0])
        return graph.node("Where", graph.node("IsNaN", value), graph.constant(np.array(self.fill)), value)


def number_blocks(column: pa.ChunkedArray) -> Iterator[Floats]:
    """As numbers_of, by blocks of rows."""
    step = max(1, _BLOCK_NUMBERS // max(1, column.type.list_size))
    return (numbers_of(column.slice(start, step)) for start in range(0, len(column), step))


def numbers_of(column: pa.ChunkedArray) -> Floats:
    """A column of fixed-size lists as (rows, length), NaN where a number or the list is missing."""
    size = column.type.list_size
    parts = []
    for chunk in column.chunks:
        flat = chunk.values.slice(chunk.offset * size, len(chunk) * size).cast(pa.float64())
        values = flat.fill_null(float("nan")).to_numpy(zero_copy_only=False).reshape(len(chunk), size)
        missing = chunk.is_null().to_numpy(zero_copy_only=False)
        parts.append(np.where(missing[:, np.newaxis], np.nan, values))
    return np.concatenate(parts) if parts else np.empty((0, size))
