"""From the rows of series to their next steps, with a finished model: what `headway predict` does with a forecast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.bundle import VALUE, Signature
from headway_api.forecast import Gaps
from headway_trainer.data.forecast.info import ForecastInfo
from headway_trainer.data.forecast.series import Columns, Series, make_series, shown_time
from headway_trainer.data.forecast.step import Times
from headway_trainer.errors import UserError
from headway_trainer.export.session import Session

_WINDOWS = 256
"""Series that are forecast at once."""
_DAY, _SECOND = 86_400_000_000, 1_000_000
_LARGEST_WHOLE = 2.0**63


@dataclass(frozen=True)
class _Ends:
    """Where series end."""

    rows: npt.NDArray[np.int64]
    """(series,): the position of each one's last row, in the order of the series."""
    names: list[str]
    times: Times
    """(series * horizon,): the times that follow, series by series."""


def forecast(
    table: pa.Table, info: ForecastInfo, signature: Signature, session: Session, uri: str
) -> Iterator[pa.Table]:
    """The next steps of each series in a table, some series at a time: the time, the series' name where there are
    several, and each target in its units.

    table: the rows of a file as the model takes them, in any order, with the columns of time and of group. Raises
    UserError for a series whose last rows are no window that the model can take.
    """
    if not len(table):
        return
    columns = Columns(info.time, info.group)
    gaps: Gaps = "ignore" if info.ignores_gaps else "leaveOut"
    series = make_series(table, columns, gaps, lambda row: f"row {row + 1} of {uri}", info.step)
    ends = _ends(series, info)
    windows = ends.rows[:, np.newaxis] + np.arange(1 - info.history, 1)
    targets = signature.outputs[0].names
    _refuse_unknown(table, targets, series, windows, uri)
    stamps = _stamps(ends.times, calendar=series.calendar)
    for start in range(0, len(windows), _WINDOWS):
        some = series.order[windows[start : start + _WINDOWS].ravel()]
        values = session.run(table.take(pa.array(some)))[VALUE].reshape(-1, len(targets))
        rows = slice(start * info.horizon, start * info.horizon + len(values))
        said = {info.time: stamps[rows]}
        if info.group is not None:
            names = ends.names[start : start + _WINDOWS]
            said[info.group] = pa.array([name for name in names for _ in range(info.horizon)], pa.string())
        yield pa.table(said | {name: values[:, index] for index, name in enumerate(targets)})


def _ends(series: Series, info: ForecastInfo) -> _Ends:
    """The end of each series. Raises UserError where one has too few rows in a row before it."""
    last = np.flatnonzero(np.concatenate([series.series[1:] != series.series[:-1], [True]]))
    sizes = np.bincount(series.segment)
    short = np.flatnonzero(sizes[series.segment[last]] < info.history)
    if len(short):
        row = int(last[short[0]])
        of = f"the series {series.names[series.series[row]]!r}" if info.group else "the series"
        length, whole = int(sizes[series.segment[row]]), int(np.sum(series.series == series.series[row]))
        gap = f" without a gap, of {whole}," if whole > length else ""
        raise UserError(
            f"{of} ends at {shown_time(series.times[row], calendar=series.calendar)} with {length} rows{gap} and the "
            f"model sees {info.history} steps of {info.step}: give the rows before, or take the series out"
            + (f" ({len(short)} of {len(last)} series are too short)" if len(short) > 1 else "")
        )
    times = np.concatenate([series.step.after(series.times[row], info.horizon) for row in last])
    return _Ends(last.astype(np.int64), [series.names[series.series[row]] for row in last], times)


def _refuse_unknown(
    table: pa.Table, targets: list[str], series: Series, windows: npt.NDArray[np.int64], uri: str
) -> None:
    """Raise UserError where a target is missing in a row that the model sees: nothing but a guess could stand there."""
    for name in targets:
        missing = table[name].is_null().to_numpy()[series.order]
        if missing[windows].any():
            row = int(windows[missing[windows]][0])
            raise UserError(
                f"{name!r} is empty in row {series.order[row] + 1} of {uri}, which the model sees: fill it in; rows of "
                "the steps that are to be forecast are not given"
            )


def _stamps(times: Times, *, calendar: bool) -> pa.Array:
    """Times as they are written: days where all are whole days; numbers where the column counts its steps."""
    if not calendar:
        whole = bool((times == np.round(times)).all() and (np.abs(times) < _LARGEST_WHOLE).all())
        return pa.array(times.astype(np.int64) if whole else times)
    stamps = pa.array(times.astype(np.int64), pa.timestamp("us"))
    if not (times % _DAY).any():
        return stamps.cast(pa.date32())
    return stamps if (times % _SECOND).any() else stamps.cast(pa.timestamp("s"))
