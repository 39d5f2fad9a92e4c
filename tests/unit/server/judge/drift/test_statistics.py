"""The tests of two samples: their formulas against scipy's, and what they hold for any counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from headway_server.judge.drift import statistics
from headway_server.judge.drift.cells import neighbours, together, values
from headway_server.judge.drift.statistics import NOTHING
from headway_trainer.data.reference import _numbers as described

CELLS = st.integers(1, 64).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 10**6), min_size=size, max_size=size)] * 2)
)
SMALL = st.integers(0, 10**6)


def _pairs(reference: list[int], window: list[int]) -> list[tuple[int, int]]:
    return list(zip(reference, window, strict=True))


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


def test_chi_square_is_scipys() -> None:
    reference, window = [400, 300, 200, 100], [110, 80, 70, 40]
    theirs = stats.chi2_contingency([reference, window], correction=False)
    found = statistics.chi_square(_pairs(reference, window))
    size = 1000 * 300 / 1300
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.effect == pytest.approx(math.sqrt(max(0.0, theirs.statistic - 3) / size))


@pytest.mark.parametrize("seed", range(4))
def test_bins_say_of_raw_rows_what_scipy_says_of_them(seed: int) -> None:
    """Two samples of raw numbers, as the trainer and the server count them, and the same ones given to scipy."""
    rng = np.random.default_rng(seed)
    known, asked = rng.normal(size=20_000), rng.normal(0.1 * seed, 1 + 0.1 * seed, 1000)
    told = described("x", known)
    inner = np.array(told.edges)
    below, above = int((asked < inner[0]).sum()), int((asked > inner[-1]).sum())
    window = np.histogram(asked, inner)[0].tolist()
    ours, theirs = statistics.kolmogorov(told.counts, window, below, above), stats.ks_2samp(known, asked)
    # The distance at 21 places is at most as great, and smaller by less than a bin has.
    assert theirs.statistic - 0.05 < ours.effect <= theirs.statistic + 1e-12
    assert ours.p >= theirs.pvalue * 0.9
    places = np.digitize(asked, inner[1:-1])
    table = [told.counts, np.bincount(places, minlength=len(told.counts)).tolist()]
    window[0] += below
    window[-1] += above
    again = statistics.chi_square(neighbours(told.counts, window))
    assert again.p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


@pytest.mark.parametrize(
    "cells",
    [[], [(0, 5)], [(5, 0), (5, 0)], [(100, 10)], [(0, 0), (0, 0)]],
    ids=["no cell", "no training row", "no row", "one cell", "empty cells"],
)
def test_samples_that_are_too_small_tell_nothing(cells: list[tuple[int, int]]) -> None:
    assert statistics.chi_square(cells) == NOTHING


def test_the_effect_of_a_shift_is_the_same_whatever_the_windows_size_and_chance_is_taken_out_of_it() -> None:
    rng = np.random.default_rng(4)
    shares = np.full(20, 0.05)
    reference = [5000] * 20
    for rows in (1000, 10_000, 100_000):
        effects = [
            statistics.chi_square(_pairs(reference, rng.multinomial(rows, shares).tolist())).effect ** 2
            for _ in range(200)
        ]
        assert np.mean(effects) < 0.012 * 1000 / rows, "Cohen's w would be 0.019 for 1000 rows"
    moved = shares.copy()
    moved[:10] += 0.01
    moved[10:] -= 0.01
    for rows in (2000, 20_000):
        effects = [
            statistics.chi_square(_pairs(reference, rng.multinomial(rows, moved).tolist())).effect for _ in range(50)
        ]
        assert np.mean(effects) == pytest.approx(0.2, abs=0.02), "the root of 20 times 0.01^2 / 0.05"


@given(counts=CELLS, below=SMALL, above=SMALL)
def test_every_test_is_a_probability_and_an_effect_for_any_counts(
    counts: tuple[list[int], list[int]], below: int, above: int
) -> None:
    reference, window = counts
    for found in (
        statistics.chi_square(neighbours(reference, window)),
        statistics.chi_square(together(*values(reference, window, above))),
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
    assert statistics.chi_square(neighbours(counts, more)).effect == pytest.approx(0.0, abs=1e-9)
    assert statistics.chi_square(together(*values(counts, more, 0))).effect == pytest.approx(0.0, abs=1e-9)
    assert statistics.kolmogorov(counts, more, 0, 0).effect == pytest.approx(0.0, abs=1e-12)


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
    @pytest.mark.parametrize(
        ("of", "rows", "usual", "usual_rows"),
        [
            (1, 1000, 0, 20_000), (1, 1000, 1, 100_000), (3, 1000, 10, 100_000), (30, 1000, 400, 20_000), (1, 1, 0, 1),
            (999, 1000, 90, 100), (300, 1000, 1, 100), (60_000, 10**6, 3, 100), (2, 10**6, 0, 10**5),
        ],
    )  # fmt: skip
    def test_of_few_rows_it_is_fishers_exact_test(self, of: int, rows: int, usual: int, usual_rows: int) -> None:
        theirs = stats.hypergeom.sf(of - 1, rows + usual_rows, of + usual, rows)
        found = statistics.more_often(of, rows, usual, usual_rows)
        assert found.p == pytest.approx(theirs, rel=1e-5)
        assert found.effect == pytest.approx(of / rows - usual / usual_rows)

    def test_of_many_it_is_one_side_of_scipys_test_of_two_by_two_which_is_close_to_that(self) -> None:
        theirs = stats.chi2_contingency([[3300, 96_700], [3000, 97_000]], correction=False)
        found = statistics.more_often(3300, 100_000, 3000, 100_000)
        assert found.p == pytest.approx(theirs.pvalue / 2)
        assert found.p == pytest.approx(stats.hypergeom.sf(3299, 200_000, 6300, 100_000), rel=0.1)

    @given(of=SMALL, rows=SMALL, usual=SMALL, usual_rows=SMALL)
    def test_it_has_an_answer_at_once_for_any_counts(self, of: int, rows: int, usual: int, usual_rows: int) -> None:
        found = statistics.more_often(min(of, rows), rows, min(usual, usual_rows), usual_rows)
        assert 0.0 <= found.p <= 1.0

    def test_less_often_is_nothing(self) -> None:
        assert statistics.more_often(0, 1000, 400, 20_000) == statistics.Test(1.0, 0.0)

    def test_all_and_always_is_nothing(self) -> None:
        assert statistics.more_often(1000, 1000, 50, 50).p == 1.0
