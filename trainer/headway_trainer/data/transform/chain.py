"""All transforms of a data set, one after the other: the only place that knows which rows train. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from headway_api.base import StatusSection
from headway_api.bundle import TensorType
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.data.transform.category import Category
from headway_trainer.data.transform.graph import Graph, Tensor
from headway_trainer.data.transform.number import Boolean, Number, side_by_side
from headway_trainer.data.transform.scale import Method, Scale
from headway_trainer.data.transform.times import Times
from headway_trainer.data.transform.tokens import Tokens
from headway_trainer.data.transform.vector import Vector
from headway_trainer.data.transform.words import Words

Indices = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]
_COLUMNS_BYTES = 4 * 1024 * 1024
"""Training rows of columns that are picked out at once."""
_BLOCK_BYTES = 8 * 1024 * 1024
"""Training rows of an array that are looked at at once."""
_SCALED_BYTES = 64 * 1024 * 1024
"""Features of columns that are looked at at once to scale them."""

ColumnTransform = Annotated[Number | Boolean | Category | Times | Words | Tokens | Vector, Field(discriminator="kind")]
"""A fitted transform of a table's columns.

`inputs` are the columns, `outputs` the features' names, and `quantities` says of each feature whether it is scaled;
`apply(table)` gives them as float64 (rows, outputs), and `onnx(graph)` the same as a value of a graph, fed by
`tensors`.
"""


@dataclass(frozen=True)
class Step:
    """A transform that is to be fitted to a column."""

    column: str
    fit: Callable[[str, pa.ChunkedArray], ColumnTransform]
    """From the column's name and its values in the training rows to the fitted transform."""


