"""`data.task: forecasting` and `data.forecast` against each other, and against all that a forecast has no use for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.columns import Role
from headway_api.consistency.facts import facts, forecasts, roles
from headway_api.data import TABLES

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_WITHOUT_USE: dict[Role, str] = {
    "fold": "a forecast divides the rows at points in time",
    "weight": "a window of a forecast has many rows",
}


def section_and_task(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """One of task and section without the other."""
    data = spec.data
    if data is None:
        return
    known = facts(data)
    if not known.has_columns:
        if data.forecast is not None and data.task != "forecasting":  # else the task is told
            yield BrokenRule(
                f"forecast is for tables in the order of time, but the source is {known.name}: take forecast out",
                ("data", "forecast"),
            )
    elif forecasts(data) and data.forecast is None:
        yield BrokenRule(
            "is missing, and forecasting needs it: write how many steps the model sees and how many it forecasts, as in"
            " {history: 48, horizon: 12}",
            ("data", "forecast"),
        )
    elif data.forecast is not None and data.task != "forecasting":
        task = f"data.task is {data.task}" if data.task is not None else "data.task is not set"
        yield BrokenRule(
            f"forecast has no effect, as {task}: set data.task to forecasting, or take forecast out",
            ("data", "forecast"),
        )


def no_order_of_time(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """No column that orders the rows, or a source that has none."""
    data = spec.data
    if data is None or not forecasts(data):
        return
    known = facts(data)
    if not known.has_columns:
        return  # its task is another one, which is told there
    if known.format is not None and known.format not in TABLES:
        yield BrokenRule(
            f"forecasting is for tables in the order of time, but the source is {known.format}: give csv, parquet or"
            " jsonl, or set data.task to another task",
            ("data", "task"),
        )
    elif not roles(data, "time"):
        yield BrokenRule(
            "forecasting needs a column with the role time, which orders the rows: give it that role here, as in"
            " NAME: {role: time}",
            ("data", "columns"),
        )


def parts_of_a_forecast(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Ways to divide rows that would let a model see what it forecasts."""
    data = spec.data
    if data is None or not forecasts(data):
        return
    if data.source.parts is not None:
        yield BrokenRule(
            "parts cannot be given for forecasting, which divides all series at the same points in time: give one uri"
            " with all rows",
            ("data", "source", "parts"),
        )
    if data.split.method not in ("auto", "time"):
        yield BrokenRule(
            f"{data.split.method} would let the model see what it is to forecast: write time, or take method out",
            ("data", "split", "method"),
        )
    for role, why in _WITHOUT_USE.items():
        for name in roles(data, role):
            yield BrokenRule(
                f"{role} has no use here, as {why}: write role: feature or ignore", ("data", "columns", name, "role")
            )


def rows_taken_out(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Rows without a target that are to be left out, which would make steps of other lengths."""
    data = spec.data
    if data is not None and forecasts(data) and data.missing_targets == "drop":
        yield BrokenRule(
            "drop would take steps out of the series, and forecasting needs them all: fill in the targets in the data,"
            " and take missingTargets out",
            ("data", "missingTargets"),
        )


def season_beyond_history(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A season that the history does not hold."""
    data = spec.data
    if data is None or data.forecast is None or data.forecast.season is None:
        return
    if data.forecast.season > data.forecast.history:
        yield BrokenRule(
            f"a season of {data.forecast.season} steps is longer than the history of {data.forecast.history}, so the"
            " last one is not seen: write a season of at most that, or raise history",
            ("data", "forecast", "season"),
        )


CHECKS = (section_and_task, no_order_of_time, parts_of_a_forecast, rows_taken_out, season_beyond_history)
