"""Windows: every one that the series hold, none across a cut in time, and nothing that is fitted sees a later row."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_trainer.data import DataInfo, read_split
from headway_trainer.data.batches import Batches, Feed
from headway_trainer.data.forecast.info import SERIES_FILE
from headway_trainer.data.info import SPLITS
from headway_trainer.data.shards import read_series
from headway_trainer.errors import UserError
from headway_trainer.storage import Store
from series import FIRST_DAY, prepared, sales

CPU = torch.device("cpu")


def _windows(info: DataInfo, store: Store, split: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where the windows of a part begin, what they see, and their targets."""
    starts, y = read_split(store, info, split)
    return starts, Feed(info, CPU, read_series(store, info))(starts), y


def _ordered(table: pa.Table) -> pa.Table:
    """As the series are stored: shop by shop, as they come, and day by day."""
    shops = list(dict.fromkeys(table["shop"].to_pylist()))
    return pa.concat_tables(
        table.filter(pa.array([one == shop for one in table["shop"].to_pylist()])).sort_by("day") for shop in shops
    )


def _days(table: pa.Table) -> np.ndarray[Any, Any]:
    return np.array([(one - FIRST_DAY).days for one in table["day"].to_pylist()])


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=4),
    begins=st.lists(st.integers(0, 10), min_size=4, max_size=4),
    history=st.integers(1, 6),
    horizon=st.integers(1, 4),
    seed=st.integers(0, 5),
)
def test_targets_of_parts_follow_each_other_in_time_and_every_window_of_one_part_is_there(
    lengths: list[int], begins: list[int], history: int, horizon: int, seed: int
) -> None:
    table = sales(lengths, seed, begins[: len(lengths)])
    with tempfile.TemporaryDirectory() as folder:
        try:
            info, store = prepared(table, Path(folder), history, horizon)
        except UserError as error:
            assert "data.forecast" in str(error) or "cannot be divided" in str(error)  # noqa: PT017 - some are too short
            return
        ordered = _ordered(table)
        days, shops = _days(ordered), ordered["shop"].to_pylist()
        mean, std = info.target_mean[0], info.target_std[0]
        cuts: list[tuple[int, int]] = []
        found: set[int] = set()
        for split in SPLITS:
            starts, seen, y = _windows(info, store, split)
            ahead = starts.numpy()[:, None] + history + np.arange(horizon)
            values = y.numpy() * std + mean
            assert np.allclose(values, np.array(ordered["sold"])[ahead], rtol=1e-5)
            for start in starts.tolist():
                rows = range(start, start + history + horizon)
                assert len({shops[row] for row in rows}) == 1, "of one series"
                assert np.diff(days[list(rows)]).tolist() == [1] * (len(rows) - 1), "one step after the other"
            assert seen.shape == (len(starts), history, len(info.feature_names or ()))
            cuts.append((days[ahead].min(), days[ahead].max()))
            found |= set(starts.tolist())
        assert cuts[0][1] < cuts[1][0]
        assert cuts[1][1] < cuts[2][0]
        # What is in no part crosses a cut: its first target is before the cut and its last one is not.
        whole = [
            start
            for start in range(len(days) - history - horizon + 1)
            if shops[start] == shops[start + history + horizon - 1]
        ]
        for start in set(whole) - found:
            first, last = days[start + history], days[start + history + horizon - 1]
            assert any(first < cut <= last for cut, _ in cuts[1:]) or any(first <= cut < last for _, cut in cuts[:2])


@settings(max_examples=15)
@given(seed=st.integers(0, 20), history=st.integers(1, 5), horizon=st.integers(1, 3))
def test_nothing_that_is_fitted_sees_a_row_after_the_training_part(seed: int, history: int, horizon: int) -> None:
    table = sales([40, 30], seed)
    with tempfile.TemporaryDirectory() as folder:
        info, store = prepared(table, Path(folder) / "a", history, horizon)
        starts, _ = read_split(store, info, "train")
        days = _days(_ordered(table))
        last = days[starts.numpy() + history + horizon - 1].max()
        # All that is later is replaced by values far away, and by a category that was never seen.
        later = pa.array(_days(table) > last)
        changed = {name: table[name] for name in table.column_names}
        for name in ("sold", "visitors", "price"):
            changed[name] = pa.compute.if_else(later, 1e6, table[name])
        changed["weather"] = pa.compute.if_else(later, "hail", table["weather"])
        other, _ = prepared(pa.table(changed), Path(folder) / "b", history, horizon)
    assert other.transforms == info.transforms
    assert (other.target_mean, other.target_std) == (info.target_mean, info.target_std)
    assert info.forecast is not None
    assert other.forecast is not None
    assert other.forecast.naive_mae == info.forecast.naive_mae


def test_rows_are_stored_once_whatever_the_history(tmp_path: Path) -> None:
    table = sales([200, 200])
    sizes = []
    for history in (2, 50):
        info, store = prepared(table, tmp_path / str(history), history, 1)
        features = len(info.feature_names or ())
        assert store.size(SERIES_FILE) < 400 * features * 4 + 200
        sizes.append(sum(store.size(f"data/{split}.x.npy") for split in SPLITS))
    assert sizes[1] < sizes[0], "and a window is where it begins"


def test_shards_of_ranks_are_disjoint_and_all_windows_together(tmp_path: Path) -> None:
    info, store = prepared(sales([60, 45]), tmp_path, 7, 3)
    for split in SPLITS:
        whole = read_split(store, info, split)[0].tolist()
        shards = [read_split(store, info, split, rank, 3)[0].tolist() for rank in range(3)]
        assert [start for shard in shards for start in shard] == whole
        assert len(set(whole)) == len(whole) == info.rows[split]


