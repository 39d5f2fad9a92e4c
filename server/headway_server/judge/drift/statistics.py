"""Tests of whether two samples, known by their counts in cells, are of one distribution. Pure, and without numpy.

Cells' bounds are quantiles of the reference itself, and both samples are finite: every test reckons with both sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

LEAST_EXPECTED = 5.0
"""Of a window, in each cell, for the distribution of chi-square to hold (Cochran, 1954): rarer cells are pooled."""
LEAST_KNOWN = 20.0
"""Of the reference: it is the same for all windows, so what chance did to it would alarm in one after the other."""
_NEGLIGIBLE = 745.0
"""exp of minus this is 0 in floating point."""
_TERMS = 100
_LEAST_LAMBDA = 0.2
"""Below it Kolmogorov's series converges slowly, and its value is 1 within 1e-12."""


@dataclass(frozen=True, slots=True)
class Test:
    """What a test of two samples has found."""

    p: float
    """How likely at least so great a difference is, where there is none."""
    effect: float
    """How great the difference is, whatever the samples' sizes."""


NOTHING = Test(1.0, 0.0)
"""Of samples that are too small to tell."""


def chi_square_tail(x: float, degrees: int) -> float:
    """The probability that a chi-square variable of so many degrees of freedom, at least 1, is x or more.

    For whole degrees the sums are finite: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 and 26.4.5.
    """
    half = x / 2
    if half <= 0:
        return 1.0
    if half > _NEGLIGIBLE:
        return 0.0
    if degrees % 2:
        # The first term is for j = 1/2: half^j exp(-half) / gamma(j + 1).
        total, term, j = math.erfc(math.sqrt(half)), math.sqrt(half / math.pi) * 2 * math.exp(-half), 0.5
    else:
        total, term, j = 0.0, math.exp(-half), 0.0
    while j < degrees / 2 - 0.5:
        total += term
        j += 1
        term *= half / j
    return min(1.0, total)


def kolmogorov_tail(distance: float, size: float) -> float:
    """The probability that the distribution functions of two samples are so far apart or farther at one place.

    size: n m / (n + m) of the samples' sizes. The limit's series, with Stephens's correction for finite sizes (1970).
    It holds for continuous values that are compared everywhere; where there are ties, or only some places are looked
    at, the true probability is smaller.
    """
    root = math.sqrt(size)
    lam = (root + 0.12 + 0.11 / root) * distance if root > 0 else 0.0
    if lam < _LEAST_LAMBDA:
        return 1.0
    total, sign = 0.0, 1.0
    for k in range(1, _TERMS):
        term = math.exp(-2 * (k * lam) ** 2)
        total += sign * term
        if term < 1e-16 * total:
            break
        sign = -sign
    return min(1.0, max(0.0, 2 * total))


def chi_square(reference: Sequence[int], window: Sequence[int], *, ordered: bool) -> Test:
    """Pearson's test that two rows of counts are of one distribution. ordered: whether neighbours are alike.

    The effect is Cohen's w, the root of the sum of (p - q)^2 / q over the cells, without what chance alone adds to it,
    which is the degrees of freedom over the size: in 20 cells and 1000 rows that would be 0.14.
    """
    m, n = sum(reference), sum(window)
    if not m or not n:
        return NOTHING
    cells = _pooled(reference, window, max(LEAST_KNOWN, LEAST_EXPECTED * m / n), ordered=ordered)
    degrees = len(cells) - 1
    if degrees < 1:
        return NOTHING
    size = n * m / (n + m)
    x = sum((c / n - r / m) ** 2 / (c + r) for r, c in cells) * (n + m) * size
    return Test(chi_square_tail(x, degrees), math.sqrt(max(0.0, x - degrees) / size))


def _pooled(reference: Sequence[int], window: Sequence[int], least: float, *, ordered: bool) -> list[tuple[int, int]]:
    """Cells that have at least so many of the reference, which alone decides: neighbours together, or the rarest."""
    pairs = list(zip(reference, window, strict=True))
    if not ordered:
        pairs.sort(key=lambda pair: pair[0])
    cells: list[tuple[int, int]] = []
    r = c = 0
    for one, other in pairs:
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


def kolmogorov(reference: Sequence[int], window: Sequence[int], below: int, above: int) -> Test:
    """The two-sample test of Kolmogorov and Smirnov at the cells' bounds. below, above: of the window, outside of all
    cells. The effect is the distance of the two distribution functions, from 0 to 1."""
    m, n = sum(reference), below + sum(window) + above
    if not m or not n:
        return NOTHING
    known, found = accumulate(reference, initial=0), accumulate(window, initial=below)
    distance = max(abs(r / m - c / n) for r, c in zip(known, found, strict=True))
    return Test(kolmogorov_tail(distance, n * m / (n + m)), distance)


def more_often(of: int, rows: int, usual: int, usual_rows: int) -> Test:
    """Whether a share is greater in `rows` than in the reference: chi-square of two by two, one side of it. The effect
    is by how much."""
    if not rows or not usual_rows:
        return NOTHING
    effect = of / rows - usual / usual_rows
    share = (of + usual) / (rows + usual_rows)
    if effect <= 0 or share >= 1:
        return Test(1.0, max(0.0, effect))
    x = effect**2 / (share * (1 - share)) * rows * usual_rows / (rows + usual_rows)
    return Test(chi_square_tail(x, 1) / 2, effect)


def outside(below: int, above: int, rows: int, reference: int) -> Test:
    """Whether more numbers lie below or above all of the reference's than is usual for one of its size.

    Of n new values of the same distribution, k or more lie below all m old ones with the probability
    C(n + m - k, m) / C(n + m, m), whatever the distribution (Gumbel and von Schelling, 1950): the k least of all are
    new ones. The effect is the share outside beyond the 2 / (m + 1) that is expected.
    """
    if not rows or not reference:
        return NOTHING
    p = min(1.0, 2 * _extreme(max(below, above), rows, reference))
    return Test(p, max(0.0, (below + above) / rows - 2 / (reference + 1)))


def _extreme(k: int, n: int, m: int) -> float:
    def log_choose(a: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(m + 1) - math.lgamma(a - m + 1)

    return math.exp(min(0.0, log_choose(n + m - k) - log_choose(n + m)))
