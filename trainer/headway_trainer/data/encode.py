"""Which transform encodes which column, and what cannot be encoded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.columns import Kind
from headway_trainer.data.info import LARGEST
from headway_trainer.data.schema import Column, Schema
from headway_trainer.data.transform import (
    Boolean,
    Category,
    ColumnTransform,
    Number,
    Step,
    Times,
    Vector,
    Words,
)
from headway_trainer.errors import UserError

FITS: Mapping[Kind, Callable[[str, pa.ChunkedArray], ColumnTransform]] = MappingProxyType(
    {
        "number": Number.fit,
        "boolean": Boolean.fit,
        "category": Category.fit,
        "time": Times.fit,
        "text": Words.fit,
        "vector": Vector.fit,
    }
)
"""What encodes a column of each kind that can be learnt from."""
_BLOCK_NUMBERS = 2**21
"""Numbers that are looked at at once."""


def choose_steps(schema: Schema, table: pa.Table, where: Callable[[int], str]) -> list[Step]:
    """How each feature of a table is to be encoded. Raises UserError, naming column and row, for a number too large."""
    steps = []
    for column in schema.of("feature"):
        _refuse_huge(column.name, table[column.name], where)
        steps.append(Step(column.name, FITS[column.kind]))
    return steps


def tell_done(schema: Schema, transforms: Sequence[ColumnTransform], *, forecast: bool = False) -> Schema:
    """The schema with what was done to each column; forecast: whether the rows are steps of series."""
    done = {transform.inputs[0]: _done(transform) for transform in transforms}
    return Schema(
        columns=[
            column.model_copy(update={"done": _of(column, done.get(column.name), forecast=forecast)})
            for column in schema.columns
        ]
    )


def check_array(x: npt.NDArray[Any]) -> list[str]:
    """Refuse features, (rows, *row_shape), that cannot be learnt from; a note of the empty ones, which are filled in.

    Raises UserError for a number that is too large, and for NaN in images.
    """
    if x.dtype.kind != "f":
        return []
    count = 0
    for start in range(0, len(x), step := max(1, _BLOCK_NUMBERS // max(1, x[0].size))):
        block = x[start : start + step]
        if (beyond := np.abs(block) > LARGEST).any():
            row = start + int(np.argwhere(beyond)[0][0])
            raise UserError(
                f"the features hold a number beyond {LARGEST:g} in row {row + 1}: replace it, by NaN for example"
            )
        empty = np.isnan(block)
        if empty.any() and x.ndim > 2:  # noqa: PLR2004 - rows and features
            row = start + int(np.argwhere(empty)[0][0])
            raise UserError(f"the features hold NaN in row {row + 1}: images must be complete; take such rows out")
        count += int(empty.sum())
    if not count:
        return []
    return [f"{count} empty values of features were replaced by the median of the training part."]


def _of(column: Column, done: str | None, *, forecast: bool) -> str:
    """What was done to a column, as a sentence without its name."""
    if column.role == "feature" and done is not None:
        return done if column.nullable else done.partition("; empty")[0]
    if forecast:
        return {"time": "orders the rows", "group": "names the series", "target": "forecast, its past is seen"}.get(
            column.role, "left out"
        )
    return {"ignore": "left out", "target": "predicted", "weight": "weighs its row in training"}.get(
        column.role, "divides the rows"
    )


def _done(transform: ColumnTransform) -> str:
    """What a transform does; what it does to empty values comes last."""
    count = len(transform.outputs)
    match transform:
        case Number():
            done = f"one feature; empty values become the median {transform.fill:.6g}"
        case Boolean():
            done = f"0 and 1; empty values become {transform.fill:g}"
        case Category(missing=True):
            done = f"{count} features of 0 and 1; empty values are a category of their own"
        case Category():
            fill = f"; empty values become {transform.fill!r}" if transform.fill is not None else ""
            done = f"{count} features of 0 and 1{fill}"
        case Times():
            done = f"{', '.join(transform.parts)}; empty values become the median"
        case Words():
            done = f"the {len(transform.words)} most frequent words, 0 and 1; empty values have none"
        case Vector():
            done = f"{count} features; empty values become the medians"
    return done


def _refuse_huge(name: str, values: pa.ChunkedArray, where: Callable[[int], str]) -> None:
    if pa.types.is_floating(values.type):
        row = pc.index(pc.greater(pc.abs(values), LARGEST), value=True).as_py()
        if row >= 0:
            raise UserError(
                f"column {name!r} is {values[row].as_py()} in {where(row)}: "
                f"replace it by a number of at most {LARGEST:g}, or leave it empty"
            )
