"""From typed columns to numbers: fitted on the training rows alone. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import TableContent
from headway_trainer.data.info import LARGEST, Column, Task
from headway_trainer.errors import UserError

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_CATEGORIES = 50
"""The most frequent values of a text column that get a feature of their own."""
_NEARLY_NUMBERS = 0.9
_FEW_NUMBERS = 5
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_MOST_NOTED = 20


def fit_columns(content: TableContent, train: Indices) -> tuple[list[Column], list[str]]:
    """How each column but the target becomes features, and what people should know of it.

    Numbers stay numbers, and an empty one becomes the median of the training rows; booleans become 0 and 1; text
    becomes one feature of 0 and 1 for each of its MAX_CATEGORIES most frequent values in the training rows. An empty
    boolean or text becomes the most frequent value there. Raises UserError, naming column and row.
    """
    columns: list[Column] = []
    notes: list[str] = []
    filled: list[str] = []
    for name in content.table.column_names:
        if name == content.target:
            continue
        values = content.table[name]
        column, note = _fit(content, name, values, values.take(pa.array(train)))
        notes += [note] if note else []
        if column is not None:
            columns.append(column)
            if values.null_count:
                filled.append(f"{name}: {values.null_count} (now {_shown(column.fill)})")
    if not columns:
        raise UserError("no column is left to learn from: the data needs features beside the target")
    if filled:
        notes.append(f"Empty values were filled in: {_list(filled)}.")
    return columns, notes


def feature_names(columns: list[Column]) -> list[str]:
    """The features' names: the column's own, or `column=value` for each category."""
    return [name for column in columns for name in _names(column)]


def quantities(columns: list[Column]) -> npt.NDArray[np.bool_]:
    """(features,): which features are quantities; the others are 0 or 1."""
    return np.array([column.kind == "number" for column in columns for _ in _names(column)])


def encode_table(table: pa.Table, columns: list[Column]) -> Floats:
    """The columns as a matrix (rows, features)."""
    x = np.zeros((len(table), len(feature_names(columns))), dtype=np.float64)
    start = 0
    for column in columns:
        stop = start + len(_names(column))
        _encode(table[column.name], column, x[:, start:stop])
        start = stop
    return x


def target_values(content: TableContent, task: Task | None) -> npt.NDArray[Any]:
    """The target column, (rows,). Raises UserError for an empty value, and for text among numbers but in classes."""
    name = content.target
    column = content.table[name]
    if column.null_count:
        row = pc.index(column.is_null(), value=True).as_py()
        raise UserError(
            f"the target column {name!r} is empty in {column.null_count} of {len(column)} rows, first in "
            f"{content.where(row)}: fill it in, or take such rows out"
        )
    if task != "classification":
        _refuse_nearly_numbers(content, name, column)
    values: npt.NDArray[Any] = column.to_numpy()
    return values


def _fit(
    content: TableContent, name: str, values: pa.ChunkedArray, train: pa.ChunkedArray
) -> tuple[Column | None, str | None]:
    """How a column is encoded, by its training rows; and what people should know. None leaves the column out."""
    known = train.drop_null()
    if pa.types.is_null(values.type):
        return None, f"Column {name} is empty and was left out."
    if pa.types.is_boolean(values.type):
        most = bool(known) and pc.mean(known.cast(pa.float64())).as_py() > 0.5  # noqa: PLR2004 - the more frequent one
        return Column(name=name, kind="boolean", fill=float(most)), None
    if not pa.types.is_string(values.type):
        _refuse_huge(content, name, values)
        median = float(np.median(known.to_numpy())) if len(known) else 0.0
        return Column(name=name, kind="number", fill=median), None
    _refuse_nearly_numbers(content, name, values)
    counts = sorted((-pair["counts"], pair["values"]) for pair in pc.value_counts(known).to_pylist())
    categories = [value for _, value in counts[:MAX_CATEGORIES]]
    if len(counts) > MAX_CATEGORIES and len(counts) > len(known) // 2:
        return None, f"Column {name} is text with {len(counts)} different values in {len(known)} rows and was left out."
    note = None
    if len(counts) > MAX_CATEGORIES:
        note = f"Column {name} has {len(counts)} different values; the {MAX_CATEGORIES} most frequent became features."
    return Column(name=name, kind="category", fill=categories[0] if categories else None, categories=categories), note


def _encode(values: pa.ChunkedArray, column: Column, out: Floats) -> None:
    """Write a column's features into out, (rows, width)."""
    if column.kind != "category":
        # Not safe means that whole numbers beyond 2^53 are rounded, as every float is.
        numbers = values.cast(pa.float64(), safe=False).fill_null(column.fill)
        out[:, 0] = numbers.to_numpy()
        return
    filled = values.fill_null(column.fill) if column.fill is not None else values
    index = pc.index_in(filled, pa.array(column.categories, pa.string())).fill_null(-1).to_numpy()
    seen = np.flatnonzero(index >= 0)
    out[seen, index[seen]] = 1.0


