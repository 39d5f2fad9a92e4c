"""Scaling of features by the training part's own statistics. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from headway_api.base import StatusSection
from headway_trainer.data.spread import is_constant
from headway_trainer.data.transform.graph import Graph

Method = Literal["standard", "minMax", "none"]
_IMAGE_AXES = 4
"""(rows, channels, height, width)."""
_SERIES_AXES = 3
"""(rows, time, channels)."""
_SMALLEST = 1e-30
"""A feature that varies by less is constant."""
LARGEST_SCALED = 1e30
"""A row outside the training part may be any number of deviations away; 32 bits have to hold it."""


@dataclass(frozen=True)
class _Spread:
    """What a first look at all rows tells, each along the axes that are not in `axes`; float64."""

    axes: tuple[int, ...]
    count: int
    """Numbers that each total is of."""
    total: npt.NDArray[np.float64]
    least: npt.NDArray[np.float64]
    most: npt.NDArray[np.float64]

    def along(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Values of channels or features in a shape that a block of rows takes."""
        return np.expand_dims(values, self.axes)


def _spread(blocks: Callable[[], Iterable[npt.NDArray[np.floating]]]) -> _Spread | None:
    """None without a row."""
    found: _Spread | None = None
    for block in blocks():
        if not len(block):
            continue
        axes = {_IMAGE_AXES: (0, 2, 3), _SERIES_AXES: (0, 1)}.get(block.ndim, (0,))
        count = math.prod(block.shape[axis] for axis in axes)
        total = block.sum(axis=axes, dtype=np.float64)
        least, most = block.min(axis=axes).astype(np.float64), block.max(axis=axes).astype(np.float64)
        if found is not None:
            count, total = count + found.count, total + found.total
            least, most = np.minimum(least, found.least), np.maximum(most, found.most)
        found = _Spread(axes, count, total, least, most)
    return found


class Scale(StatusSection):
    """What was done to the features: `(x - offset) / divisor`, cut at 1e30, by the training part's own statistics."""

    method: Method = "none"
    """standard: mean and standard deviation; minMax: minimum and range."""
    per: Literal["feature", "channel"] = "feature"
    """Which axis of a row offset and divisor run along: the features, or the channels of an image or a series."""
    offset: list[float] = Field(default_factory=list)
    """What is taken off; empty for none."""
    divisor: list[float] = Field(default_factory=list)
    """What is divided by; 1 for a constant feature."""

    @staticmethod
    def fit(train: npt.NDArray[np.floating], method: Method, quantities: npt.NDArray[np.bool_] | None = None) -> Scale:
        """The scaling by the statistics of train, shape (rows, *row_shape).

        Images (rows, channels, height, width) and series (rows, time, channels) are scaled by channel, all else by
        feature. quantities (features,) says which features are scaled at all.
        """
        return Scale.fit_blocks(lambda: [train], method, quantities)

    @staticmethod
    def fit_blocks(
        blocks: Callable[[], Iterable[npt.NDArray[np.floating]]],
        method: Method,
        quantities: npt.NDArray[np.bool_] | None = None,
    ) -> Scale:
        """As fit, of rows that come in blocks; they are asked for twice, and one block is held at a time."""
        found = _spread(blocks) if method != "none" else None
        if found is None:
            return Scale()
        divisor = found.most - found.least
        offset = found.least
        if method == "standard":
            offset = found.total / found.count
            squares = sum((((block - found.along(offset)) ** 2).sum(axis=found.axes) for block in blocks()), start=0.0)
            divisor = np.sqrt(squares / found.count)
        divisor = np.where(is_constant(found.least, found.most) | (divisor <= _SMALLEST), 1.0, divisor)
        if quantities is not None:
            offset, divisor = np.where(quantities, offset, 0.0), np.where(quantities, divisor, 1.0)
        return Scale(
            method=method,
            per="feature" if found.axes == (0,) else "channel",
            offset=offset.ravel().tolist(),
            divisor=divisor.ravel().tolist(),
        )

    @staticmethod
    def beside(scales: Sequence[Scale]) -> Scale:
        """The scaling of features that stand side by side."""
        return Scale(
            method=scales[0].method,
            offset=[value for scale in scales for value in scale.offset],
            divisor=[value for scale in scales for value in scale.divisor],
        )

    def apply(self, x: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """x, shape (rows, *row_shape), scaled in its own precision, as float32."""
        if self.method != "none":
            offset, divisor = self.statistics(x.shape[1:], x.dtype)
            with np.errstate(over="ignore"):
                x = (x - offset) / divisor
        scaled: npt.NDArray[np.float32] = np.clip(x, -LARGEST_SCALED, LARGEST_SCALED).astype(np.float32, copy=False)
        return scaled

    def onnx(self, graph: Graph, x: str, row_shape: tuple[int, ...], dtype: type[np.floating]) -> str:
        """The value x, (rows, *row_shape) of dtype, scaled; float."""
        if self.method != "none":
            offset, divisor = (graph.constant(value) for value in self.statistics(row_shape, np.dtype(dtype)))
            x = graph.node("Div", graph.node("Sub", x, offset), divisor)
        bounds = [graph.constant(np.array(bound, dtype=dtype)) for bound in (-LARGEST_SCALED, LARGEST_SCALED)]
        clipped = graph.node("Clip", x, *bounds)
        return clipped if dtype is np.float32 else graph.node("Cast", clipped, to="float")

    def statistics(
        self, row_shape: tuple[int, ...], dtype: np.dtype[np.floating]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """offset and divisor in the precision that rows of row_shape are scaled in, shaped to go with them."""
        # A series' channels are its last axis.
        channels = (-1, 1, 1) if len(row_shape) == _IMAGE_AXES - 1 else (-1,)
        shape = channels if self.per == "channel" else row_shape
        return (
            np.array(self.offset, dtype=dtype).reshape(shape),
            np.array(self.divisor, dtype=dtype).reshape(shape),
        )
