"""What the values of a column are like. Pure; a few vectorised passes a column: thousands of columns take seconds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.schema import ColumnStats, TopValue

MOST_TOP = 5
"""Most frequent values that are kept."""
_FEW_ROWS = 2**16
"""More numbers are sorted to be counted: a table of them takes several times their size, and as much time."""
_LONGEST = 60
"""A longer value is cut."""


def describe(values: pa.ChunkedArray) -> ColumnStats:
    """The statistics of one column, (rows,): int64, double, bool, string, timestamp, fixed-size list or null."""
    rows, missing, kind = len(values), values.null_count, values.type
    if missing == rows:
        return ColumnStats(rows=rows, missing=missing, distinct=0)
    if pa.types.is_nested(kind):
        return ColumnStats(rows=rows, missing=missing)
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        counts = pc.value_counts(values)  # with empty values, as a column without them would be a copy
        counts = counts.filter(counts.field("values").is_valid()) if missing else counts
        return ColumnStats(rows=rows, missing=missing, distinct=len(counts), top=_top(counts))
    known = values.drop_null() if missing else values
    least, most = pc.min_max(known).values()
    if pa.types.is_floating(kind) and pc.any(pc.equal(known, 0.0)).as_py():
        # The negative zero is no other value.
        known = pc.add(known, 0.0)
    mean = None if pa.types.is_temporal(kind) else _finite(pc.mean(known).as_py())
    return ColumnStats(
        rows=rows,
        missing=missing,
        distinct=_sorted_distinct(known) if _is_large(known) else pc.count_distinct(known).as_py(),
        min=_plain(least),
        max=_plain(most),
        mean=mean,
    )


def shortened(value: object) -> str:
    """A value as people can read it in a table or a sentence."""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_large(numbers: pa.ChunkedArray) -> bool:
    return len(numbers) > _FEW_ROWS and numbers.type.bit_width == 64  # noqa: PLR2004 - bits of a value


def _sorted_distinct(values: pa.ChunkedArray) -> int:
    """The number of different values, of 64 bits each and none of them empty, in no more memory than they take."""
    bits = np.concatenate(
        [np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset :][: len(chunk)] for chunk in values.chunks]
    )
    bits.sort()
    return 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))


def _top(counts: pa.StructArray) -> list[TopValue]:
    """The most frequent values; of equally frequent ones, the first in alphabetical order, whatever order rows have."""
    values, rows = counts.field("values"), counts.field("counts").to_numpy()
    if len(rows) > MOST_TOP:
        # Only those that can be among the first: sorting all names of a large column would take seconds.
        least = max(2, int(np.partition(rows, -MOST_TOP)[-MOST_TOP]))
        chosen = np.flatnonzero(rows >= least)
        values, rows = values.take(pa.array(chosen)), rows[chosen]
    pairs = sorted(zip((-rows).tolist(), map(shortened, values.to_pylist()), strict=True))
    return [TopValue(value=value, rows=-count) for count, value in pairs[:MOST_TOP]]


def _plain(scalar: Any) -> float | str | None:
    try:
        value = scalar.as_py()
    except OverflowError:
        return None  # a time that is in no calendar, which is refused where it is learnt from
    if isinstance(value, int | float):
        return _finite(float(value))
    return None if value is None else str(value.isoformat())


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
