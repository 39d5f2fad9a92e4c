"""Whether numbers differ at all. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RELATIVE_SPREAD = 1e-12
"""What differs by no more than this, against its size, is equal: 64 bits tell no less apart after some arithmetic."""


def constant(rows: npt.NDArray[np.floating], axis: int | tuple[int, ...] = 0) -> npt.NDArray[np.bool_]:
    """Which columns have one value, to within rounding.

    By the least and the most, not by the deviation: that of equal numbers is not quite 0, and that of a column far
    from 0 may be small against its mean and still be all there is to learn.
    """
    return is_constant(rows.min(axis=axis).astype(np.float64), rows.max(axis=axis).astype(np.float64))


def is_constant(least: npt.NDArray[np.float64], most: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """The same, by the least and the most of each column."""
    return np.asarray(most - least <= RELATIVE_SPREAD * np.maximum(np.abs(least), np.abs(most)))
