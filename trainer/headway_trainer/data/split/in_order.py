"""Rows divided by an order of theirs: the first train, the last test. What has not happened yet is not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.split.parts import PartOf, exact


def in_order(values: npt.NDArray[Any], shares: Sequence[float]) -> PartOf:
    """Cut the rows, ordered by their values (rows,), where the shares say.

    Rows of one value stay together, so a cut moves to the nearest change of value, and every part with a share above 0
    gets at least one value. Raises ValueError if there are fewer values than such parts.
    """
    wanted = exact(shares)
    parts = [part for part, share in enumerate(wanted) if share > 0]
    _, of_row, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(counts) < len(parts):
        raise ValueError(
            f"{len(counts)} different values cannot be divided into {len(parts)} parts; give rows of more,"
            " or set a part of the split to 0"
        )
    ends = np.cumsum(counts)
    part_of_value = np.empty(len(counts), dtype=np.int8)
    begin, share = 0, wanted[0] * 0
    for place, part in enumerate(parts):
        share += wanted[part]
        left = len(parts) - place - 1
        # After which value to cut: at least one is taken, and one is left for each of the parts that follow.
        within = ends[begin : len(ends) - left]
        cut = begin + int(np.abs(within - float(share * len(values))).argmin()) + 1 if left else len(ends)
        part_of_value[begin:cut] = part
        begin = cut
    return part_of_value[of_row]
