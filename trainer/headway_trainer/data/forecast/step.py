"""The step of a series: the usual time between two rows, and the times that follow by it. Pure."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from headway_api.base import StatusSection

Times: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float64]
"""Microseconds since 1970, UTC; or the numbers of a column that counts its steps."""

_MICROSECONDS = (("day", 86_400_000_000), ("hour", 3_600_000_000), ("minute", 60_000_000), ("second", 1_000_000))
_SHORTEST_MONTH = 28 * 86_400_000_000
_TOLERANCE = 1e-6
"""Of a step between decimal numbers: what is left of their differences is rounding."""
_SEASONS = {3_600_000_000: 24, 86_400_000_000: 7, 7 * 86_400_000_000: 52}
"""Steps of a season by the step in microseconds: a day of hours, a week of days, a year of weeks."""
_MONTHS = 12
_DIGITS = 9


class Step(StatusSection):
    """How far one row of a series is from the next."""

    unit: Literal["microseconds", "months", "numbers"]
    """Months are those of the calendar: they differ in length."""
    size: float
    """How many of them."""
    month_end: bool = False
    """Of months: whether each row is of the last day of its month."""

    def reaches(self, times: Times) -> npt.NDArray[np.bool_]:
        """(rows - 1,): whether the next of each of the times is one step away."""
        if self.unit == "months":
            apart: Times = _months_apart(times, month_end=self.month_end)
        else:
            apart = np.diff(times)
        tolerance = _TOLERANCE * self.size if self.unit == "numbers" else 0
        even: npt.NDArray[np.bool_] = np.abs(apart - self.size) <= tolerance
        return even

    def after(self, time: float, steps: int) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """(steps,): the times that follow a time."""
        ahead = np.arange(1, steps + 1)
        if self.unit == "months":
            return _months_on(int(time), ahead * int(self.size), month_end=self.month_end)
        if self.unit == "microseconds":
            return int(time) + ahead * int(self.size)
        if isinstance(time, int | np.integer) and self.size.is_integer():
            return int(time) + ahead * int(self.size)  # nanoseconds since 1970 are beyond what floats tell apart
        return (time + ahead * self.size).astype(np.float64)

    @property
    def season(self) -> int | None:
        """The steps of a season, where the step tells of one."""
        if self.unit == "months":
            return _MONTHS // int(self.size) if self.size in (1, 2, 3, 4, 6) else None
        return _SEASONS.get(int(self.size)) if self.unit == "microseconds" else None

    def __str__(self) -> str:
        if self.unit == "months":
            return _counted(self.size, "month")
        return span(self.size) if self.unit == "microseconds" else f"{self.size:.6g}"


def tell_step(times: Times, within: npt.NDArray[np.bool_], *, calendar: bool) -> Step:
    """The step that most rows have to their next one.

    times (rows,) grow within each series; within (rows - 1,) says whether a row and the next are of one series,
    and is true at least once. calendar: whether times are microseconds since 1970.
    """
    apart = np.diff(times)[within]
    if not calendar:
        # Differences of decimal numbers are not exact: those that 9 digits do not tell apart are the same.
        digits = _DIGITS - math.floor(math.log10(float(np.median(apart))))
        values, counts = np.unique(apart.astype(np.float64).round(digits), return_counts=True)
        return Step(unit="numbers", size=float(values[counts.argmax()]))
    values, counts = np.unique(apart, return_counts=True)
    fixed = Step(unit="microseconds", size=float(values[counts.argmax()]))
    if fixed.size < _SHORTEST_MONTH:
        return fixed
    found, even = fixed, int(fixed.reaches(times)[within].sum())
    for month_end in (False, True):
        months = _months_apart(times, month_end=month_end)[within]
        whole = months[months > 0]
        if not len(whole):
            continue
        lengths, counts = np.unique(whole, return_counts=True)
        # Few months may be as many days: then months are likelier than 91 days, say.
        if counts.max() > even or (found is fixed and counts.max() == even):
            even = int(counts.max())
            found = Step(unit="months", size=float(lengths[counts.argmax()]), month_end=month_end)
    return found


def span(microseconds: float) -> str:
    """A length of time in words, as `3 days`."""
    for unit, size in _MICROSECONDS:
        if microseconds >= size:
            return _counted(microseconds / size, unit)
    return f"{microseconds:.6g} microseconds"


def _counted(count: float, unit: str) -> str:
    return f"{count:.6g} {unit}{'' if count == 1 else 's'}"


def _dated(times: Times) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.datetime64], npt.NDArray[np.int64]]:
    """The month of each time, its day, and the microseconds of the day."""
    stamps = np.asarray(times).astype(np.int64).astype("datetime64[us]")
    days = stamps.astype("datetime64[D]")
    return stamps.astype("datetime64[M]"), days, (stamps - days).astype(np.int64)


def _months_apart(times: Times, *, month_end: bool) -> npt.NDArray[np.int64]:
    """(rows - 1,): the whole months between a time and the next; 0 where these are no whole months."""
    months, days, clock = _dated(times)
    day = (days - months.astype("datetime64[D]")).astype(np.int64)
    last = ((months + 1).astype("datetime64[D]") - days).astype(np.int64) == 1
    same = (last[1:] & last[:-1]) if month_end else day[1:] == day[:-1]
    apart: npt.NDArray[np.int64] = np.where(same & (clock[1:] == clock[:-1]), np.diff(months).astype(np.int64), 0)
    return apart


def _months_on(time: int, months: npt.NDArray[np.int64], *, month_end: bool) -> npt.NDArray[np.int64]:
    month, day, clock = (one[0] for one in _dated(np.array([time])))
    later = month + months
    first, end = later.astype("datetime64[D]"), (later + 1).astype("datetime64[D]") - 1
    days = end if month_end else np.minimum(first + (day - month.astype("datetime64[D]")), end)
    moved: npt.NDArray[np.int64] = days.astype("datetime64[us]").astype(np.int64) + clock
    return moved
