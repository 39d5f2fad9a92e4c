"""Which cells of a feature are compared one by one, and which taken together, so that a test of them holds. Pure.

A cell is a pair: training rows, and rows of the window. Which ones are taken together may not hang on what chance did
to one of the two: the cells that have few training rows have more in every window that comes, and those that have many
have less. So of values the sum of both decides, of which the tests know nothing but that it is divided by lot; and the
bins of numbers, which have as many training rows each, are taken together by these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Cell = tuple[int, int]
LEAST_EXPECTED = 5.0
"""Of a window, in each cell, for the distribution of chi-square to hold (Cochran, 1954)."""
LEAST_KNOWN = 20.0
"""Of the training rows: they are the same for all windows, so what chance did to them would alarm in one after the
other."""
_LUCK = 4.0
"""Standard deviations that a count may owe to chance."""
_MANY = 100
"""A value of so many training rows owes a small part of them to chance."""


def neighbours(reference: Sequence[int], window: Sequence[int]) -> list[Cell]:
    """Bins of numbers from the lowest on, together until they have rows enough."""
    m, n = sum(reference), sum(window)
    least = max(LEAST_KNOWN, LEAST_EXPECTED * m / n) if n else math.inf
    cells: list[Cell] = []
    r = c = 0
    for one, other in zip(reference, window, strict=True):
        r, c = r + one, c + other
        if r >= least:
            cells.append((r, c))
            r = c = 0
    if r or c:
        if cells:
            last = cells.pop()
            r, c = r + last[0], c + last[1]
        cells.append((r, c))
    return cells


def values(reference: Sequence[int], window: Sequence[int], unseen: int) -> tuple[list[Cell], Cell]:
    """The values that are frequent, each by itself; and all others together, with what no training row has: together
    they are the same values in both, whichever of them chance has shown. reference, window: the last cell is of the
    values without a name.
    """
    cells = _named(list(zip(reference, window, strict=True)))
    m, n = sum(reference), sum(window) + unseen
    least = (m + n) * max(LEAST_KNOWN / m, LEAST_EXPECTED / n) if m and n else math.inf
    frequent = [cell for cell in cells if sum(cell) >= least]
    rare = [cell for cell in cells if sum(cell) < least]
    return frequent, (sum(r for r, _ in rare), sum(c for _, c in rare) + unseen)


def together(frequent: Sequence[Cell], rare: Cell) -> list[Cell]:
    """All of `values`, for chi-square: the rare ones as one cell, with the rarest of the frequent where they are too
    few."""
    known, found = sum(r for r, _ in frequent) + rare[0], sum(c for _, c in frequent) + rare[1]
    if not known or not found or sum(rare) >= (known + found) * max(LEAST_KNOWN / known, LEAST_EXPECTED / found):
        return [*frequent, rare]
    first, *others = sorted(frequent, key=lambda cell: (sum(cell), cell)) or [(0, 0)]
    return [(first[0] + rare[0], first[1] + rare[1]), *others]


def _named(cells: list[Cell]) -> list[Cell]:
    """Without the names that are there by luck: of a thousand values that are as frequent, the fifty that the training
    rows have most often were there more often than they are."""
    *named, others = cells or [(0, 0)]
    if not others[0] or not named:
        return cells
    border = min(r for r, _ in named)
    sure = [cell for cell in named if _is_sure(cell[0], border)]
    lucky = [cell for cell in named if not _is_sure(cell[0], border)]
    return [*sure, (others[0] + sum(r for r, _ in lucky), others[1] + sum(c for _, c in lucky))]


def _is_sure(count: int, border: int) -> bool:
    return count >= _MANY or count - _LUCK * math.sqrt(count) >= border
