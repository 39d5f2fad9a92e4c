"""The rows of a table as series in the order of time: a time that is there twice, and steps that are missing. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.forecast import Gaps
from headway_trainer.data.forecast.step import Step, Times, span, tell_step
from headway_trainer.errors import UserError

Indices = npt.NDArray[np.int64]
_IRREGULAR = 0.5
"""Where fewer rows than this share are one step from their next, the times have no step."""


@dataclass(frozen=True)
class Columns:
    """The columns that make series of a table."""

    time: str
    group: str | None


@dataclass(frozen=True)
class Series:
    """Rows by series, and by time within each."""

    order: Indices
    """(rows,): the number of each row in the table."""
    times: Times
    """(rows,): their times, in this order."""
    calendar: bool
    """Whether times are microseconds since 1970."""
    series: Indices
    """(rows,): the number of the series that each row belongs to, in this order."""
    names: list[str]
    """The series' names; one empty one where no column names them."""
    segment: Indices
    """(rows,): the number of the run of rows without a gap that each row belongs to."""
    step: Step
    """How far one row is from the next."""
    warnings: list[str]
    notes: list[str]


def make_series(
    table: pa.Table, columns: Columns, gaps: Gaps, where: Callable[[int], str], step: Step | None = None
) -> Series:
    """Order the rows of a table, and check their times.

    where names a row of the table for people; step is the one that rows are to have, told from them if none. Raises
    UserError for a time that is missing or no time, for one that a series has twice, and for times between which steps
    are missing where `gaps` refuses them.
    """
    times, calendar = _times(table[columns.time], columns.time, where)
    codes, names = _codes(table, columns, where)
    order: Indices = np.lexsort((times, codes)).astype(np.int64)
    times, codes = times[order], codes[order]
    within = codes[1:] == codes[:-1]
    told = _Told(times, calendar, codes, names, columns, lambda row: where(int(order[row])))
    told.refuse_twice(within)
    if step is None:
        if not within.any():
            raise UserError(
                f"no series has two rows, so {columns.time!r} orders nothing: "
                + ("correct the column with the role group" if columns.group else "give more rows")
            )
        step = tell_step(times, within, calendar=calendar)
    even = step.reaches(times)
    missing = np.flatnonzero(within & ~even)
    warnings = told.gaps(missing, step, gaps, pairs=int(within.sum())) if len(missing) else []
    joined = within if gaps == "ignore" else within & even
    segment = np.concatenate([[0], np.cumsum(~joined)]).astype(np.int64) if len(times) else order
    return Series(
        order, times, calendar, codes, names, segment, step, warnings, [told.summary(step)] if len(times) else []
    )


def shown_time(time: float, *, calendar: bool) -> str:
    """A time as people write it."""
    if not calendar:
        return str(int(time)) if isinstance(time, int | np.integer) else f"{time:.12g}"
    text = str(np.int64(time).astype("datetime64[us]")).replace("T", " ")
    return text.removesuffix(".000000").removesuffix(" 00:00:00")


@dataclass(frozen=True)
class _Told:
    """Sentences about ordered rows."""

    times: Times
    calendar: bool
    codes: Indices
    names: list[str]
    columns: Columns
    where: Callable[[int], str]

    def refuse_twice(self, within: npt.NDArray[np.bool_]) -> None:
        """Raise UserError for a series with one time in two rows."""
        twice = np.flatnonzero(within & (np.diff(self.times) == 0))
        if not len(twice):
            return
        row = int(twice[0])
        mend = (
            "leave one of the rows out, or add their values up"
            if self.columns.group
            else "if the rows are of several series, give the column that names them the role group in data.columns; "
            "else leave one of the rows out"
        )
        raise UserError(
            f"{self._of(row)}{self.columns.time!r} is {self._time(row)} in {self.where(row)} and in "
            f"{self.where(row + 1)}{_others(len(twice), 'time that is there twice', 'times that are there twice')}, "
            f"and a series has one row a time: {mend}"
        )

    def gaps(self, missing: Indices, step: Step, gaps: Gaps, *, pairs: int) -> list[str]:
        """Warnings about rows that are not one step from their next. Raises UserError where gaps refuses them."""
        row = int(missing[0])
        apart = float(self.times[row + 1] - self.times[row])
        told = (
            f"{self._of(row)}{self.columns.time!r} goes from {self._time(row)} to {self._time(row + 1)} "
            f"({span(apart) if self.calendar else f'{apart:.6g}'}) in {self.where(row + 1)}, where the usual step is "
            f"{step}{_others(len(missing), 'such place', 'such places')}"
        )
        if gaps == "refuse":
            fill = "add rows for the missing steps" if len(missing) <= _IRREGULAR * pairs else "bring the rows to steps"
            raise UserError(
                f"{told}: {fill}; or set data.forecast.gaps to leaveOut, so that no window reaches over a gap, or to "
                "ignore, where each row is a step whatever lies between, as with trading days"
            )
        if gaps == "leaveOut":
            return [f"{told}: no window reaches over a gap, as data.forecast.gaps says."]
        return [f"{told}: each row is taken for one step, as data.forecast.gaps says; forecasts go on by {step}."]

    def summary(self, step: Step) -> str:
        """How many series of which length."""
        lengths = np.bincount(self.codes)
        first, last = self._shown(self.times.min()), self._shown(self.times.max())
        steps = f"{lengths.min():,}" if lengths.min() == lengths.max() else f"{lengths.min():,} to {lengths.max():,}"
        count = f"{len(lengths):,} series" if self.columns.group else "One series"
        return f"{count} of {steps} rows from {first} to {last}; one step is {step}."

    def _of(self, row: int) -> str:
        return f"in the series {self.names[self.codes[row]]!r}, " if self.columns.group else ""

    def _time(self, row: int) -> str:
        return self._shown(self.times[row])

    def _shown(self, time: float) -> str:
        return shown_time(time, calendar=self.calendar)


def _others(count: int, one: str, several: str) -> str:
    return f" (the first of {count:,} {several if count > 1 else one})" if count > 1 else ""


def _times(values: pa.ChunkedArray, name: str, where: Callable[[int], str]) -> tuple[Times, bool]:
    """The times as numbers of the same order, and whether they are microseconds since 1970."""
    _refuse_empty(values, name, "time", where)
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.int64()).to_numpy(), True
    if pa.types.is_integer(values.type):
        return values.to_numpy(), False
    if not pa.types.is_floating(values.type):
        raise UserError(
            f"the column {name!r} with the role time holds {values.type} values, for example "
            f"{str(values[0].as_py())[:40]!r}, and must hold times or numbers: data.read.dateFormat says how times are "
            "written"
        )
    return values.to_numpy(), False


def _codes(table: pa.Table, columns: Columns, where: Callable[[int], str]) -> tuple[Indices, list[str]]:
    """The number of each row's series, in the order in which they come, and the series' names."""
    if columns.group is None:
        return np.zeros(len(table), dtype=np.int64), [""]
    values = table[columns.group]
    _refuse_empty(values, columns.group, "group", where)
    if not len(values):
        return np.zeros(0, dtype=np.int64), []
    coded = values.combine_chunks().dictionary_encode()
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), [
        str(name) for name in coded.dictionary.to_pylist()
    ]


def _refuse_empty(values: pa.ChunkedArray, name: str, role: str, where: Callable[[int], str]) -> None:
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy()))
        raise UserError(
            f"the column {name!r} with the role {role} is empty in {values.null_count} rows, first in {where(row)}: "
            "fill it in, or leave such rows out"
        )
