"""Tests of whether two samples, known by their counts in cells, are of one distribution. Pure, and without numpy.

Both samples are finite: every test reckons with both sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_ENOUGH = 100.0
"""Rows that a share has at the least, with it and without it, for chi-square of two by two to stand for the exact
probability, of which so many terms would have to be added up."""
_NEGLIGIBLE = 745.0
"""exp of minus this is 0 in floating point."""
_TERMS = 100
_LEAST_TERM = 1e-16
"""Of what is added up: a smaller one changes nothing."""
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
        if term < _LEAST_TERM * total:
            break
        sign = -sign
    return min(1.0, max(0.0, 2 * total))


def chi_square(cells: Sequence[tuple[int, int]]) -> Test:
    """Pearson's test that the counts of a reference and of a window are of one distribution.

    The effect is Cohen's w, the root of the sum of (p - q)^2 / q over the cells, without what chance alone adds to it,
    which is the degrees of freedom over the size: in 20 cells and 1000 rows that would be 0.14.
    """
    m, n = sum(r for r, _ in cells), sum(c for _, c in cells)
    degrees = len(cells) - 1
    if not m or not n or degrees < 1:
        return NOTHING
    size = n * m / (n + m)
    x = sum((c / n - r / m) ** 2 / (c + r) for r, c in cells if r or c) * (n + m) * size
    return Test(chi_square_tail(x, degrees), math.sqrt(max(0.0, x - degrees) / size))


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
    """Whether a share is greater in `rows` than in the reference. The effect is by how much.

    The probability is Fisher's (1935), of so many or more among these rows if all that have it lie anywhere. Where
    there are many of them and of the others it is one side of chi-square, which is wrong by orders of magnitude where
    one row is there and a hundredth is expected.
    """
    if not rows or not usual_rows:
        return NOTHING
    effect = of / rows - usual / usual_rows
    both, all_rows = of + usual, rows + usual_rows
    if effect <= 0 or both >= all_rows:
        return Test(1.0, max(0.0, effect))
    share = both / all_rows
    if min(both, all_rows - both) * min(rows, usual_rows) / all_rows < _ENOUGH:
        return Test(_hypergeometric_tail(of, rows, both, all_rows), effect)
    x = effect**2 / (share * (1 - share)) * rows * usual_rows / all_rows
    return Test(chi_square_tail(x, 1) / 2, effect)


def _hypergeometric_tail(of: int, rows: int, both: int, all_rows: int) -> float:
    """The probability that of `both` marked ones among all rows so many or more are in a sample of `rows`; of is above
    what is expected, so that each term is smaller than the one before."""
    term = math.exp(_log_choose(both, of) + _log_choose(all_rows - both, rows - of) - _log_choose(all_rows, rows))
    total, x = 0.0, of
    while term > _LEAST_TERM * total:
        total += term
        term *= (both - x) * (rows - x) / ((x + 1) * (all_rows - both - rows + x + 1))
        x += 1
    return min(1.0, total)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


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
    return math.exp(min(0.0, _log_choose(n + m - k, m) - _log_choose(n + m, m)))
