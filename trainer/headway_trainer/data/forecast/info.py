"""What is known of series that are forecast: part of the DataInfo, so that models, metrics and export know it. Pure."""

from __future__ import annotations

from headway_api.base import StatusSection
from headway_trainer.data.forecast.step import Step

SERIES_FILE = "data/series.npy"
"""The features of all rows, series by series and in the order of time: float32 (rows, features)."""


class ForecastInfo(StatusSection):
    """Windows over series.

    Rows are stored once: of each part, `x` is where its windows begin in `SERIES_FILE`, and `batches.Feed` makes
    windows (history, features) of them. `y` is the window's forecast rows, one after the other: (horizon * targets,).
    """

    history: int
    """The steps that the model sees."""
    horizon: int
    """The steps that it forecasts."""
    time: str
    """The column that orders the rows."""
    calendar: bool
    """Whether its values are times, and not numbers."""
    group: str | None = None
    """The column that names the series; null for one series."""
    step: Step
    """How far one row is from the next."""
    ignores_gaps: bool = False
    """Whether each row is a step, whatever time lies between."""
    season: int | None = None
    """The steps of a season, given or told from the step; null where neither tells."""
    naive_mae: list[float]
    """By target, the mean absolute error over the rows of training of saying what was a season ago, or a step ago where
    there is no season: the unit of `mase`. 0 where there is none."""
    targets: list[int]
    """Which of the features each target is."""
    rows: int
    """The rows of all series."""

    @property
    def seasonal(self) -> int | None:
        """The steps of a season that the history holds."""
        return self.season if self.season is not None and self.season <= self.history else None
