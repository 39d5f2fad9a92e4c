"""What a source holds before anything is done to it: a table, or arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class TableContent:
    """Rows of named, typed columns; one of them is the target."""

    table: pa.Table
    target: str
    content_hash: str
    notes: list[str] = field(default_factory=list)


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
