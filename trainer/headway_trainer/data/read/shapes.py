"""Which axis of an array is what: rows, channels, height and width of images, time and channels of series. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.read.yaml_keys import key
from headway_trainer.errors import UserError

_IMAGE = 3
"""Axes of rows of images without channels, and of series."""
_FEW_CHANNELS = 4


@dataclass(frozen=True)
class Rows:
    """Features as models take them, and what was guessed."""

    x: npt.NDArray[Any]
    """(rows, features), (rows, channels, height, width) for images, (rows, time, channels) for series, or as it was."""
    warnings: list[str] = field(default_factory=list)


def as_rows(x: npt.NDArray[Any], name: str, kind: str | None) -> Rows:
    """The array `name` with the axes in order. kind is the job's: `image`, `series`, or None to tell it from the shape.

    Raises UserError where the shape may be one or the other, and says what to write.
    """
    if kind == "image":
        return Rows(x[:, np.newaxis] if x.ndim == _IMAGE else x)
    if kind == "series" and x.ndim != _IMAGE:
        raise UserError(f"data.columns: {name!r} has the shape {x.shape}; series are (rows, time, channels)")
    if kind == "series":
        return Rows(x)
    if x.ndim == _IMAGE:
        return _image_or_series(x, name)
    if x.ndim == _IMAGE + 1:
        return _channels_first(x, name)
    return Rows(x)


def _image_or_series(x: npt.NDArray[Any], name: str) -> Rows:
    if x.shape[1] != x.shape[2] and x.dtype != np.uint8:
        raise UserError(
            f"the array {name!r} of shape {x.shape} may be images (rows, height, width) or series (rows, time, "
            f"channels): write data.columns: {{{key(name)}: {{kind: image}}}} or {{kind: series}}"
        )
    told = (
        f"The array {name!r} of shape {x.shape} is taken as images with one channel; {{kind: series}} says otherwise."
    )
    return Rows(x[:, np.newaxis], [told])


def _channels_first(x: npt.NDArray[Any], name: str) -> Rows:
    first, middle, last = x.shape[1:]
    square_first, square_last = first == middle, middle == last
    if square_first != square_last:
        channels_last = square_first
    elif max(first, last) <= _FEW_CHANNELS or min(first, last) >= middle or first == last:
        raise UserError(
            f"the array {name!r} of shape {x.shape} may have its channels first or last: move them to the second axis, "
            f"and write data.columns: {{{key(name)}: {{kind: image}}}}"
        )
    else:
        channels_last = last < first
    if not channels_last:
        return Rows(x)
    told = f"The array {name!r} of shape {x.shape} is taken as images with the channels last."
    return Rows(np.moveaxis(x, -1, 1), [told])
