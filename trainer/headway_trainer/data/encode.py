"""Which transform encodes which column, and what cannot be encoded. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import TableContent
from headway_trainer.data.info import LARGEST, Task
from headway_trainer.data.transform import Boolean, Category, ColumnTransform, Number, Step, TableChain
from headway_trainer.data.transform.category import MAX_CATEGORIES
from headway_trainer.errors import UserError

Indices = npt.NDArray[np.int64]

_NEARLY_NUMBERS = 0.9
_FEW_NUMBERS = 5
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_MOST_NOTED = 20


def choose_steps(content: TableContent, train: Indices) -> tuple[list[Step], list[str]]:
    """How each column but the target is to become features, and what people should know of it.

    Numbers stay numbers, booleans become 0 and 1, and text becomes one feature of 0 and 1 for each of its
    MAX_CATEGORIES most frequent values in the training rows. Raises UserError, naming column and row.
    """
    steps: list[Step] = []
    notes: list[str] = []
    for name in content.table.column_names:
        if name == content.target:
            continue
        values = content.table[name]
        fit, note = _choose(content, name, values, values.take(pa.array(train)))
        notes += [note] if note else []
        if fit is not None:
            steps.append(Step(name, fit))
    if not steps:
        raise UserError("no column is left to learn from: the data needs features beside the target")
    return steps, notes


def fill_note(table: pa.Table, chain: TableChain) -> list[str]:
    """Which columns of the table have empty values, and what stands in for them; no note where none has."""
    filled = [
        f"{name}: {table[name].null_count} (now {_shown(transform.fill)})"
        for transform in chain.transforms
        for name in transform.inputs
        if table[name].null_count
    ]
    return [f"Empty values were filled in: {_list(filled)}."] if filled else []


def check_array(x: npt.NDArray[Any]) -> list[str]:
    """Refuse features, (rows, *row_shape), that cannot be learnt from; a note of the empty ones, which are filled in.

    Raises UserError for a number that is too large, and for NaN in images.
    """
    if x.dtype.kind != "f":
        return []
    if (beyond := np.abs(x) > LARGEST).any():
        row = int(np.argwhere(beyond)[0][0])
        raise UserError(
            f"the features hold a number beyond {LARGEST:g} in row {row + 1}: replace it, by NaN for example"
        )
    empty = np.isnan(x)
    if not empty.any():
        return []
    if x.ndim > 2:  # noqa: PLR2004 - rows and features
        row = int(np.argwhere(empty)[0][0])
        raise UserError(f"the features hold NaN in row {row + 1}: images must be complete; take such rows out")
    return [f"{int(empty.sum())} empty values of features were replaced by the median of the training part."]


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


def _choose(
    content: TableContent, name: str, values: pa.ChunkedArray, train: pa.ChunkedArray
) -> tuple[Callable[[str, pa.ChunkedArray], ColumnTransform] | None, str | None]:
    """What encodes a column, by its training rows; and what people should know. None leaves the column out."""
    if pa.types.is_null(values.type):
        return None, f"Column {name} is empty and was left out."
    if pa.types.is_boolean(values.type):
        return Boolean.fit, None
    if pa.types.is_temporal(values.type) or pa.types.is_nested(values.type):
        raise UserError(
            f"column {name!r} holds dates, times or lists, which models cannot take: replace it by numbers, for "
            "example days since a fixed date, or take it out"
        )
    if not pa.types.is_string(values.type):
        _refuse_huge(content, name, values)
        return Number.fit, None
    _refuse_nearly_numbers(content, name, values)
    known = train.drop_null()
    count = pc.count_distinct(known).as_py()
    if count > MAX_CATEGORIES and count > len(known) // 2:
        return None, f"Column {name} is text with {count} different values in {len(known)} rows and was left out."
    if count > MAX_CATEGORIES:
        return (
            Category.fit,
            f"Column {name} has {count} different values; the {MAX_CATEGORIES} most frequent became features.",
        )
    return Category.fit, None


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
