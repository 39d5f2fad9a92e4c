"""Scaling of features by the training part's own statistics. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from headway_api.base import StatusSection
from headway_trainer.data.spread import constant
from headway_trainer.data.transform.graph import Graph

Method = Literal["standard", "minMax", "none"]
_IMAGE_AXES = 4
"""(rows, channels, height, width)."""
_SMALLEST = 1e-30
"""A feature that varies by less is constant."""
LARGEST_SCALED = 1e30
"""A row outside the training part may be any number of deviations away; 32 bits have to hold it."""


class Scale(StatusSection):
    """What was done to the features: `(x - offset) / divisor`, cut at 1e30, by the training part's own statistics."""

    method: Method = "none"
    """standard: mean and standard deviation; minMax: minimum and range."""
    per: Literal["feature", "channel"] = "feature"
    """Which axis of a row offset and divisor run along: the features, or the first axis (channels) of an image."""
    offset: list[float] = Field(default_factory=list)
    """What is taken off; empty for none."""
    divisor: list[float] = Field(default_factory=list)
    """What is divided by; 1 for a constant feature."""

    @staticmethod
    def fit(train: npt.NDArray[np.floating], method: Method, quantities: npt.NDArray[np.bool_] | None = None) -> Scale:
        """The scaling by the statistics of train, shape (rows, *row_shape).

        Images are scaled by channel, all else by feature. quantities (features,) says which features are scaled at all.
        """
        if method == "none" or len(train) == 0:
            return Scale()
        image = train.ndim == _IMAGE_AXES
        axes = (0, 2, 3) if image else (0,)
        if method == "standard":
            offset = train.mean(axis=axes, dtype=np.float64)
            divisor = train.std(axis=axes, dtype=np.float64)
        else:
            offset = train.min(axis=axes).astype(np.float64)
            divisor = train.max(axis=axes).astype(np.float64) - offset
        divisor = np.where(constant(train, axes) | (divisor <= _SMALLEST), 1.0, divisor)
        if quantities is not None:
            offset, divisor = np.where(quantities, offset, 0.0), np.where(quantities, divisor, 1.0)
        return Scale(
            method=method,
            per="channel" if image else "feature",
            offset=offset.ravel().tolist(),
            divisor=divisor.ravel().tolist(),
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
        shape = (-1, 1, 1) if self.per == "channel" else row_shape
        return (
            np.array(self.offset, dtype=dtype).reshape(shape),
            np.array(self.divisor, dtype=dtype).reshape(shape),
        )
