"""Which cells are compared one by one, and which together: none is lost, and chance has no say in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headway_server.judge.drift.cells import neighbours, together, values

COUNTS = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), min_size=1, max_size=64)


def test_bins_are_taken_together_with_their_neighbours_until_they_have_rows_enough() -> None:
    assert neighbours([1000, 8, 9, 1000, 7], [300, 90, 120, 300, 90]) == [(1000, 300), (1024, 600)]
    assert neighbours([100] * 3, [1] * 3) == [(300, 3)], "of three rows none can be told apart"
    assert neighbours([3, 4], [100, 0]) == [(7, 100)]


def test_frequent_values_stand_by_themselves_and_rare_ones_together_with_new_ones() -> None:
    frequent, rare = values([1000, 800, 3, 2, 0], [90, 100, 1, 0, 0], 2)
    assert (frequent, rare) == ([(1000, 90), (800, 100)], (5, 3))
    assert together(frequent, rare) == [(805, 103), (1000, 90)]
    assert together([], (5, 3)) == [(5, 3)]


def test_a_value_that_has_become_frequent_stands_by_itself() -> None:
    assert values([1000, 3, 0], [500, 500, 0], 0)[0] == [(1000, 500), (3, 500)]


def test_names_that_are_there_by_luck_are_taken_together_with_those_that_have_none() -> None:
    # Each of 50 names came 4 to 6 times, of a thousand that might have: no name is more frequent than others.
    frequent, rare = values([6, 5, *[4] * 48, 3000], [1] * 50 + [950], 0)
    assert (frequent, rare) == ([(3203, 1000)], (0, 0))
    # Of these the first two are, and the first is far above what luck gives.
    frequent, _ = values([5000, 60, *[4] * 48, 3000], [600, 9, *[1] * 48, 343], 0)
    assert frequent == [(5000, 600), (60, 9), (3192, 391)]
    # Where all are named, there is no luck in having a name.
    assert len(values([30, 29, 28, 27, 0], [300, 290, 280, 270, 0], 0)[0]) == 4


@given(counts=COUNTS, unseen=st.integers(0, 10**5))
def test_no_row_is_lost_or_counted_twice(counts: list[tuple[int, int]], unseen: int) -> None:
    known, found = [r for r, _ in counts], [c for _, c in counts]
    for cells, more in ((neighbours(known, found), 0), (together(*values(known, found, unseen)), unseen)):
        assert sum(r for r, _ in cells) == sum(known)
        assert sum(c for _, c in cells) == sum(found) + more


@given(counts=COUNTS, data=st.data())
def test_the_order_of_names_does_not_matter(counts: list[tuple[int, int]], data: st.DataObject) -> None:
    *named, others = counts
    again = [*data.draw(st.permutations(named)), others]
    one, other = (together(*values([r for r, _ in each], [c for _, c in each], 7)) for each in (counts, again))
    assert sorted(one) == sorted(other)
