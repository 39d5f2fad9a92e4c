"""`spec.data.forecast`: how the targets of a table in the order of time are forecast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import Section

MAX_HISTORY = 100_000
MAX_HORIZON = 10_000
Gaps = Literal["refuse", "leaveOut", "ignore"]


class Forecast(Section):
    """What is known when a forecast is made, and how far it looks ahead.

    A step is the usual time between two rows of a series: the column with the role `time` orders the rows, and a column
    with the role `group`, if there is one, says to which series a row belongs. The model sees past values of the
    targets and of all features; what a feature will be in the steps that are forecast, it does not see.
    """

    history: Annotated[int, Field(ge=1, le=MAX_HISTORY)]
    """How many steps back the model sees, the latest known one included."""
    horizon: Annotated[int, Field(ge=1, le=MAX_HORIZON)]
    """How many steps ahead are forecast, all at once."""
    every: Annotated[int, Field(ge=1, le=MAX_HISTORY)] = 1
    """How many steps lie between the beginnings of two training windows. Validation and test have every window."""
    season: Annotated[int, Field(ge=2, le=MAX_HISTORY)] | None = None
    """Steps of a season, for the forecast that repeats the last season, which the model is compared with.

    Told from the step if absent: 24 for hours, 7 for days, 52 for weeks, 12 for months, 4 for quarters.
    """
    gaps: Gaps = "refuse"
    """What becomes of steps that no row is there for: an error; no window reaches over one (`leaveOut`); or each row is
    a step, whatever time lies between, as with trading days (`ignore`)."""
