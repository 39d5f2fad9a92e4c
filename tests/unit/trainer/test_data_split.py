"""The split: disjoint parts that cover all rows, decided by the seed alone, with each class's share in each part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headway_trainer.data.split import Parts
from headway_trainer.data.split.at_random import split

SEEDS = st.integers(0, 2**31 - 1)


@st.composite
def shares(draw: st.DrawFn) -> tuple[float, float, float]:
    validation = draw(st.integers(0, 49))
    test = draw(st.integers(0, 49))
    return ((100 - validation - test) / 100, validation / 100, test / 100)


def _labels(counts: list[int]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), counts).astype(np.int64)


def _all_rows(parts: Parts) -> list[int]:
    return sorted(np.concatenate(parts.indices).tolist())


@given(rows=st.integers(3, 2000), share=shares(), seed=SEEDS)
def test_parts_are_disjoint_and_cover_all_rows(rows: int, share: tuple[float, float, float], seed: int) -> None:
    parts = split(rows, share, seed)
    assert _all_rows(parts) == list(range(rows))


@given(rows=st.integers(3, 2000), share=shares(), seed=SEEDS)
@example(rows=6, share=(0.57, 0.01, 0.42), seed=0)
def test_sizes_are_the_shares_within_one_row_and_no_part_is_empty(
    rows: int, share: tuple[float, float, float], seed: int
) -> None:
    sizes = [len(index) for index in split(rows, share, seed).indices]
    for size, wanted in zip(sizes, share, strict=True):
        assert (size == 0) == (wanted == 0)
        # A part that would be empty takes its one row from the one that has most above its share.
        one_was_empty = any(0 < each * rows < 1 for each in share)
        assert abs(size - wanted * rows) < 1 + one_was_empty + 1e-9 or size == 1


@given(counts=st.lists(st.integers(3, 200), min_size=2, max_size=30), share=shares(), seed=SEEDS)
def test_stratified_parts_cover_all_rows_and_keep_each_class_within_one_row(
    counts: list[int], share: tuple[float, float, float], seed: int
) -> None:
    labels = _labels(counts)
    parts = split(len(labels), share, seed, labels)
    assert _all_rows(parts) == list(range(len(labels)))
    if not parts.stratified:
        assert any(0 < wanted * len(labels) < len(counts) for wanted in share)
        return
    for index, wanted in zip(parts.indices, share, strict=True):
        found = np.bincount(labels[index], minlength=len(counts))
        assert (np.abs(found - wanted * np.array(counts)) < 1 + 1e-9).all()
        assert abs(len(index) - wanted * len(labels)) < 3


@given(counts=st.lists(st.integers(3, 50), min_size=2, max_size=8), seed=SEEDS)
def test_every_class_is_trained_on_when_stratified(counts: list[int], seed: int) -> None:
    labels = _labels(counts)
    parts = split(len(labels), (0.3, 0.3, 0.4), seed, labels)
    if parts.stratified:
        assert (np.bincount(labels[parts.indices[0]], minlength=len(counts)) > 0).all()


@given(rows=st.integers(10, 500), seed=SEEDS)
def test_the_same_seed_gives_the_same_rows(rows: int, seed: int) -> None:
    first, second = split(rows, (0.7, 0.2, 0.1), seed), split(rows, (0.7, 0.2, 0.1), seed)
    assert all((one == other).all() for one, other in zip(first.indices, second.indices, strict=True))


def test_another_seed_gives_other_rows() -> None:
    first, second = split(500, (0.7, 0.2, 0.1), 1), split(500, (0.7, 0.2, 0.1), 2)
    assert set(first.indices[2].tolist()) != set(second.indices[2].tolist())


def test_the_split_is_the_same_in_every_version() -> None:
    # The figures are what a user's earlier runs had: a change of them is a change of everybody's test rows.
    assert [index.tolist() for index in split(10, (0.7, 0.2, 0.1), 7).indices] == [
        [6, 3, 4, 9, 0, 2, 8],
        [7, 5],
        [1],
    ]


def test_rows_within_a_part_are_shuffled_so_that_each_shard_sees_all_classes() -> None:
    labels = _labels([300, 300])
    train = split(600, (0.7, 0.2, 0.1), 0, labels).indices[0]
    first_half = labels[train[: len(train) // 2]]
    assert 0.35 < first_half.mean() < 0.65


def test_a_class_with_too_few_rows_leaves_the_split_random() -> None:
    labels = _labels([50, 2])
    parts = split(52, (0.7, 0.2, 0.1), 0, labels)
    assert not parts.stratified
    assert _all_rows(parts) == list(range(52))


@pytest.mark.parametrize(("share", "parts"), [((0.7, 0.2, 0.1), 3), ((0.5, 0.5, 0.0), 2)])
def test_fewer_rows_than_parts_cannot_be_split(share: tuple[float, float, float], parts: int) -> None:
    with pytest.raises(ValueError, match=f"{parts - 1} rows cannot be divided into {parts} parts"):
        split(parts - 1, share, 0)
    assert [len(index) > 0 for index in split(parts, share, 0).indices] == [wanted > 0 for wanted in share]
