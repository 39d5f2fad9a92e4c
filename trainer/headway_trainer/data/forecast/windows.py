"""Which windows there are of ordered rows, and which part each belongs to. Pure.

A window is `history` rows that are seen and the `horizon` rows behind them that are forecast, all of one series and
without a gap. Rows are divided at points in time, the same for all series. A window belongs to the part that all its
forecast rows are of, so those of training lie strictly before those of validation, and these before those of the test;
what a window sees may reach back into an earlier part, as it does when a forecast is made. A window whose forecast rows
are of two parts belongs to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headway_api.forecast import Forecast
from headway_trainer.data.forecast.series import Series
from headway_trainer.data.info import SPLITS
from headway_trainer.data.split.parts import Indices, PartOf, shuffled
from headway_trainer.errors import UserError


@dataclass(frozen=True)
class Windows:
    """The windows of ordered rows."""

    starts: tuple[Indices, Indices, Indices]
    """Of training, validation and test: where each window begins, as positions in `Series.order`, shuffled."""
    warnings: list[str]
    notes: list[str]


def cut_windows(
    series: Series, part_of: PartOf, forecast: Forecast, wanted: tuple[bool, bool, bool], seed: int
) -> Windows:
    """All windows of the series.

    part_of (rows,) is the part of each row, in the order of the series; wanted says which parts are to have windows.
    Raises UserError, with numbers, where a part that is wanted gets none.
    """
    length = forecast.history + forecast.horizon
    if int(np.bincount(series.segment).max(initial=0)) < length:
        raise _too_short(series, forecast)
    starts, part = _windows(series.segment, part_of, forecast)
    chosen = []
    for number, name in enumerate(SPLITS):
        own = starts[part == number]
        if number == 0 and forecast.every > 1:
            own = own[(own - _first_of(series.segment)[own]) % forecast.every == 0]
        if wanted[number] and not len(own):
            raise _empty(name, series, part_of == number, forecast)
        chosen.append(own[shuffled(len(own), seed)])
    return Windows((chosen[0], chosen[1], chosen[2]), _short_series(series, length), _notes(chosen, forecast))


def _windows(segment: Indices, part_of: PartOf, forecast: Forecast) -> tuple[Indices, PartOf]:
    """Where windows begin, and the part of each; those that are of two parts are not there."""
    length = forecast.history + forecast.horizon
    starts = np.arange(max(0, len(segment) - length + 1))
    last = starts + length - 1
    first_ahead = starts + forecast.history
    whole = segment[starts] == segment[last]
    # Parts follow each other in time, so the rows between the first and the last are of their part if both are.
    one_part = part_of[first_ahead] == part_of[last]
    kept: Indices = starts[whole & one_part]
    return kept, part_of[kept + forecast.history]


def _first_of(segment: Indices) -> Indices:
    """(rows,): where the segment of each row begins."""
    firsts = np.flatnonzero(np.concatenate([[True], segment[1:] != segment[:-1]]))
    return np.repeat(firsts, np.diff(np.concatenate([firsts, [len(segment)]])))


def naive_errors(values: npt.NDArray[np.float64], segment: Indices, train: PartOf, lag: int) -> list[float]:
    """By target, the mean absolute error of saying what was `lag` steps ago, over the rows of training: the unit of
    the mean absolute scaled error (Hyndman and Koehler, 2006). 0 where there is no such pair of rows.

    values: (rows, targets), in the order of the series; train (rows,): whether the row is one of training.
    """
    if len(values) <= lag:
        return [0.0] * values.shape[1]
    pairs = (segment[lag:] == segment[:-lag]) & train[lag:].astype(bool) & train[:-lag].astype(bool)
    if not pairs.any():
        return [0.0] * values.shape[1]
    errors: list[float] = np.abs(values[lag:][pairs] - values[:-lag][pairs]).mean(axis=0).tolist()
    return errors


def _too_short(series: Series, forecast: Forecast) -> UserError:
    longest = int(np.bincount(series.segment).max(initial=0))
    gaps = " without a gap" if len(np.unique(series.segment)) > len(series.names) else ""
    return UserError(
        f"data.forecast: a history of {forecast.history} and a horizon of {forecast.horizon} take "
        f"{forecast.history + forecast.horizon} rows of a series, and the longest one has {longest}{gaps}: lower "
        "history or horizon, or give more rows"
    )


def _empty(part: str, series: Series, of_part: npt.NDArray[np.bool_], forecast: Forecast) -> UserError:
    """Why a part has no window."""
    steps = int(np.bincount(series.segment[of_part]).max(initial=0))
    if part == "train":
        return UserError(
            f"data.forecast: no window of {forecast.history} and {forecast.horizon} steps lies before the time at "
            f"which the training part ends, as no series has more than {steps} rows there: lower history or horizon, "
            "raise data.split.train, or give more rows"
        )
    return UserError(
        f"data.forecast: the {part} part has no window, as no series has more than {steps} rows there that a history "
        f"of {forecast.history} lies before, and the horizon is {forecast.horizon}: raise data.split.{part}, set it to "
        "0, lower history or horizon, or give more rows"
    )


def _short_series(series: Series, length: int) -> list[str]:
    longest = np.zeros(len(series.names), dtype=np.int64)
    sizes = np.bincount(series.segment)
    np.maximum.at(longest, series.series, sizes[series.segment])
    short = np.flatnonzero(longest < length)
    if not len(short):
        return []
    first = f"{series.names[short[0]]!r} has {longest[short[0]]}"
    return [
        f"{len(short)} of {len(longest)} series have no {length} rows in a row, which history and horizon take, and "
        f"are not learnt from: {first}, for example."
    ]


def _notes(chosen: list[Indices], forecast: Forecast) -> list[str]:
    counts = ", ".join(f"{len(starts):,} for {name}" for name, starts in zip(SPLITS, chosen, strict=True))
    return [
        f"Windows of {forecast.history} known steps and {forecast.horizon} forecast ones: {counts}. All steps that are "
        "forecast lie later in time in validation than in training, and later in the test than in validation."
    ]
