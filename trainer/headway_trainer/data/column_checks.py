"""What of a column's values may mean something else than what they are taken for. Pure.

Nothing is changed: a number that stands for an empty value, a day that stands for none, days written as whole numbers,
and names that differ in their case alone are said, with what to write.
"""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.columns import Kind
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.schema import ColumnStats
from headway_trainer.data.task import case_variants
from headway_trainer.data.written import quoted

_FEWEST_VALUES = 5
"""In a column of fewer different values, none is far from the others."""
_MOST_NAMES = 1000
"""Of a column with more different names, those that look alike are not looked for."""
_SHOWN = 5
_NO_NUMBERS = frozenset(
    float(sign * number) for sign in (1, -1) for number in (9, 99, 999, 9999, 99999, 999999, 9999999)
)
"""What stands for an empty value where only numbers can be written: SPSS, GIS and sensors have them."""
_NO_DAYS = frozenset(("0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01", "9999-12-31"))
"""The same for days: what databases and spreadsheets begin and end with."""
_DAYS = (19000101, 21001231)


def column_doubts(name: str, values: pa.ChunkedArray, stats: ColumnStats, kind: Kind) -> list[str]:
    """A sentence for each doubt about a column, (rows,); stats are what its values are like."""
    distinct = stats.distinct or 0
    if kind == "category" and pa.types.is_string(values.type) and distinct <= _MOST_NAMES:
        return _alike(name, values)
    if kind not in ("number", "time") or distinct < _FEWEST_VALUES:
        return []
    return _far(name, values, stats) or (_days(name, values, stats) if kind == "number" else [])


def _alike(name: str, values: pa.ChunkedArray) -> list[str]:
    groups = case_variants(sorted(pc.unique(values.drop_null()).to_pylist()))
    if not groups:
        return []
    shown = "; ".join(", ".join(map(repr, sorted(group))) for group in groups[:_SHOWN])
    more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return [
        f"Column {quoted(name)} has values that differ in case, blanks or accents alone, and are taken for different "
        f"ones: {shown}{more}; write them alike in the data if they mean the same."
    ]


def _far(name: str, values: pa.ChunkedArray, stats: ColumnStats) -> list[str]:
    """Whether the least or the greatest value is one that often means none, and is far from all others."""
    known = values.drop_null()
    for end in (stats.min, stats.max):
        if not _means_none(end):
            continue
        extreme = pc.min(known) if end == stats.min else pc.max(known)
        others = known.filter(pc.not_equal(known, extreme))
        rows = len(known) - len(others)
        low, high, far = (_position(scalar) for scalar in (pc.min(others), pc.max(others), extreme))
        if rows > 1 and max(low - far, far - high) > high - low:
            shown = f"{end:.10g}" if isinstance(end, float) else str(end)[:10]
            return [
                f"Column {quoted(name)} is {shown} in {rows} rows, far from all other values: if that stands for an "
                "empty value, leave it empty in the data, or name it in data.read.nullValues."
            ]
    return []


def _means_none(end: float | str | None) -> bool:
    return end in _NO_NUMBERS if isinstance(end, float) else end is not None and end[:10] in _NO_DAYS


def _position(scalar: pa.Scalar) -> float:
    return float((scalar.cast(pa.int64()) if pa.types.is_temporal(scalar.type) else scalar).as_py())


def _days(name: str, values: pa.ChunkedArray, stats: ColumnStats) -> list[str]:
    """Whether all of a column's whole numbers are days written as 20240131."""
    least, most = stats.min, stats.max
    if not (isinstance(least, float) and isinstance(most, float) and _DAYS[0] <= least and most <= _DAYS[1]):
        return []
    numbers = np.unique(values.drop_null().to_numpy()).tolist()
    first = _day(numbers[0])
    if first is None or not all(_day(number) for number in numbers):
        return []
    return [
        f"Column {quoted(name)} holds whole numbers that are all days, as {int(least)}, and is taken for a quantity: "
        f'write them as {first.isoformat()}, or in csv files set data.read.dateFormat: "%Y%m%d"; data.columns: '
        f"{{{key(name)}: {{kind: number}}}} keeps them."
    ]


def _day(number: float) -> date | None:
    """The day that a number such as 20240131 is; none where it is none."""
    if number != math.floor(number):
        return None
    try:
        return date(int(number) // 10_000, int(number) // 100 % 100, int(number) % 100)
    except ValueError:
        return None
