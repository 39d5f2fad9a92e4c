"""What a split gives, and the order of rows that all splitters share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
PartOf = npt.NDArray[np.int8]
"""(rows,): the part of each row, 0 for training, 1 for validation, 2 for test."""


@dataclass(frozen=True)
class Parts:
    """The row numbers of each part, in shuffled order."""

    indices: tuple[Indices, ...]
    stratified: bool
    """Whether the classes' shares were kept."""
    by: str = ""
    """How the rows were divided, as a sentence, where it was not at random."""


def exact(shares: Sequence[float]) -> list[Fraction]:
    """The shares as people write them, adding up to 1: 0.7 is 7/10 and not the nearest binary fraction."""
    fractions = [Fraction(str(share)) for share in shares]
    return [share / sum(fractions) for share in fractions]


def shuffled(rows: int, seed: int) -> Indices:
    """Row numbers in random order. NumPy promises the raw bits of PCG64 for all versions, but not its permutations."""
    return np.argsort(np.random.PCG64(seed).random_raw(rows), kind="stable").astype(np.int64)


def with_validation_learnt(parts: Parts, rows: int, seed: int) -> Parts:
    """The same parts where the rows of the validation part are trained on, too, and none is left in it.

    They come in the order in which a split of these rows with the same seed and no validation part has them. rows: of
    all parts together, and of those in none.
    """
    train, validation, test = parts.indices
    learnt = np.zeros(rows, dtype=bool)
    learnt[train] = learnt[validation] = True
    order = shuffled(rows, seed)
    return replace(parts, indices=(order[learnt[order]], np.empty(0, dtype=np.int64), test))


def gathered(part_of: PartOf, parts: int, seed: int) -> tuple[Indices, ...]:
    """The rows of each part in shuffled order, so that each worker's shard of it has rows of all kinds."""
    order = shuffled(len(part_of), seed)
    return tuple(order[part_of[order] == part] for part in range(parts))