def _names(column: Column) -> list[str]:
    if column.kind != "category":
        return [column.name]
    return [f"{column.name}={value}" for value in column.categories] or [column.name]


def _refuse_huge(content: TableContent, name: str, values: pa.ChunkedArray) -> None:
    if pa.types.is_floating(values.type):
        row = pc.index(pc.greater(pc.abs(values), LARGEST), value=True).as_py()
        if row >= 0:
            raise UserError(
                f"column {name!r} is {values[row].as_py()} in {content.where(row)}: "
                f"replace it by a number of at most {LARGEST:g}, or leave it empty"
            )


def _refuse_nearly_numbers(content: TableContent, name: str, values: pa.ChunkedArray) -> None:
    """A column of many different numbers and a few texts is a column of numbers with mistakes in it."""
    if not pa.types.is_string(values.type):
        return
    number = pc.match_substring_regex(values, _NUMBER)
    share = pc.mean(number.cast(pa.float64())).as_py() or 0.0
    if not _NEARLY_NUMBERS <= share < 1.0 or pc.count_distinct(values.filter(number)).as_py() <= _FEW_NUMBERS:
        return
    row = pc.index(number, value=False).as_py()
    raise UserError(
        f"column {name!r} holds numbers, but {values[row].as_py()!r} in {content.where(row)} is none: correct it or "
        "leave it empty; if the numbers are names, write them as such, for example 'no 12'"
    )


def _shown(fill: float | str | None) -> str:
    return f"{fill:.6g}" if isinstance(fill, float) else str(fill)


def _list(items: list[str]) -> str:
    more = len(items) - _MOST_NOTED
    return ", ".join(items[:_MOST_NOTED]) + (f" and {more} more columns" if more > 0 else "")


def fill_array(x: npt.NDArray[Any], train: Indices) -> tuple[npt.NDArray[np.floating], list[str]]:
    """x as floating-point numbers, with NaN in flat rows replaced by the feature's median over the training rows."""
    small = x.dtype == np.float32 or x.dtype.itemsize < np.dtype(np.float32).itemsize
    x = x.astype(np.float32 if small else np.float64, copy=False)
    if (beyond := np.abs(x) > LARGEST).any():
        row = int(np.argwhere(beyond)[0][0])
        raise UserError(
            f"the features hold a number beyond {LARGEST:g} in row {row + 1}: replace it, by NaN for example"
        )
    empty = np.isnan(x)
    if not empty.any():
        return x, []
    if x.ndim > 2:  # noqa: PLR2004 - rows and features
        row = int(np.argwhere(empty)[0][0])
        raise UserError(f"the features hold NaN in row {row + 1}: images must be complete; take such rows out")
    known = [column[~np.isnan(column)] for column in x[train].T]
    medians = np.array([np.median(column) if column.size else 0.0 for column in known], dtype=x.dtype)
    x = np.where(empty, medians, x)
    return x, [f"{int(empty.sum())} empty values of features were replaced by the median of the training part."]
