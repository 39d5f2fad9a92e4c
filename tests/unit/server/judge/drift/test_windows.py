"""What windows of counts tell: faults before drift, names in order, bounds; false alarms and power by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drifting_windows import Away, alarms, drawn, drawn_values
from headway_api.drift_wire import FeatureCounts, Watch, WatchedFeature, WatchedReference
from headway_server.judge.drift.features import Fault, compare
from headway_server.judge.drift.windows import CountsError, Window, result

NUMBERS = WatchedFeature(name="age", kind="numbers", cells=[1000] * 20, missing=200)
VALUES = WatchedFeature(name="town", kind="values", cells=[10_000, 6000, 4000, 0])
WATCH = Watch(rows=1000)
LEVEL = 0.01 / 60


def counts(cells: list[int], **more: int) -> FeatureCounts:
    return FeatureCounts(cells=cells, **more)


@pytest.mark.parametrize(
    ("feature", "found", "fault"),
    [
        pytest.param(NUMBERS, counts([50] * 20, missing=10), None, id="as in training"),
        pytest.param(NUMBERS, counts([45] * 20, missing=100), Fault("Missing", 0.1, 200 / 20_200, 0.0), id="missing"),
        pytest.param(NUMBERS, counts([47] * 20, missing=30), None, id="missing, but too few to matter"),
        pytest.param(
            NUMBERS, counts([0] * 20, missing=1000), Fault("Missing", 1.0, 200 / 20_200, 0.0), id="all missing"
        ),
        pytest.param(NUMBERS, counts([45] * 20, below=100), Fault("OutOfRange", 0.1, 0.0, 0.0), id="below"),
        pytest.param(NUMBERS, counts([45] * 20, below=40, above=60), Fault("OutOfRange", 0.1, 0.0, 0.0), id="both"),
        pytest.param(NUMBERS, counts([0] * 20, above=9), Fault("OutOfRange", 1.0, 0.0, 0.0), id="few rows, all above"),
        pytest.param(NUMBERS, counts([49] * 20, above=2), None, id="two above"),
        pytest.param(VALUES, counts([450, 270, 180, 0], unseen=100), Fault("Unseen", 0.1, 0.0, 0.0), id="unseen"),
        pytest.param(VALUES, counts([0, 0, 0, 0], unseen=1000), Fault("Unseen", 1.0, 0.0, 0.0), id="all unseen"),
        pytest.param(VALUES, counts([490, 300, 200, 0], unseen=10), None, id="a few unseen"),
        pytest.param(VALUES, counts([0] * 4), None, id="no row"),
        pytest.param(WatchedFeature(name="x", kind="numbers"), counts([], above=1000), None, id="no cells"),
        pytest.param(
            WatchedFeature(name="x", kind="values", cells=[1] * 40 + [0]),
            counts([10] * 40 + [0], unseen=600),
            None,
            id="unseen where every training row was",
        ),
    ],
)
def test_a_fault_of_the_values_is_told_with_its_share_and_the_usual_one(
    feature: WatchedFeature, found: FeatureCounts, fault: Fault | None
) -> None:
    told = compare(feature, found, LEVEL, 0.05).fault
    if fault is None:
        assert told is None
    else:
        assert told is not None
        assert (told.problem, told.usual) == (fault.problem, fault.usual)
        assert told.share == pytest.approx(fault.share)


def test_a_feature_with_a_fault_is_not_told_to_drift() -> None:
    moved = [100] * 9 + [0] * 11
    assert compare(NUMBERS, counts(moved), LEVEL, 0.05).effect > 0.4
    assert compare(NUMBERS, counts(moved, above=100), LEVEL, 0.05).effect == 0.0


def test_values_drift_by_their_shares_and_others_are_a_cell_where_training_rows_had_some() -> None:
    other = WatchedFeature(name="town", kind="values", cells=[10_000, 6000, 2000, 2000])
    assert compare(other, counts([500, 300, 100, 100]), LEVEL, 0.05).effect == 0.0
    assert compare(other, counts([400, 240, 80, 280]), LEVEL, 0.05).effect > 0.2
    assert compare(other, counts([100, 300, 500, 100]), LEVEL, 0.05).effect > 0.5


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ([99_990, 10, 0], [700, 300, 0]),
        ([9999, 1, 0], [700, 300, 0]),
        ([99, 1, 0], [800, 200, 0]),
        ([59_990, 40_000, 10, 0], [600, 100, 300, 0]),
        ([59_990, 40_000, 10], [600, 100, 300]),
        ([1000, 8, 9, 1000, 7, 0], [300, 90, 120, 300, 90, 0]),
    ],
)
def test_a_rare_value_that_is_frequent_now_is_a_drift(known: list[int], found: list[int]) -> None:
    feature = WatchedFeature(name="town", kind="values", cells=known)
    assert compare(feature, counts(found), LEVEL, 0.05).effect >= 0.05


@pytest.mark.parametrize("rows", [1000, 10_000, 100_000])
def test_new_values_that_are_too_few_to_be_a_fault_are_no_drift_either(rows: int) -> None:
    found = counts([rows * 48 // 100, rows * 30 // 100, rows * 18 // 100, 0], unseen=rows * 4 // 100)
    told = compare(VALUES.model_copy(update={"cells": [10_000, 6250, 3750, 0]}), found, LEVEL, 0.05)
    assert (told.fault, told.effect) == (None, 0.0)


def test_a_rare_value_that_came_a_few_times_more_is_none() -> None:
    feature = WatchedFeature(name="town", kind="values", cells=[99_990, 10, 0])
    for more in range(8):
        assert compare(feature, counts([1000 - more, more, 0]), LEVEL, 0.05).effect < 0.05


def test_one_cell_that_is_left_shows_where_a_distribution_function_does_not() -> None:
    # Every second bin is empty now, which moves the distribution function by 0.05 only.
    found = compare(NUMBERS, counts([100, 0] * 10), LEVEL, 0.05)
    assert found.effect > 0.3


def test_the_features_of_a_window_are_told_by_their_scores_and_never_more_than_five() -> None:
    features = [NUMBERS.model_copy(update={"name": f"x{place}"}) for place in range(8)]
    moved = [counts([50 + 5 * place] * 10 + [50 - 5 * place] * 10) for place in range(8)]
    told = result(WatchedReference(features=features), moved, 1000, WATCH)
    assert [one.name for one in told.features] == ["x7", "x6", "x5", "x4", "x3"]
    assert told.features[0].score == told.score == pytest.approx(0.35 / 0.05, abs=0.3)
    assert told.alarming >= 5
    assert told.alarms


def test_a_score_is_a_number_however_small_the_least_effect_is() -> None:
    reference = WatchedReference(features=[NUMBERS])
    found = result(reference, [counts([1000] + [0] * 19)], 1000, Watch(min_effect=5e-324))
    assert (found.alarms, found.score) == (True, 1e6)


def test_the_faults_of_a_window_are_told_worst_first_and_all_are_counted() -> None:
    features = [NUMBERS.model_copy(update={"name": f"x{place}"}) for place in range(8)]
    moved = [counts([40 - place] * 20, missing=200 + 20 * place) for place in range(8)]
    told = result(WatchedReference(features=features), moved, 1000, WATCH)
    assert [one.name for one in told.data_quality] == ["x7", "x6", "x5", "x4", "x3"]
    assert (told.problems, told.score, told.alarms, told.features) == (8, 0.0, False, [])


def test_what_is_significant_and_too_small_scores_below_one_and_does_not_alarm() -> None:
    many = counts([5200] * 10 + [4800] * 10)
    told = result(WatchedReference(features=[NUMBERS]), [many], 100_000, WATCH)
    assert 0 < told.score < 1
    assert not told.alarms


class TestWindow:
    reference = WatchedReference(features=[NUMBERS, VALUES])
    good = (counts([1] * 20, missing=2, below=3, above=4), counts([1, 2, 3, 4], unseen=5))

    def test_batches_add_up(self) -> None:
        window = Window(self.reference, 0.0)
        window.add(29, self.good)
        window.add(40, self.good)
        assert window.rows == 69
        assert window.counts == [
            counts([2] * 20, missing=4, below=6, above=8),
            counts([2, 4, 6, 8], unseen=10),
        ]

    @pytest.mark.parametrize(
        ("rows", "told", "wrong"),
        [
            (29, good[:1], "counts: 1 features, but the reference has 2"),
            (29, (good[0], good[0]), r"counts\.1\.cells: 20, but the reference has 4"),
            (28, good, r"counts\.0: they add up to more than the 28 rows"),
        ],
    )
    def test_counts_that_are_not_of_the_reference_are_refused_and_none_of_them_is_added(
        self, rows: int, told: Any, wrong: str
    ) -> None:
        window = Window(self.reference, 0.0)
        with pytest.raises(CountsError, match=wrong):
            window.add(rows, told)
        assert window.rows == 0
        assert window.counts == [counts([0] * 20), counts([0] * 4)]

    @pytest.mark.parametrize(
        ("rows", "now", "over"), [(999, 1e9, False), (1000, 59.0, False), (1000, 60.0, True), (5000, 61.0, True)]
    )
    def test_it_is_over_with_enough_rows_and_not_before_its_time(self, rows: int, now: float, over: bool) -> None:
        window = Window(WatchedReference(features=[NUMBERS]), 0.0)
        window.add(rows, [counts([0] * 20)])
        assert window.over(Watch(rows=1000, seconds=60), now) is over


FEATURE = st.tuples(
    st.sampled_from(["numbers", "values"]),
    st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), max_size=64),
    st.tuples(*[st.integers(0, 10**5)] * 5),
)


@given(drawn=st.lists(FEATURE, max_size=12), alpha=st.floats(1e-6, 0.2), least=st.floats(0.01, 1.0))
def test_any_counts_have_a_result_whose_words_are_bounded(
    drawn: list[tuple[Any, list[tuple[int, int]], tuple[int, ...]]], alpha: float, least: float
) -> None:
    features, found = [], []
    for place, (kind, cells, (missing, lost, below, above, unseen)) in enumerate(drawn):
        known = [one for one, _ in cells]
        features.append(WatchedFeature(name=f"x{place}", kind=kind, cells=known, missing=missing))
        found.append(counts([one for _, one in cells], missing=lost, below=below, above=above, unseen=unseen))
    told = result(WatchedReference(features=features), found, 10**6, Watch(alpha=alpha, min_effect=least))
    assert told.alarms == (told.score >= 1)
    assert told.score <= 1 / least + 1e-3
    assert len(told.features) <= 5
    assert len(told.data_quality) == min(5, told.problems)
    assert not {one.name for one in told.features} & {one.name for one in told.data_quality}


class TestFalseAlarmsAndPower:
    """The bounds of the simulation in the decision page: 30 normal features, 20,000 training rows."""

    def test_at_most_two_windows_in_a_hundred_alarm_by_chance_and_never_two_of_three(self) -> None:
        told = list(drawn(1, 300, 1000))
        assert alarms(iter(told), 1, 1) <= 0.02
        assert alarms(iter(told), 2, 3) == 0
        assert sum(one.problems for one in told) == 0

    def test_half_a_standard_deviation_in_one_feature_alarms(self) -> None:
        told = list(drawn(2, 60, 1000, away=Away(1, mean=0.5)))
        assert alarms(iter(told), 1, 1) >= 0.95
        assert {one.features[0].name for one in told} == {"x0"}

    @pytest.mark.parametrize(("training", "rows"), [(60, 1000), (200, 1000), (1000, 10_000), (20_000, 1000)])
    @pytest.mark.parametrize(
        ("different", "power"), [(3, 4.0), (50, 1.5), (60, 0.0), (1000, 1.0), (5000, 0.0)], ids=str
    )
    def test_values_that_are_as_frequent_as_in_training_do_not_alarm(
        self, training: int, rows: int, different: int, power: float
    ) -> None:
        """different: values, from which the k-th is there as often as 1 / k ** power."""
        shares = 1 / np.arange(1, different + 1) ** power
        told = list(drawn_values(1, 25, rows, shares / shares.sum(), training=training))
        assert alarms(iter(told), 1, 1) <= 0.08, "of 25, one or two"
        assert alarms(iter(told), 2, 3) == 0
        assert sum(one.problems > 0 for one in told) <= 1

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("rows", "training", "most"),
        [
            *((rows, 20_000, 0.02) for rows in (200, 500, 1000, 5000)),
            *((1000, 1000, 0.02), (1000, 200, 0.02), (100, 60, 0.03), (1000, 60, 0.03), (10_000, 60, 0.03)),
        ],
    )
    def test_false_alarms_are_rare_whatever_the_sizes(self, rows: int, training: int, most: float) -> None:
        told = list(drawn(3, 1000, rows, training=training))
        assert alarms(iter(told), 1, 1) <= most
        # What chance did to few training rows is the same in all windows that are held against them.
        assert alarms(iter(told), 2, 3) <= (0.003 if training > 100 else 0.01)
        assert sum(one.problems > 0 for one in told) <= 10

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("rows", "away", "least"),
        [
            (500, Away(1, mean=0.5), 0.95),
            (500, Away(1, mean=0.2), 0.25),
            (500, Away(1, spread=1.5), 0.95),
            (500, Away(1, spread=1.2), 0.35),
            (1000, Away(1, mean=0.5), 0.95),
            (1000, Away(1, mean=0.2), 0.7),
            (1000, Away(1, spread=1.2), 0.85),
            (1000, Away(15, mean=0.1), 0.6),
            (5000, Away(1, mean=0.2), 0.95),
        ],
    )
    def test_drift_that_matters_is_found(self, rows: int, away: Away, least: float) -> None:
        assert alarms(drawn(4, 200, rows, away=away), 1, 1) >= least

    @pytest.mark.long
    def test_a_shift_that_is_too_small_to_matter_does_not_alarm_however_many_rows_show_it(self) -> None:
        assert alarms(drawn(5, 100, 100_000, training=100_000, away=Away(1, mean=0.08)), 1, 1) <= 0.02
