"""Targets of a regression as they are learnt: standard deviations from the mean of the training part. Pure.

The mean is taken off, and the division done, in 64 bits, before anything is rounded to the 32 bits that are stored: so
targets far from 0 (times, coordinates) lose nothing, and each of several counts alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.info import LARGEST
from headway_trainer.data.spread import constant
from headway_trainer.errors import UserError


@dataclass(frozen=True)
class Standardised:
    """Targets as they are stored, and what leads back: `y * std + mean`, in 64 bits."""

    y: npt.NDArray[np.float32]
    """(rows,) or (rows, targets)."""
    mean: list[float]
    std: list[float]
    """1 for a constant target."""


def standardise(values: npt.NDArray[Any], train: npt.NDArray[np.int64], name: str) -> Standardised:
    """Standardise values, float64 (rows,) or (rows, targets), by the rows train.

    Raises UserError for a value that is too far from those of the training part to be told in 32 bits.
    """
    columns = values.reshape(len(values), -1).astype(np.float64, copy=False)
    fitted = columns[train]
    mean, std = fitted.mean(axis=0), fitted.std(axis=0)
    std[constant(fitted)] = 1.0
    scaled = (columns - mean) / std
    if not (fine := np.abs(scaled) <= LARGEST).all():
        row, column = (int(number) for number in np.argwhere(~fine)[0])
        raise UserError(
            f"{name} is {columns[row, column]:g} in row {row + 1}, which is more than {LARGEST:g} standard deviations "
            "from the mean of the training part: look for an error in the data, or learn its logarithm"
        )
    return Standardised(scaled.astype(np.float32).reshape(values.shape), mean.tolist(), std.tolist())
