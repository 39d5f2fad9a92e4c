"""A column as the kind that somebody says it has: text that is to be numbers, numbers that are to be names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.columns import Kind
from headway_trainer.data.statistics import shortened
from headway_trainer.errors import UserError

_TRUE = ["true", "t", "yes", "y", "1"]
_FALSE = ["false", "f", "no", "n", "0"]
_MOST_EXACT = 2.0**53
TABLE_KINDS: tuple[Kind, ...] = ("number", "boolean", "category", "text", "time", "vector", "id")
"""The kinds that a column of a table can have; the others are for arrays."""


def convert(values: pa.ChunkedArray, kind: Kind, name: str, where: Callable[[int], str]) -> pa.ChunkedArray:
    """The column, (rows,), as kind: number int64 or double, boolean bool, category and text string, time timestamp.

    where tells of a row's number (from 0) where it stands. Raises UserError for the first value that cannot be it.
    """
    if kind not in TABLE_KINDS:
        raise UserError(f"data.columns: {name!r} cannot be of the kind {kind}, which only arrays of npz files have")
    if kind == "id" or pa.types.is_null(values.type):
        return values
    if kind == "vector":
        if not pa.types.is_nested(values.type):
            raise UserError(f"data.columns: {name!r} holds single values, so it is no vector: lists of numbers are")
        return values
    if pa.types.is_nested(values.type):
        raise UserError(f"data.columns: {name!r} holds lists of numbers, so its kind can only be vector")
    made, row = converted(values, kind)
    if row is not None:
        raise UserError(
            f"data.columns: {name!r} is to be of the kind {kind}, but is {shortened(values[row].as_py())!r} in "
            f"{where(row)}: correct it, leave it empty, or give another kind"
        )
    return made


def converted(values: pa.ChunkedArray, kind: str) -> tuple[pa.ChunkedArray, int | None]:
    """A column of single values as number, boolean, time or text, and the first row (from 0) that cannot be it."""
    made = {"number": _numbers, "boolean": _booleans, "time": _times}.get(kind, _texts)(values)
    lost = pc.and_(made.is_null(), values.is_valid())
    return made, pc.index(lost, value=True).as_py() if pc.any(lost).as_py() else None


def known_names(values: pa.ChunkedArray, categories: Sequence[str]) -> pa.ChunkedArray:
    """Text of new rows, with a whole number that has a decimal point, `7.0`, as the category `7` if only that is known.

    A file writes the whole numbers of a column with a decimal point as soon as one of its values is missing.
    """
    known = pa.array(categories, pa.string())
    whole = pc.replace_substring_regex(values, r"^(-?\d+)\.0+$", r"\1")
    other = pc.and_(pc.invert(pc.is_in(values, known)), pc.is_in(whole, known))
    return pc.if_else(other, whole, values)


def _numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_string(kind):
        number = pc.match_substring_regex(values, r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
        plain = pc.utf8_ltrim(pc.utf8_trim_whitespace(values), characters="+")
        return pc.if_else(number, plain, pa.scalar(None, pa.string())).cast(pa.float64())
    if pa.types.is_boolean(kind):
        return values.cast(pa.int64())
    return pa.chunked_array([pa.nulls(len(values), pa.float64())]) if pa.types.is_temporal(kind) else values


def _booleans(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(values.type):
        return values
    text = pc.utf8_lower(_texts(values))
    true, false = (pc.is_in(text, pa.array(words)) for words in (_TRUE, _FALSE))
    return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_()))


def _times(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as ISO 8601 has it; a time of another zone as UTC."""
    if pa.types.is_temporal(values.type):
        return values
    empty = pa.chunked_array([pa.nulls(len(values), pa.timestamp("us"))])
    if not pa.types.is_string(values.type):
        return empty
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return values.cast(kind).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            continue
    valid = pc.match_substring_regex(values, r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?$")
    return pc.if_else(valid, pa.scalar(0, pa.int64()).cast(pa.timestamp("us")), pa.scalar(None, pa.timestamp("us")))


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers without a decimal point, however they are stored: 7 and 7.0 are the same name."""
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_floating(kind):
        numbers = values.drop_null().to_numpy()
        if bool((np.abs(numbers) < _MOST_EXACT).all() and (numbers == np.floor(numbers)).all()):
            return values.cast(pa.int64()).cast(pa.string())
    return values.cast(pa.string())
