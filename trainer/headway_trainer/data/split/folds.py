"""K folds of the rows outside the test part: each is validated once by a model that is trained on others. Pure.

The folds are those of scikit-learn's StratifiedKFold and KFold with shuffling, GroupKFold, and TimeSeriesSplit, but for
the draw itself (https://scikit-learn.org/stable/modules/cross_validation.html).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_trainer.data.split.by_group import by_group
from headway_trainer.data.split.divide import Column, codes_of, ordered
from headway_trainer.data.split.in_order import in_order
from headway_trainer.data.split.parts import Indices, Parts, shuffled

TRAINS_ALONE = -1
"""The fold of rows that are never validated: the earliest ones, where folds follow the time."""


def divide_folds(
    parts: Parts, count: int, seed: int, *, labels: Indices | None = None, column: Column | None = None
) -> list[Parts]:
    """The training and the validation part of each fold; the test part of each is empty.

    parts: of all rows; folds are made of the rows of the first two. labels (rows,), the classes, are kept in equal
    shares where chance divides. column: divides by its groups, or by its time, so that each fold is validated on what
    comes directly after the rows that it is trained on. Raises ValueError, with a sentence, where that cannot be.
    """
    rows = np.sort(np.concatenate(parts.indices[:2]))
    chosen = None if column is None else column.values.take(pa.array(rows))
    if column is None or chosen is None:
        fold_of = _at_random(len(rows), count, seed, None if labels is None else labels[rows])
        in_time, by = False, ""
    elif column.dividing.method == "group":
        fold_of, in_time = _by_group(codes_of(chosen), count, seed), False
        by = f"Each group of the column {column.dividing.column!r} is in one fold."
    else:
        fold_of, in_time = _in_order(ordered(Column(column.dividing, chosen, column.where)), count), True
        by = f"Each fold is validated on the rows that follow, by {column.dividing.column!r}, those that it trains on."
    order = shuffled(len(rows), seed)
    dealt, nothing = fold_of[order], np.empty(0, dtype=np.int64)
    return [
        Parts(
            (rows[order[dealt < fold if in_time else dealt != fold]], rows[order[dealt == fold]], nothing),
            stratified=column is None and labels is not None,
            by=by,
        )
        for fold in range(count)
    ]


def _at_random(rows: int, count: int, seed: int, labels: Indices | None) -> npt.NDArray[np.int64]:
    """The fold of each row. Folds differ by at most one row; with labels they differ by at most one row of each class,
    too: rows are dealt one by one, those of a class after each other."""
    if rows < count:
        raise ValueError(
            f"folds is {count}, but there are {rows} rows outside the test part: lower folds, or give more rows"
        )
    order = shuffled(rows, seed)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(rows, dtype=np.int64)
    fold_of[order] = np.arange(rows) % count
    return fold_of


def _by_group(groups: Indices, count: int, seed: int) -> npt.NDArray[np.int64]:
    if (there := len(np.unique(groups))) < count:
        raise ValueError(
            f"folds is {count}, but there are {there} groups outside the test part: lower folds, or give rows of more"
        )
    return by_group(groups, [1] * count, seed).astype(np.int64)


def _in_order(values: npt.NDArray[np.int64] | npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Blocks of equal length, of which the first is never validated."""
    if (there := len(np.unique(values))) <= count:
        raise ValueError(
            f"folds is {count}, but there are {there} different times outside the test part, and {count + 1} are "
            "needed: lower folds, or give rows of more"
        )
    return in_order(values, [1] * (count + 1)).astype(np.int64) + TRAINS_ALONE
