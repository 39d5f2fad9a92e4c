"""Dates and times: the parts of the calendar that vary in the training rows, and the days that went by. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.base import StatusSection
from headway_trainer.data.transform.graph import Graph, Tensor

Floats = npt.NDArray[np.float64]
Part = Literal["days", "year", "month", "day", "dayOfWeek", "hour", "minute"]
PARTS: tuple[Part, ...] = ("days", "year", "month", "day", "dayOfWeek", "hour", "minute")
"""`days` are those since the earliest time of the training rows, with fractions; Monday is day 0 of the week."""
_DAY = 86_400e6
"""Microseconds of a day."""


class Times(StatusSection):
    """One column of times. A missing one becomes the median of the training rows."""

    kind: Literal["time"] = "time"
    inputs: tuple[str]
    """The column."""
    parts: tuple[Part, ...]
    """The features: the parts that vary in the training rows, or the days alone."""
    start: float
    """The earliest time of the training rows, in microseconds since 1970, UTC."""
    fill: float
    """What stands in for a missing time, in microseconds since 1970."""

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray) -> Times:
        """By the column's values in the training rows."""
        known = microseconds(train)
        known = known[~np.isnan(known)]
        if not len(known):
            return Times(inputs=(name,), parts=("days",), start=0.0, fill=0.0)
        parts = _parts(_Numpy(), known, float(known.min()))
        varying = tuple(part for part in PARTS if np.ptp(parts[part]) > 0)
        fill = float(np.median(known).round())
        return Times(inputs=(name,), parts=varying or ("days",), start=float(known.min()), fill=fill)

    @property
    def outputs(self) -> tuple[str, ...]:
        """`column.part` for each part."""
        return tuple(f"{self.inputs[0]}.{part}" for part in self.parts)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Microseconds since 1970 for each row, NaN where the time is missing: exact within 285 years of 1970."""
        return (Tensor(name=self.inputs[0], type="double", shape=(1,)),)

    @property
    def quantities(self) -> tuple[bool, ...]:
        """All are scaled."""
        return (True,) * len(self.parts)

    def apply(self, table: pa.Table) -> Floats:
        """(rows, parts)."""
        values = microseconds(table[self.inputs[0]])
        values = np.where(np.isnan(values), self.fill, values)
        parts = _parts(_Numpy(), values, self.start)
        return np.stack([parts[part] for part in self.parts], axis=1)

    def onnx(self, graph: Graph) -> str:
        """The value (rows, parts), double."""
        value = graph.input(self.tensors[0])
        value = graph.node("Where", graph.node("IsNaN", value), graph.constant(np.array(self.fill)), value)
        parts = _parts(_Nodes(graph), value, self.start)
        return graph.node("Concat", *(parts[part] for part in self.parts), axis=1)


def microseconds(column: pa.ChunkedArray) -> Floats:
    """Times as microseconds since 1970, (rows,), NaN where one is missing; numbers are taken as such."""
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    numbers = pc.cast(column, pa.float64(), safe=False).fill_null(float("nan"))
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


class _Arithmetic(Protocol):
    """Operators on values of one kind: arrays, or names of values in a graph."""

    def of(self, operator: str, value: Any, by: float) -> Any:
        """Add, Sub, Mul or Div of a value and a number."""

    def two(self, operator: str, first: Any, second: Any) -> Any:
        """Add, Sub, Mul or Div of two values."""

    def floor(self, value: Any) -> Any:
        """The greatest whole number that is not above."""


class _Numpy:
    _FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {  # noqa: RUF012 - never changed
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.divide,
    }

    def of(self, operator: str, value: Any, by: float) -> Any:
        return self._FUNCTIONS[operator](value, by)

    def two(self, operator: str, first: Any, second: Any) -> Any:
        return self._FUNCTIONS[operator](first, second)

    def floor(self, value: Any) -> Any:
        return np.floor(value)


class _Nodes:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def of(self, operator: str, value: Any, by: float) -> Any:
        return self._graph.node(operator, value, self._graph.constant(np.array(by)))

    def two(self, operator: str, first: Any, second: Any) -> Any:
        return self._graph.node(operator, first, second)

    def floor(self, value: Any) -> Any:
        return self._graph.node("Floor", value)


def _parts(on: _Arithmetic, value: Any, start: float) -> dict[Part, Any]:
    """All parts of a time in microseconds since 1970; the calendar is Gregorian throughout.

    The date is Hinnant's `civil_from_days` (chrono-compatible low-level date algorithms, 2013): years begin in March,
    so that the leap day is their last. All numbers are whole and far below 2^53, where doubles are exact.
    """

    def divided(number: Any, by: float) -> Any:
        return on.floor(on.of("Div", number, by))

    def rest(number: Any, whole: Any, by: float) -> Any:
        return on.two("Sub", number, on.of("Mul", whole, by))

    day = divided(value, _DAY)
    within = rest(value, day, _DAY)
    hour = divided(within, 3600e6)
    minute = divided(rest(within, hour, 3600e6), 60e6)
    from_monday = on.of("Add", day, 3.0)
    shifted = on.of("Add", day, 719_468.0)
    era = divided(shifted, 146_097.0)
    of_era = rest(shifted, era, 146_097.0)
    leap = on.two("Sub", divided(of_era, 36_524.0), on.two("Add", divided(of_era, 1460.0), divided(of_era, 146_096.0)))
    year_of_era = divided(on.two("Add", of_era, leap), 365.0)
    leap_days = on.two("Sub", divided(year_of_era, 4.0), divided(year_of_era, 100.0))
    of_year = on.two("Sub", rest(of_era, year_of_era, 365.0), leap_days)
    month_from_march = divided(on.of("Add", on.of("Mul", of_year, 5.0), 2.0), 153.0)
    before = divided(on.of("Add", on.of("Mul", month_from_march, 153.0), 2.0), 5.0)
    # 1 for January and February, which belong to the next year.
    turned = divided(month_from_march, 10.0)
    return {
        "days": on.of("Div", on.of("Sub", value, start), _DAY),
        "year": on.two("Add", on.two("Add", year_of_era, on.of("Mul", era, 400.0)), turned),
        "month": rest(on.of("Add", month_from_march, 3.0), turned, 12.0),
        "day": on.of("Add", on.two("Sub", of_year, before), 1.0),
        "dayOfWeek": rest(from_monday, divided(from_monday, 7.0), 7.0),
        "hour": hour,
        "minute": minute,
    }
