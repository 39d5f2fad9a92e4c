"""Columns of typed files as the few types that a table's content has. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.errors import UserError

STAMP = pa.timestamp("us")
_INT64_MAX = 2**63 - 1
_EXACT = 2.0**53
_MILLION = 1e6


@dataclass(frozen=True)
class Canonical:
    """A column, and what its type told."""

    values: pa.ChunkedArray
    facts: ColumnFacts = field(default_factory=ColumnFacts)


def canonical(column: pa.ChunkedArray, name: str, uri: str) -> Canonical:
    """The column as int64, double, bool, string, timestamp[us], lists of doubles of one length, or null.

    An empty value is null, also where it is NaN. Raises UserError for types that are none of these.
    """
    if pa.types.is_dictionary(column.type):
        plain = canonical(column.cast(column.type.value_type), name, uri)
        return Canonical(plain.values, ColumnFacts(category=True))
    if column.null_count == len(column):
        return Canonical(pa.chunked_array([pa.nulls(len(column))]))
    try:
        made = _simple(column)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"column {name!r} of {uri} holds times that are further away than microseconds of 64 bits tell: correct "
            f"them, or leave the column out with data.columns: {{{key(name)}: {{role: ignore}}}}"
        ) from error
    if made is not None:
        return made
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return Canonical(_vectors(column, name, uri))
    raise UserError(
        f"column {name!r} of {uri} has the type {column.type}; columns must be numbers, booleans, text, times or "
        "lists of numbers: spread it over columns of its own, or leave it out with data.columns: "
        f"{{{key(name)}: {{role: ignore}}}}"
    )


def _simple(column: pa.ChunkedArray) -> Canonical | None:
    types, kind = pa.types, column.type
    if types.is_boolean(kind):
        return Canonical(column)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return Canonical(column.cast(pa.string()))
    if types.is_floating(kind):
        return Canonical(without_nan(column.cast(pa.float64())))
    if types.is_decimal(kind):
        return _decimal(column)
    return _whole(column) if types.is_integer(kind) else _time(column)


def _whole(column: pa.ChunkedArray) -> Canonical:
    if pa.types.is_uint64(column.type) and pc.max(column).as_py() > _INT64_MAX:
        # A float would make neighbours equal: such numbers are most often names.
        large = pc.sum(pc.greater(column, pa.scalar(_INT64_MAX, pa.uint64()))).as_py()
        return Canonical(column.cast(pa.string()), ColumnFacts(inexact=large))
    return Canonical(column.cast(pa.int64()))


def _decimal(column: pa.ChunkedArray) -> Canonical:
    """Decimals without a fraction, as databases have whole numbers, as these; others as double."""
    if column.type.scale > 0:
        values = column.cast(pa.float64())
        beyond = pc.sum(pc.greater(pc.abs(values), _EXACT)).as_py() or 0
        return Canonical(values, ColumnFacts(inexact=beyond))
    try:
        return Canonical(column.cast(pa.int64()))
    except pa.ArrowInvalid:
        values = column.cast(pa.float64())
        large = pc.sum(pc.greater(pc.abs(values), float(_INT64_MAX))).as_py() or 1
        return Canonical(column.cast(pa.string()), ColumnFacts(inexact=large))


def _time(column: pa.ChunkedArray) -> Canonical | None:
    types, kind = pa.types, column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        zone = "with time zones, now in UTC" if types.is_timestamp(kind) and kind.tz not in (None, "UTC") else ""
        # Nanoseconds are cut; seconds that are too many would come back as other ones.
        exact = not (types.is_timestamp(kind) and kind.unit == "ns")
        stamp = column.cast(pa.timestamp("us", kind.tz if types.is_timestamp(kind) else None), safe=exact)
        return Canonical(stamp.cast(STAMP), ColumnFacts(written=f"times {zone}" if zone else ""))
    if types.is_time(kind) or types.is_duration(kind):
        unit = pa.time64("us") if types.is_time(kind) else pa.duration("us")
        micros = column.cast(unit, safe=False).cast(pa.int64()).cast(pa.float64())
        what = "times of the day, now seconds since midnight" if types.is_time(kind) else "durations, now seconds"
        return Canonical(pc.divide(micros, _MILLION), ColumnFacts(written=what))
    return None


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Doubles with null in place of NaN."""
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _vectors(column: pa.ChunkedArray, name: str, uri: str) -> pa.ChunkedArray:
    way = (
        f"give all rows lists of as many numbers, or leave it out with data.columns: {{{key(name)}: {{role: ignore}}}}"
    )
    inner = column.type.value_type
    if not (pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_decimal(inner)):
        raise UserError(f"column {name!r} of {uri} holds lists of {inner}, not of numbers: {way}")
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = pc.list_value_length(whole)
    first = lengths.drop_null()[0].as_py()
    other = pc.index(pc.not_equal(lengths, first), value=True).as_py()
    if other >= 0:
        raise UserError(
            f"column {name!r} of {uri} has a list of {lengths[other].as_py()} numbers in row {other + 1}, and others "
            f"of {first}: {way}"
        )
    if first == 0:
        raise UserError(f"column {name!r} of {uri} has lists without any number: {way}")
    numbers = pc.list_flatten(whole).cast(pa.float64())
    if numbers.null_count or pc.any(pc.is_nan(numbers)).as_py():
        raise UserError(f"column {name!r} of {uri} has lists with empty values in them: {way}")
    if whole.null_count:
        numbers = _spread(numbers, whole.is_valid(), first)
    return pa.chunked_array([pa.FixedSizeListArray.from_arrays(numbers, first, mask=whole.is_null())])


def _spread(numbers: pa.Array, valid: pa.Array, length: int) -> pa.Array:
    """The numbers with room for the lists that are null."""
    places = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
    starts = pc.if_else(valid, pc.multiply(places, length), 0).to_numpy(zero_copy_only=False)
    index = (starts[:, None] + range(length)).reshape(-1)
    return numbers.take(pa.array(index))
