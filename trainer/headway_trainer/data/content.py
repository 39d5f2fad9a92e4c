"""What a source holds before anything is done to it: a table, or arrays; and what reading it told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_trainer.data.schema import Written
from headway_trainer.data.scratch import MEMORY, Scratch

Parts = npt.NDArray[np.int8]
"""(rows,): 0 for a row of the training part, 1 for validation, 2 for test."""


@dataclass(frozen=True)
class ColumnFacts:
    """What reading told of a column beyond its type."""

    written: str = ""
    """How its values were written, where that is not plainly: `numbers with ',' between thousands`."""
    empty_words: int = 0
    """Rows where a word such as NA was taken as an empty value."""
    words: tuple[str, ...] = ()
    """Which words these are."""
    quoted_words: int = 0
    """Rows where such a word stood in quotes, so that it is text."""
    leading_zeros: int = 0
    """Rows with digits that begin with a zero, as codes do: the column stayed text."""
    inexact: int = 0
    """Rows with whole numbers that 64-bit floating-point numbers cannot tell from their neighbours."""
    form: Written | None = None
    """What its text has to be read by, where its values told that."""
    category: bool = False
    """Whether the file itself declares the column a category, whatever its values are."""
    row_index: bool = False
    """Whether the column is named as pandas and R name the row's own number."""


@dataclass(frozen=True)
class ReadFacts:
    """How the files were read, and whether all of them was."""

    rows: int = 0
    """Rows that were read."""
    lines: int | None = None
    """Lines of the files, where they are text."""
    breaks: int = 0
    """Line breaks within values."""
    blank: int = 0
    """Lines without a value."""
    comments: int = 0
    """Lines that were passed over as comments."""
    dialect: str = ""
    """How the text is written, as told from it or given: `utf-8, columns end with ','`."""
    files_left_out: int = 0
    """Files of the source that were not read."""
    same_files: int = 0
    """Files that another one equals byte for byte."""


@dataclass(frozen=True)
class TableContent:
    """Rows of named columns.

    The columns are int64, double, bool, string, timestamp[us] (UTC, where the source has a zone), fixed-size lists of
    double, or null (all empty); an empty value is null, never NaN.
    """

    table: pa.Table
    files: list[tuple[str, int]]
    """Each file as (URI, rows), in the order of the table's rows."""
    content_hash: str
    notes: list[str] = field(default_factory=list)
    """What people may want to know."""
    warnings: list[str] = field(default_factory=list)
    """What people should know, as it may cost them rows or columns."""
    facts: Mapping[str, ColumnFacts] = field(default_factory=dict)
    """By column, where there is something to tell."""
    read: ReadFacts = field(default_factory=ReadFacts)
    parts: Parts | None = None
    """The part of each row, where the source gives them."""

    kept: npt.NDArray[np.int64] | None = None
    """The numbers of the rows among those of the files, where some were left out."""
    scratch: Scratch = MEMORY
    """Where the columns lie."""

    def at(self, index: npt.NDArray[np.int64]) -> TableContent:
        """The rows of these numbers, in their order."""
        return replace(
            self,
            table=self.table.take(pa.array(index)),
            kept=index if self.kept is None else self.kept[index],
            parts=None if self.parts is None else self.parts[index],
        )

    @property
    def written(self) -> dict[str, Written]:
        """How columns were written, of those of which reading has told it."""
        return {name: facts.form for name, facts in self.facts.items() if facts.form is not None}

    def where(self, row: int) -> str:
        """Row number row (from 0) of the table as people find it: counted from 1 in its file, without a header."""
        if self.kept is not None:
            row = int(self.kept[row])
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
    """How messages call the targets; where a table beside has them, the features."""
    beside: TableContent | None = None
    """Columns beside the features, of as many rows: the targets, and what weighs or divides the rows. y is then empty,
    (rows, 0)."""
    class_names: list[str] | None = None
    """The names of the labels 0, 1, ... in y."""
    feature_names: list[str] | None = None
    classes_only: bool = False
    """Whether the source can hold nothing but classes."""
    notes: list[str] = field(default_factory=list)
    """What people may want to know."""
    warnings: list[str] = field(default_factory=list)
    """What people should know, as it may cost them rows."""
    read: ReadFacts = field(default_factory=ReadFacts)
    parts: Parts | None = None
    """The part of each row, where the source gives them."""
    scratch: Scratch = MEMORY
    """Where the features lie."""