def test_batches_are_windows_of_the_rows_that_are_asked_for(tmp_path: Path) -> None:
    info, store = prepared(sales([60, 45]), tmp_path, 7, 3)
    rows, series = read_split(store, info, "train"), read_series(store, info)
    assert series is not None
    order = torch.randperm(len(rows[1]))
    batches = list(Batches(rows, info, CPU, series=series).over(order, [(0, 5), (5, 8)]))
    assert [tuple(batch.x.shape) for batch in batches] == [(5, 7, 7), (3, 7, 7)]
    for batch, part in zip(batches, (order[:5], order[5:8]), strict=True):
        for window, start in zip(batch.x, rows[0][part].tolist(), strict=True):
            assert torch.equal(window, series[start : start + 7])
        assert torch.equal(batch.y, rows[1][part])


def test_every_thins_training_windows_alone(tmp_path: Path) -> None:
    all_of_them, _ = prepared(sales([90]), tmp_path / "all", 7, 2)
    info, store = prepared(sales([90]), tmp_path / "some", 7, 2, forecast={"every": 5})
    assert info.rows["train"] == -(-all_of_them.rows["train"] // 5)
    assert (read_split(store, info, "train")[0] % 5 == 0).all()
    assert {name: info.rows[name] for name in SPLITS[1:]} == {name: all_of_them.rows[name] for name in SPLITS[1:]}


@pytest.mark.parametrize(
    ("lengths", "steps", "data", "words"),
    [
        ([30, 20], (40, 5), {}, ["a history of 40 and a horizon of 5 take 45 rows", "the longest one has 30"]),
        ([30], (20, 5), {}, ["no window of 20 and 5 steps lies before", "no series has more than 21 rows there"]),
        ([30], (5, 4), {}, ["the test part has no window", "more than 3 rows there", "the horizon is 4", "split.test"]),
        ([50], (5, 2), {"missingTargets": "refuse", "target": "price"}, ["'price' is empty", "fill it in"]),
        ([50], (5, 2), {"target": "weather"}, ["is text", "data.task is forecasting"]),
    ],
)
def test_too_few_rows_and_targets_that_cannot_be_forecast_are_refused_with_numbers(
    lengths: list[int], steps: tuple[int, int], data: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    table = sales(lengths)
    if data.get("target") == "weather":
        table = table.set_column(5, "weather", pa.array(["sun"] * len(table)))
    with pytest.raises(UserError) as refused:
        prepared(table, tmp_path, *steps, **data)
    assert not [each for each in words if each not in str(refused.value)], refused.value


def test_series_that_are_too_short_are_left_out_and_said(tmp_path: Path) -> None:
    info, _ = prepared(sales([60, 8]), tmp_path, 7, 3)
    assert "1 of 2 series have no 10 rows in a row" in info.warnings[0]
    assert "'shop 1' has 8" in info.warnings[0]


def test_a_gap_that_may_be_left_out_is_in_no_window(tmp_path: Path) -> None:
    table = sales([80])
    hole = FIRST_DAY + datetime.timedelta(days=20)
    table = table.filter(pa.array([one != hole for one in table["day"].to_pylist()]))
    info, store = prepared(table, tmp_path, 7, 3, forecast={"gaps": "leaveOut"})
    starts = read_split(store, info, "train")[0].numpy()
    days = _days(_ordered(table))
    assert ((days[starts + 9] < 20) | (days[starts] > 20)).all()
    assert "no window reaches over a gap" in info.warnings[0]


def test_the_past_of_the_targets_is_learnt_from_where_there_is_nothing_else(tmp_path: Path) -> None:
    table = sales([60]).select(["day", "sold"])
    info, _ = prepared(table, tmp_path, 7, 3, columns={"day": {"role": "time"}})
    assert (info.feature_names, info.input_shape, info.outputs) == (["sold"], (7, 1), 3)
    assert {one.name: one.done for one in info.profile.columns} == {
        "day": "orders the rows",
        "sold": "forecast, its past is seen",
    }


def test_several_targets_are_stored_step_by_step(tmp_path: Path) -> None:
    table = sales([60])
    info, store = prepared(table, tmp_path, 7, 2, target=None, targets=["sold", "visitors"])
    starts, _, y = _windows(info, store, "test")
    values = y.numpy().reshape(-1, 2, 2) * info.target_std + info.target_mean
    ordered = _ordered(table)
    for index, name in enumerate(("sold", "visitors")):
        column = np.array(ordered[name])
        assert np.allclose(values[:, 0, index], column[starts.numpy() + 7], rtol=1e-5)
        assert np.allclose(values[:, 1, index], column[starts.numpy() + 8], rtol=1e-5)


@pytest.mark.parametrize(("times", "warned"), [(20.0, False), (1000.0, True)])
def test_series_of_sizes_that_one_scale_does_not_fit_are_a_warning(tmp_path: Path, times: float, warned: bool) -> None:
    table = sales([40, 40, 40])
    large = pa.compute.equal(table["shop"], "shop 2")
    sold = pa.compute.if_else(large, pa.compute.multiply(table["sold"], times), table["sold"])
    info, _ = prepared(table.set_column(table.schema.get_field_index("sold"), "sold", sold), tmp_path, 6, 2)
    found = [one for one in info.warnings if "all series have one scale" in one]
    assert bool(found) is warned, info.warnings
    assert all("in the series 'shop 2' and" in one and "in 'shop 0'" in one for one in found)
