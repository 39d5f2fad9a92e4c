"""Numbers and booleans: one feature each, an empty value replaced by what is usual in the training rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.base import StatusSection
from headway_trainer.data.transform.graph import Graph, Tensor

Floats = npt.NDArray[np.float64]


class _Filled(StatusSection):
    """One column of numbers that becomes one feature."""

    inputs: tuple[str]
    """The column."""
    fill: float
    """What stands in for an empty value."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The feature's name: the column's."""
        return self.inputs

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """A number for each row, NaN where it is missing."""
        return (Tensor(name=self.inputs[0], type="double", shape=(1,)),)

    def apply(self, table: pa.Table) -> Floats:
        """(rows, 1). Whole numbers beyond 2^53 are rounded, as every float is."""
        return _filled(table[self.inputs[0]], self.fill).reshape(-1, 1)

    def onnx(self, graph: Graph) -> str:
        """The value (rows, 1), double."""
        return side_by_side([self], graph)


class Number(_Filled):
    """A quantity. An empty value becomes the median of the training rows."""

    kind: Literal["number"] = "number"

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray) -> Number:
        """By the column's values in the training rows: 0 stands in for an empty one where all of them are."""
        known = train.drop_null().to_numpy()
        return Number(inputs=(name,), fill=float(np.median(known)) if len(known) else 0.0)

    @property
    def quantities(self) -> tuple[bool, ...]:
        """It is scaled."""
        return (True,)


class Boolean(_Filled):
    """0 and 1. An empty value becomes the more frequent one of the training rows."""

    kind: Literal["boolean"] = "boolean"

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray) -> Boolean:
        """By the column's values in the training rows: 0 stands in for an empty one where all of them are."""
        known = train.drop_null()
        most = bool(known) and pc.mean(known.cast(pa.float64())).as_py() > 0.5  # noqa: PLR2004 - the more frequent one
        return Boolean(inputs=(name,), fill=float(most))

    @property
    def quantities(self) -> tuple[bool, ...]:
        """It is not scaled."""
        return (False,)


def side_by_side(columns: Sequence[_Filled], graph: Graph) -> str:
    """The value (rows, columns), double, of columns of numbers: of thousands by as few operators as of one."""
    values = [graph.input(column.tensors[0]) for column in columns]
    value = graph.node("Concat", *values, axis=1) if len(values) > 1 else values[0]
    fill = graph.constant(np.array([column.fill for column in columns]))
    return graph.node("Where", graph.node("IsNaN", value), fill, value)


def _filled(column: pa.ChunkedArray, fill: float) -> Floats:
    # Not safe means that whole numbers beyond 2^53 are rounded.
    known = column if column.type == pa.float64() else column.cast(pa.float64(), safe=False)
    numbers: npt.NDArray[Any] = (known.fill_null(fill) if known.null_count else known).to_numpy()
    return np.where(np.isnan(numbers), fill, numbers)
