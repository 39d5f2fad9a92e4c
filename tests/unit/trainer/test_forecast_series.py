"""Rows become series: the step is told from the times, what is there twice or missing is found and said."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.forecast import Gaps
from headway_trainer.data.forecast.series import Columns, Series, make_series
from headway_trainer.data.forecast.step import Step, tell_step
from headway_trainer.errors import UserError

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2024, 1, 31)  # noqa: DTZ001 - as a table has it, without a zone


def _series(times: list[Any], groups: list[Any] | None = None, gaps: Gaps = "refuse") -> Series:
    columns = {"t": pa.array(times, pa.timestamp("us") if isinstance(times[0], datetime.datetime) else None)}
    if groups is not None:
        columns["shop"] = pa.array(groups)
    return make_series(pa.table(columns), Columns("t", "shop" if groups else None), gaps, lambda row: f"row {row + 1}")


def _dates(*texts: str) -> list[datetime.datetime]:
    return [datetime.datetime.fromisoformat(text) for text in texts]


def _micros(*texts: str) -> Any:
    return np.array(texts, dtype="datetime64[us]").astype(np.int64)


@pytest.mark.parametrize(
    ("times", "step", "season"),
    [
        (_dates("2024-01-01", "2024-01-02", "2024-01-03"), "1 day", 7),
        (_dates("2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T02:00"), "1 hour", 24),
        (_dates("2024-01-01T00:00", "2024-01-01T00:15", "2024-01-01T00:30"), "15 minutes", None),
        (_dates("2024-01-06", "2024-01-13", "2024-01-20"), "7 days", 52),
        (_dates("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"), "1 month", 12),
        (_dates("2024-01-15", "2024-04-15", "2024-07-15"), "3 months", 4),
        (_dates("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"), "1 month", 12),
        (_dates("2023-06-01", "2024-06-01", "2025-06-01"), "12 months", None),
        (_dates("2024-01-01", "2024-01-29", "2024-02-26"), "28 days", None),
        ([1700, 1701, 1702], "1", None),
        ([0.1, 0.2, 0.3, 0.4], "0.1", None),
        ([1e-10, 2e-10, 3e-10, 4e-10], "1e-10", None),
        ([1_700_000_000_000_000_001, 1_700_000_000_000_000_002, 1_700_000_000_000_000_003], "1", None),
    ],
)
def test_the_step_and_its_season_are_told_from_the_times(times: list[Any], step: str, season: int | None) -> None:
    series = _series(times)
    assert str(series.step) == step
    assert series.step.season == season
    assert (series.segment == 0).all(), "and no row is a gap away from the next"


@pytest.mark.parametrize(
    ("step", "last", "following"),
    [
        (Step(unit="months", size=1), "2024-01-31", ["2024-02-29", "2024-03-31"]),
        (Step(unit="months", size=1, month_end=True), "2024-02-29", ["2024-03-31", "2024-04-30"]),
        (Step(unit="months", size=3), "2024-11-01T06:00", ["2025-02-01T06:00", "2025-05-01T06:00"]),
        (Step(unit="microseconds", size=3_600_000_000), "2024-02-28T23:00", ["2024-02-29T00:00", "2024-02-29T01:00"]),
    ],
)
def test_times_go_on_by_the_step(step: Step, last: str, following: list[str]) -> None:
    assert step.after(_micros(last)[0], 2).tolist() == _micros(*following).tolist()


@given(
    unit=st.sampled_from(["months", "microseconds"]),
    size=st.integers(1, 6),
    start=st.dates(datetime.date(1950, 1, 1), datetime.date(2050, 1, 28)).filter(lambda day: day.day <= 28),
    count=st.integers(3, 40),
)
def test_times_that_go_on_by_a_step_have_that_step(unit: Any, size: int, start: datetime.date, count: int) -> None:
    step = Step(unit=unit, size=size if unit == "months" else size * 3_600_000_000)
    first = _micros(start.isoformat())
    times = np.concatenate([first, step.after(first[0], count)])
    told = tell_step(times, np.ones(count, dtype=bool), calendar=True)
    assert told.reaches(times).all()
    assert told.after(times[-2], 1)[0] == times[-1]


def test_rows_in_any_order_become_series_in_the_order_of_time() -> None:
    series = _series([START + DAY, START, START + DAY * 2, START + DAY], ["b", "b", "a", "a"])
    assert series.order.tolist() == [1, 0, 3, 2]
    assert [series.names[code] for code in series.series] == ["b", "b", "a", "a"]
    assert series.notes == ["2 series of 2 rows from 2024-01-31 to 2024-02-02; one step is 1 day."]


@pytest.mark.parametrize(
    ("times", "groups", "words"),
    [
        ([START, START + DAY, START], None, ["'t' is 2024-01-31 in row 1 and in row 3", "the role group"]),
        ([START, START], ["a", "a"], ["in the series 'a', 't' is 2024-01-31", "leave one of the rows out"]),
        ([5, 5, 5, 6], None, ["'t' is 5 in row 1 and in row 2", "the first of 2 times"]),
        ([START, None, START + DAY], None, ["'t' with the role time is empty in 1 rows, first in row 2"]),
        ([START, START + DAY], ["a", None], ["'shop' with the role group is empty in 1 rows, first in row 2"]),
        (["May", "June"], None, ["holds string values, for example 'May'", "data.read.dateFormat"]),
        ([START, START], ["a", "b"], ["no series has two rows", "the role group"]),
        ([START], None, ["no series has two rows", "give more rows"]),
    ],
)
def test_times_that_make_no_series_are_refused(times: list[Any], groups: list[Any] | None, words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        _series(times, groups)
    assert not [each for each in words if each not in str(refused.value)], refused.value


WITH_GAPS = [START + DAY * day for day in (0, 1, 2, 5, 6, 9)]


def test_missing_steps_are_refused_with_the_place_and_what_to_write() -> None:
    with pytest.raises(UserError) as refused:
        _series(WITH_GAPS)
    assert str(refused.value) == (
        "'t' goes from 2024-02-02 to 2024-02-05 (3 days) in row 4, where the usual step is 1 day (the first of 2 such "
        "places): add rows for the missing steps; or set data.forecast.gaps to leaveOut, so that no window reaches "
        "over a gap, or to ignore, where each row is a step whatever lies between, as with trading days"
    )


def test_gaps_cut_a_series_or_are_taken_for_steps_as_the_job_says_and_a_warning_tells() -> None:
    cut, whole = _series(WITH_GAPS, gaps="leaveOut"), _series(WITH_GAPS, gaps="ignore")
    assert cut.segment.tolist() == [0, 0, 0, 1, 1, 2]
    assert whole.segment.tolist() == [0] * 6
    assert "no window reaches over a gap" in cut.warnings[0]
    assert "each row is taken for one step" in whole.warnings[0]


def test_a_month_that_is_missing_among_months_is_a_gap() -> None:
    with pytest.raises(UserError, match=r"from 2024-02-01 to 2024-04-01 \(60 days\) in row 3, where .* is 1 month"):
        _series(_dates("2024-01-01", "2024-02-01", "2024-04-01", "2024-05-01", "2024-06-01"))


def test_whole_numbers_that_no_float_tells_apart_are_gone_on_from_exactly() -> None:
    nanoseconds = 1_700_000_000_000_000_001
    minute = 60_000_000_000
    series = _series([nanoseconds + minute * step for step in range(4)])
    assert series.step.after(series.times[-1], 2).tolist() == [nanoseconds + minute * step for step in (4, 5)]
    assert f"from {nanoseconds} to {nanoseconds + 3 * minute}" in series.notes[0]
