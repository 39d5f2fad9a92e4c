"""The tests of two samples: their formulas against scipy's, and what they hold for any counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from headway_server.judge.drift import statistics
from headway_server.judge.drift.statistics import NOTHING

CELLS = st.integers(1, 64).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 10**6), min_size=size, max_size=size)] * 2)
)
SMALL = st.integers(0, 10**6)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 19, 20, 50, 63, 255, 256])
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.1, 1.0, 5.0, 20.0, 90.0, 400.0, 1400.0])
def test_the_tail_of_chi_square_is_scipys(x: float, degrees: int) -> None:
    assert statistics.chi_square_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("x", [-1.0, 1e9, 1e300, math.inf])
def test_the_tail_of_chi_square_is_a_probability_at_its_ends(x: float) -> None:
    assert statistics.chi_square_tail(x, 51) == (1.0 if x < 0 else 0.0)


@pytest.mark.parametrize("size", [0.5, 5.0, 50.0, 952.4, 50_000.0])
@pytest.mark.parametrize("distance", [0.0, 1e-6, 0.01, 0.03, 0.05, 0.2, 0.7, 1.0])
def test_kolmogorovs_tail_is_scipys_with_stephenss_correction(distance: float, size: float) -> None:
    lam = (math.sqrt(size) + 0.12 + 0.11 / math.sqrt(size)) * distance
    assert statistics.kolmogorov_tail(distance, size) == pytest.approx(special.kolmogorov(lam), rel=1e-9, abs=1e-11)


def test_the_distance_and_its_probability_are_scipys_where_each_value_has_a_cell() -> None:
    rng = np.random.default_rng(3)
    known, asked = rng.integers(0, 40, 2000), rng.integers(1, 42, 700)
    bins = np.arange(-0.5, 40.5)
    reference = np.histogram(known, bins)[0].tolist()
    window = np.histogram(asked, bins)[0].tolist()
    found = statistics.kolmogorov(reference, window, 0, int((asked >= 40).sum()))
    theirs = stats.ks_2samp(known, asked, method="asymp")
    assert found.effect == pytest.approx(theirs.statistic)
    assert found.p == pytest.approx(theirs.pvalue, rel=0.1), "scipy has another correction for finite sizes"


def test_chi_square_is_scipys_where_no_cell_is_rare() -> None:
    reference, window = [400, 300, 200, 100], [110, 80, 70, 40]
    theirs = stats.chi2_contingency([reference, window], correction=False)
    found = statistics.chi_square(reference, window, ordered=False)
    size = 1000 * 300 / 1300
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.effect == pytest.approx(math.sqrt(max(0.0, theirs.statistic - 3) / size))


def test_rare_cells_of_values_are_pooled_with_each_other_and_those_of_numbers_with_their_neighbours() -> None:
    # Of values 8 + 9 + 7 training rows make one cell; of numbers 1000, 8 + 9 + 1000, and 7 with the last.
    reference, window = [1000, 8, 9, 1000, 7], [300, 90, 120, 300, 90]
    values = statistics.chi_square(reference, window, ordered=False)
    theirs = stats.chi2_contingency([[1000, 1000, 24], [300, 300, 300]], correction=False)
    assert values.p == pytest.approx(theirs.pvalue, rel=1e-6)
    numbers = statistics.chi_square(reference, window, ordered=True)
    theirs = stats.chi2_contingency([[1000, 1017 + 7], [300, 510 + 90]], correction=False)
    assert numbers.p == pytest.approx(theirs.pvalue, rel=1e-6)


@pytest.mark.parametrize(
    ("reference", "window"),
    [([], []), ([0], [5]), ([5, 5], [0, 0]), ([100, 0], [10, 0]), ([3, 4], [100, 0])],
    ids=["no cell", "no training row", "no row", "one cell", "too few training rows"],
)
def test_samples_that_are_too_small_tell_nothing(reference: list[int], window: list[int]) -> None:
    assert statistics.chi_square(reference, window, ordered=True) == NOTHING


def test_the_effect_of_a_shift_is_the_same_whatever_the_windows_size_and_chance_is_taken_out_of_it() -> None:
    rng = np.random.default_rng(4)
    shares = np.full(20, 0.05)
    reference = [5000] * 20
    for rows in (1000, 10_000, 100_000):
        effects = [
            statistics.chi_square(reference, rng.multinomial(rows, shares).tolist(), ordered=True).effect ** 2
            for _ in range(200)
        ]
        assert np.mean(effects) < 0.012 * 1000 / rows, "Cohen's w would be 0.019 for 1000 rows"
    moved = shares.copy()
    moved[:10] += 0.01
    moved[10:] -= 0.01
    for rows in (2000, 20_000):
        effects = [
            statistics.chi_square(reference, rng.multinomial(rows, moved).tolist(), ordered=True).effect
            for _ in range(50)
        ]
        assert np.mean(effects) == pytest.approx(0.2, abs=0.02), "the root of 20 times 0.01^2 / 0.05"


@given(counts=CELLS, ordered=st.booleans(), below=SMALL, above=SMALL)
def test_every_test_is_a_probability_and_an_effect_for_any_counts(
    counts: tuple[list[int], list[int]], ordered: bool, below: int, above: int
) -> None:
    reference, window = counts
    for found in (
        statistics.chi_square(reference, window, ordered=ordered),
        statistics.kolmogorov(reference, window, below, above),
        statistics.outside(below, above, below + above + sum(window), sum(reference)),
        statistics.more_often(below, below + sum(window), above, above + sum(reference)),
    ):
        assert 0.0 <= found.p <= 1.0
        assert math.isfinite(found.effect)
        assert found.effect >= 0.0


@given(counts=st.lists(st.integers(0, 10**5), min_size=1, max_size=64), times=st.integers(1, 20))
def test_rows_of_the_same_shares_have_no_effect(counts: list[int], times: int) -> None:
    more = [times * one for one in counts]
    assert statistics.chi_square(counts, more, ordered=True).effect == pytest.approx(0.0, abs=1e-9)
    assert statistics.kolmogorov(counts, more, 0, 0).effect == pytest.approx(0.0, abs=1e-12)


@given(counts=CELLS, data=st.data())
def test_the_order_of_values_does_not_matter(counts: tuple[list[int], list[int]], data: st.DataObject) -> None:
    reference, window = counts
    # Cells that are equally rare may be pooled in either order: each has a count of its own here.
    reference = [one * 64 + place for place, one in enumerate(reference)]
    order = data.draw(st.permutations(range(len(reference))))
    again = statistics.chi_square([reference[at] for at in order], [window[at] for at in order], ordered=False)
    assert again.p == pytest.approx(statistics.chi_square(reference, window, ordered=False).p, abs=1e-9)


class TestOutside:
    def test_its_probability_is_that_of_drawing_the_lowest_ones_from_the_new_rows(self) -> None:
        # Of 3 old and 2 new values: both new ones are the lowest in 1 of 10 orders, one of them or both in 4 of 10.
        assert statistics.outside(2, 0, 2, 3).p == pytest.approx(2 * 1 / 10)
        assert statistics.outside(1, 0, 2, 3).p == pytest.approx(2 * 4 / 10)
        assert statistics.outside(0, 0, 2, 3).p == 1.0

    def test_a_few_rows_outside_of_few_training_rows_are_as_they_should_be(self) -> None:
        rng = np.random.default_rng(6)
        alarms = 0
        for _ in range(500):
            known, asked = rng.normal(size=60), rng.normal(size=1000)
            found = statistics.outside(int((asked < known.min()).sum()), int((asked > known.max()).sum()), 1000, 60)
            alarms += found.p < 0.01
        assert alarms <= 12, "of 500, 5 are expected at most"

    def test_many_are_not(self) -> None:
        found = statistics.outside(0, 60, 1000, 20_000)
        assert found.p < 1e-50
        assert found.effect == pytest.approx(0.06, abs=1e-3)


class TestMoreOften:
    def test_it_is_one_side_of_scipys_test_of_two_by_two(self) -> None:
        theirs = stats.chi2_contingency([[30, 970], [400, 19_600]], correction=False)
        found = statistics.more_often(30, 1000, 400, 20_000)
        assert found.p == pytest.approx(theirs.pvalue / 2)
        assert found.effect == pytest.approx(0.01)

    def test_less_often_is_nothing(self) -> None:
        assert statistics.more_often(0, 1000, 400, 20_000) == statistics.Test(1.0, 0.0)

    def test_all_and_always_is_nothing(self) -> None:
        assert statistics.more_often(1000, 1000, 50, 50).p == 1.0
