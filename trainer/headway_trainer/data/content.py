"""What a source holds before anything is done to it: a table, or arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class TableContent:
    """Rows of named columns; one of them is the target.

    The columns are int64, double, bool, string or null (all empty); an empty value is null, never NaN.
    """

    table: pa.Table
    target: str
    files: list[tuple[str, int]]
    """Each file as (URI, rows), in the order of the table's rows."""
    content_hash: str
    notes: list[str] = field(default_factory=list)

    def where(self, row: int) -> str:
        """Row number row (from 0) of the table as people find it: counted from 1 in its file, without a header."""
        for uri, rows in self.files:
            if row < rows:
                return f"row {row + 1} of {uri}"
            row -= rows
        raise IndexError(row)


@dataclass(frozen=True)
class ArrayContent:
    """Features x, numbers (rows, *row_shape), and targets y (rows,) or (rows, outputs)."""

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    content_hash: str
    target: str
    """How messages call the targets."""
    class_names: list[str] | None = None
    """The names of the labels 0, 1, ... in y."""
    feature_names: list[str] | None = None
    classes_only: bool = False
    """Whether the source can hold nothing but classes."""
    notes: list[str] = field(default_factory=list)