class TableChain(StatusSection):
    """From a table to features: columns one by one, side by side, scaled, as float32."""

    kind: Literal["table"] = "table"
    transforms: list[ColumnTransform]
    """Each column's, in the order of the features."""
    scale: Scale = Scale()
    """How the features are scaled."""

    @staticmethod
    def fit(steps: Sequence[Step], table: pa.Table, train: Indices, method: Method) -> TableChain:
        """Fit each step, and the scaling, on the rows `train` of the table; no other row is shown to any of them.

        Few columns at a time: the training rows of all are never picked out at once; those that follow one another are
        not picked out at all.
        """
        transforms: list[ColumnTransform] = []
        scales: list[Scale] = []
        wide = max(1, _COLUMNS_BYTES // (8 * max(1, len(train))))
        for start in range(0, len(steps), wide):
            some = steps[start : start + wide]
            rows = _rows(table.select(list(dict.fromkeys(step.column for step in some))), train)
            fitted = [step.fit(step.column, rows[step.column]) for step in some]
            transforms += fitted
            if method != "none" and len(train):
                scales += [_scale(fitted, rows, method)]
        return TableChain(transforms=transforms, scale=Scale.beside(scales) if scales else Scale())

    @property
    def feature_names(self) -> list[str]:
        """The features' names."""
        return [name for transform in self.transforms for name in transform.outputs]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of features."""
        return (len(self.feature_names),)

    @property
    def tensors(self) -> list[Tensor]:
        """The columns, each once."""
        tensors = {tensor.name: tensor for transform in self.transforms for tensor in transform.tensors}
        return list(tensors.values())

    def apply(self, table: pa.Table) -> Features:
        """The features of all rows of the table, float32 (rows, features)."""
        return self.scale.apply(self._encode(table))

    def onnx(self, graph: Graph) -> str:
        """The features as a value (rows, features), float."""
        parts: list[str] = []
        for of_numbers, some in itertools.groupby(self.transforms, lambda one: isinstance(one, Number | Boolean)):
            alike = list(some)
            numbers = [one for one in alike if isinstance(one, Number | Boolean)]
            parts += [side_by_side(numbers, graph)] if of_numbers else [one.onnx(graph) for one in alike]
        features = graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        return self.scale.onnx(graph, features, self.input_shape, np.float64)

    def _encode(self, table: pa.Table) -> npt.NDArray[np.float64]:
        x = np.empty((len(table), *self.input_shape))
        start = 0
        for transform in self.transforms:
            stop = start + len(transform.outputs)
            x[:, start:stop] = transform.apply(table)
            start = stop
        return x


def _rows(table: pa.Table, index: Indices) -> pa.Table:
    """The rows of these numbers."""
    if len(index) and index[-1] - index[0] + 1 == len(index) and (np.diff(index) == 1).all():
        return table.slice(int(index[0]), len(index))
    return table.take(pa.array(index))


def _scale(transforms: Sequence[ColumnTransform], rows: pa.Table, method: Method) -> Scale:
    quantities = np.array([one for transform in transforms for one in transform.quantities])
    count = len(quantities)
    if not quantities.any():
        return Scale(method=method, offset=[0.0] * count, divisor=[1.0] * count)
    chain, step = TableChain(transforms=list(transforms)), max(1, _SCALED_BYTES // (8 * count))

    def blocks() -> Iterator[npt.NDArray[np.float64]]:
        for start in range(0, len(rows), step):
            yield chain._encode(rows.slice(start, step))

    return Scale.fit_blocks(blocks, method, quantities)


class ArrayChain(StatusSection):
    """From an array of numbers (rows, *row_shape) to features: empty values filled in, scaled, as float32."""

    kind: Literal["array"] = "array"
    tensor: Tensor
    """The array; the type of its elements is the precision that it is scaled in, or uint8."""
    names: list[str] | None = None
    """The features' names, where the source has some."""
    fill: list[float] = Field(default_factory=list)
    """What stands in for NaN in each feature: the training part's median. Empty for images, which must be complete."""
    scale: Scale = Scale()
    """How the features are scaled."""

    @staticmethod
    def fit(
        name: str,
        x: npt.NDArray[Any],
        train: Indices,
        method: Method,
        names: list[str] | None = None,
        *,
        scratch: Scratch = MEMORY,
    ) -> ArrayChain:
        """Fit the medians and the scaling on the rows `train` of x, (rows, *row_shape); name is the array's.

        scratch: where x lies, and where it may lie once more.
        """
        tensor = Tensor(name=name, type=_tensor_type(x.dtype), shape=x.shape[1:])
        fill = _medians(scratch.by_columns(x), train) if x.ndim == 2 else []  # noqa: PLR2004 - rows and features
        chain = ArrayChain(tensor=tensor, names=names, fill=fill)
        step = max(1, _BLOCK_BYTES // (8 * max(1, math.prod(x.shape[1:]))))

        def blocks() -> Iterator[npt.NDArray[np.floating]]:
            for start in range(0, len(train), step):
                yield chain._filled(_floating(x[train[start : start + step]]))

        return chain.model_copy(update={"scale": Scale.fit_blocks(blocks, method)})

    @property
    def feature_names(self) -> list[str] | None:
        """The features' names; none where the source has none."""
        return self.names

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of features."""
        return self.tensor.shape

    @property
    def tensors(self) -> list[Tensor]:
        """The array."""
        return [self.tensor]

    def apply(self, x: npt.NDArray[Any]) -> Features:
        """The features of all rows of x, float32 (rows, *row_shape)."""
        return self.scale.apply(self._filled(_floating(x)))

    def onnx(self, graph: Graph) -> str:
        """The features as a value (rows, *row_shape), float."""
        value = graph.input(self.tensor)
        dtype = np.float64 if self.tensor.type == "double" else np.float32
        if self.tensor.type == "uint8":
            value = graph.node("Cast", value, to="float")
        elif self.fill:
            value = graph.node("Where", graph.node("IsNaN", value), graph.constant(np.array(self.fill, dtype)), value)
        return self.scale.onnx(graph, value, self.input_shape, dtype)

    def _filled(self, x: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        if not self.fill or not (empty := np.isnan(x)).any():
            return x
        return np.where(empty, np.array(self.fill, dtype=x.dtype), x)


Chain = Annotated[TableChain | ArrayChain, Field(discriminator="kind")]
"""All that is done to raw rows before a model sees them."""


def _floating(x: npt.NDArray[Any]) -> npt.NDArray[np.floating]:
    """x as float32 where that holds its numbers, otherwise as float64."""
    small = x.dtype == np.float32 or x.dtype.itemsize < np.dtype(np.float32).itemsize
    floats: npt.NDArray[np.floating] = x.astype(np.float32 if small else np.float64, copy=False)
    return floats


def _tensor_type(dtype: np.dtype[Any]) -> TensorType:
    if dtype == np.uint8:
        return "uint8"
    return "float" if _floating(np.empty(0, dtype)).dtype == np.float32 else "double"


def _medians(features: npt.NDArray[Any], train: Indices) -> list[float]:
    """Of each feature's numbers, (features, rows), in the rows `train`; 0 where it has none."""
    columns = (_floating(column[train]) for column in features)
    known = (column[~np.isnan(column)] for column in columns)
    return [float(np.median(column)) if column.size else 0.0 for column in known]
