"""Scaling of features by the training part's own statistics. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from headway_trainer.data.info import Scaling

Floats = npt.NDArray[np.float32]
Method = Literal["standard", "minMax", "none"]
_IMAGE_AXES = 4
"""(rows, channels, height, width)."""
_SMALLEST = 1e-30
"""A feature that varies by less is constant."""
_FAR = 1e30
"""A row outside the training part may be any number of deviations away; 32 bits have to hold it."""


def fit(train: npt.NDArray[np.floating], method: Method, numeric: npt.NDArray[np.bool_] | None = None) -> Scaling:
    """The scaling by the statistics of train, shape (rows, *row_shape).

    Images are scaled by channel, all else by feature. numeric (features,) says which features are scaled at all.
    """
    if method == "none" or len(train) == 0:
        return Scaling()
    image = train.ndim == _IMAGE_AXES
    axes = (0, 2, 3) if image else (0,)
    if method == "standard":
        offset = train.mean(axis=axes, dtype=np.float64)
        divisor = train.std(axis=axes, dtype=np.float64)
    else:
        offset = train.min(axis=axes).astype(np.float64)
        divisor = train.max(axis=axes).astype(np.float64) - offset
    # The computed deviation of a constant feature is not quite zero.
    constant = divisor <= np.maximum(1e-7 * np.abs(offset), _SMALLEST)
    divisor = np.where(constant, 1.0, divisor)
    if numeric is not None:
        offset, divisor = np.where(numeric, offset, 0.0), np.where(numeric, divisor, 1.0)
    return Scaling(
        method=method,
        per="channel" if image else "feature",
        offset=offset.ravel().tolist(),
        divisor=divisor.ravel().tolist(),
    )


def apply(x: npt.NDArray[np.floating], scaling: Scaling) -> Floats:
    """x, shape (rows, *row_shape), scaled, as float32."""
    if scaling.method == "none":
        return x.astype(np.float32, copy=False)
    row = (-1, 1, 1) if scaling.per == "channel" else x.shape[1:]
    offset = np.array(scaling.offset, dtype=x.dtype).reshape(row)
    divisor = np.array(scaling.divisor, dtype=x.dtype).reshape(row)
    return np.clip((x - offset) / divisor, -_FAR, _FAR).astype(np.float32, copy=False)
