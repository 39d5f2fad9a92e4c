"""From a table and its parts to what is forecast: the series, their windows, and what people should know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.data import Data
from headway_api.forecast import Forecast
from headway_trainer.data.forecast.info import ForecastInfo
from headway_trainer.data.forecast.series import Columns, Series, make_series
from headway_trainer.data.forecast.sizes import size_warnings
from headway_trainer.data.forecast.windows import Windows, cut_windows, naive_errors
from headway_trainer.data.schema import Schema
from headway_trainer.data.split.parts import Indices, PartOf, Parts
from headway_trainer.errors import UserError

_BLOCK_NUMBERS = 2**19
"""Numbers of targets that are picked out at once."""


@dataclass(frozen=True)
class Plan:
    """How the rows of a table are forecast."""

    forecast: Forecast
    columns: Columns
    series: Series
    part_of: PartOf
    """(rows,): the part of each row, in the order of the series."""
    windows: Windows
    sizes: list[str]
    """Warnings of series that one scale does not fit."""

    @property
    def season(self) -> int | None:
        """The steps of a season, given or told."""
        return self.forecast.season or self.series.step.season

    @property
    def warnings(self) -> list[str]:
        """What may cost people something."""
        return [*self.series.warnings, *self.windows.warnings, *self.sizes]

    @property
    def notes(self) -> list[str]:
        """What else was done."""
        return [*self.series.notes, *self.windows.notes, *self._of_season()]

    def _of_season(self) -> Iterator[str]:
        if self.season is None:
            return
        told = "as given" if self.forecast.season else f"told from the step of {self.series.step}"
        if self.season > self.forecast.history:
            yield (
                f"A season of {self.season} steps ({told}) is longer than the history of {self.forecast.history}, so "
                "the model is not compared with the forecast that repeats the last season."
            )
        else:
            yield f"A season has {self.season} steps, {told}."

    def info(self, values: npt.NDArray[Any], targets: list[int]) -> ForecastInfo:
        """What is to be known of it. values: the targets (rows,) or (rows, targets), as the table has them; targets:
        which of the features each of them is."""
        ordered = values.reshape(len(values), -1).astype(np.float64, copy=False)[self.series.order]
        return ForecastInfo(
            history=self.forecast.history,
            horizon=self.forecast.horizon,
            time=self.columns.time,
            calendar=self.series.calendar,
            group=self.columns.group,
            step=self.series.step,
            ignores_gaps=self.forecast.gaps == "ignore",
            season=self.season,
            naive_mae=naive_errors(ordered, self.series.segment, self.part_of == 0, self.season or 1),
            targets=targets,
            rows=len(self.series.order),
        )

    def targets_of(self, y: npt.NDArray[np.float32], starts: Indices) -> Iterator[npt.NDArray[np.float32]]:
        """The forecast rows of windows, (windows, horizon * targets), in blocks; y: (rows,) or (rows, targets), as the
        table has them."""
        ordered = y.reshape(len(y), -1)[self.series.order]
        ahead = self.forecast.history + np.arange(self.forecast.horizon)
        wide = self.forecast.horizon * ordered.shape[1]
        step = max(1, _BLOCK_NUMBERS // wide)
        for begin in range(0, len(starts), step):
            rows = starts[begin : begin + step, np.newaxis] + ahead
            yield ordered[rows].reshape(-1, wide)


def plan_forecast(
    spec: Data, schema: Schema, table: pa.Table, parts: Parts, *, seed: int, where: Callable[[int], str]
) -> Plan:
    """Make series and windows of the rows of a table, of which parts tells which are before each point in time.

    Raises UserError for rows that are no series, and where a part has no window.
    """
    time = next(schema.names("time"), None)
    if spec.forecast is None or time is None:
        raise UserError("forecasting needs data.forecast, and a column with the role time in data.columns")
    columns = Columns(time, next(schema.names("group"), None))
    series = make_series(table, columns, spec.forecast.gaps, where)
    part_of = np.empty(len(table), dtype=np.int8)
    for number, rows in enumerate(parts.indices):
        part_of[rows] = number
    part_of = part_of[series.order]
    wanted = (True, spec.split.validation > 0, spec.split.test > 0)
    windows = cut_windows(series, part_of, spec.forecast, wanted, seed)
    names = schema.names("target") if columns.group is not None else ()
    targets = {name: _numbers(table[name])[series.order] for name in names}
    return Plan(spec.forecast, columns, series, part_of, windows, size_warnings(targets, series, part_of == 0))


def _numbers(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """(rows,), NaN where a value is missing or no number."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return np.full(len(values), np.nan)
    numbers: npt.NDArray[np.float64] = values.cast(pa.float64()).to_numpy()
    return numbers
