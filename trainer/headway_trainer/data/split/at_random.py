"""Rows divided at random, with the classes' shares kept where that can be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from headway_trainer.data.split.parts import Indices, Parts, exact, shuffled


def split(rows: int, shares: Sequence[float], seed: int, labels: Indices | None = None) -> Parts:
    """Divide rows into parts of the given shares, which add up to 1.

    With labels (rows,), each class's rows in a part are its share rounded up or down, if every class has at least as
    many rows as there are parts; otherwise, and without labels, rows are divided at random. A part with a share above
    0 gets at least one row. Raises ValueError if there are fewer rows than such parts.
    """
    wanted = exact(shares)
    parts = sum(share > 0 for share in wanted)
    if rows < parts:
        raise ValueError(
            f"{rows} rows cannot be divided into {parts} parts; give more rows, or set a part of the split to 0"
        )
    order = shuffled(rows, seed)
    if labels is not None and rows and np.unique(labels, return_counts=True)[1].min() >= parts:
        counts = _stratified_counts(labels, wanted)
        if all(counts[:, part].sum() > 0 for part, share in enumerate(wanted) if share > 0):
            return Parts(_deal(order, labels, counts), stratified=True)
    bounds = np.cumsum([0, *sizes_of(rows, wanted)])
    return Parts(tuple(order[start:end] for start, end in itertools.pairwise(bounds)), stratified=False)


def sizes_of(rows: int, shares: Sequence[Fraction]) -> list[int]:
    """The parts' sizes by largest remainders, but at least one row for a share above 0."""
    sizes = [int(rows * share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda part: (sizes[part] - rows * shares[part], part))
    for part in by_remainder[: rows - sum(sizes)]:
        sizes[part] += 1
    for part, share in enumerate(shares):
        if share > 0 and sizes[part] == 0:
            # From the one that has most above its share.
            spare = [one for one in range(len(sizes)) if sizes[one] > 1]
            sizes[max(spare, key=lambda one: sizes[one] - rows * shares[one])] -= 1
            sizes[part] = 1
    return sizes


def _stratified_counts(labels: Indices, shares: Sequence[Fraction]) -> npt.NDArray[np.int64]:
    """Rows of each class (in sorted order) in each part, shape (classes, parts).

    A class's share of each part is rounded down; the rows that are left go, at most one to a part, to the parts that
    lack most of what the classes so far should have given them, so that the parts' sizes come out right as well.
    """
    lack = [Fraction(0)] * len(shares)
    counts = []
    for class_rows in np.unique(labels, return_counts=True)[1].tolist():
        wanted = [class_rows * share for share in shares]
        given = [int(want) for want in wanted]
        lack = [behind + want - got for behind, want, got in zip(lack, wanted, given, strict=True)]
        fractional = [part for part, want in enumerate(wanted) if want != given[part]]
        # A class that training never sees cannot be learnt: the first part comes first if it has none.
        fractional.sort(key=lambda part: (part != 0 or given[0] > 0, -lack[part], part))
        for part in fractional[: class_rows - sum(given)]:
            given[part] += 1
            lack[part] -= 1
        counts.append(given)
    return np.array(counts, dtype=np.int64)


def _deal(order: Indices, labels: Indices, counts: npt.NDArray[np.int64]) -> tuple[Indices, ...]:
    """Deal each class's rows, in shuffled order, to the parts; each part keeps the shuffled order."""
    part_of = np.empty(len(labels), dtype=np.int64)
    shuffled_labels = labels[order]
    for label, class_counts in zip(np.unique(labels), counts, strict=True):
        part_of[order[shuffled_labels == label]] = np.repeat(np.arange(len(class_counts)), class_counts)
    return tuple(order[part_of[order] == part] for part in range(counts.shape[1]))
