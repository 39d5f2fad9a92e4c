"""Rows divided by groups, each of which stays in one part: what is learnt of a customer says nothing of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headway_trainer.data.split.parts import Indices, PartOf, exact, shuffled


def by_group(groups: Indices, shares: Sequence[float], seed: int) -> PartOf:
    """Deal whole groups (rows,) to the parts: each to the part that lacks most of its share.

    The groups come in random order, but those of more than twice another's rows before it. A part has at most the rows
    of its share and those of one group; one with a share above 0 gets at least one group. Raises ValueError if there
    are fewer groups than such parts.
    """
    wanted = exact(shares)
    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    empty = {part for part, share in enumerate(wanted) if share > 0}
    if len(sizes) < len(empty):
        raise ValueError(
            f"{len(sizes)} groups cannot be divided into {len(empty)} parts; give rows of more,"
            " or set a part of the split to 0"
        )
    lack = [len(groups) * share for share in wanted]
    part_of = np.zeros(len(sizes), dtype=np.int8)
    for dealt, group in enumerate(_large_first(sizes, seed)):
        # The last groups are for the parts that would have none.
        among = empty if len(sizes) - dealt <= len(empty) else range(len(wanted))
        part = max(among, key=lambda part: (wanted[part] > 0, lack[part], -part))
        part_of[group] = part
        lack[part] -= int(sizes[group])
        empty.discard(part)
    return part_of[of_row]


def _large_first(sizes: npt.NDArray[np.intp], seed: int) -> list[int]:
    """Groups by the power of two of their size, the largest first, and at random among those of one power."""
    order = shuffled(len(sizes), seed).tolist()
    return sorted(order, key=lambda group: -int(sizes[group]).bit_length())
