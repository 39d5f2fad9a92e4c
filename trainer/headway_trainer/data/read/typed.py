"""Reads parquet and jsonl files, whose values have types; text in them is told apart as that of csv is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.read import jsonl
from headway_trainer.data.read.builder import ColumnBuilder
from headway_trainer.data.read.canonical import canonical
from headway_trainer.data.read.columns import TextColumn
from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.found import ReadTables, check_same_columns, refuse_ignored_nowhere, refuse_twice
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.parquet import read_groups, scratch_of
from headway_trainer.data.read.streams import BrokenFile, open_bytes, text_instead
from headway_trainer.data.scratch import Scratch
from headway_trainer.errors import UserError

_ROWS = 2**18
_HEAD = 256
"""Bytes that tell what a file is that is none of its format."""
"""Rows that change their type at once."""


def read_typed(files: SourceFiles, options: Options) -> ReadTables:
    """Read parquet or jsonl files of the same columns. Raises UserError, naming file and column; StorageError."""
    rows, scratch = (0, jsonl.scratch_of(files, options)) if files.format == "jsonl" else scratch_of(files, options)
    columns: dict[str, _Column] = {}
    names: list[tuple[str, list[str]]] = []
    counts: list[int] = []
    seen: set[str] = set()
    for file in files.files:
        before = {name: column.rows for name, column in columns.items()}
        names.append((file.uri, _read(file, files.format, options, _Table(columns, rows, scratch, seen))))
        check_same_columns(names)
        first = names[0][1][0] if names[0][1] else ""
        counts.append(columns[first].rows - before.get(first, 0) if first else 0)
    refuse_ignored_nowhere(options.ignored, seen, files.uri)
    # Text is text here, with or without quotes: only words that the job names are empty values.
    options = replace(options, null_values=options.null_values or ())
    made: dict[str, pa.ChunkedArray] = {}
    facts: dict[str, ColumnFacts] = {}
    for name in list(columns):
        collected = columns.pop(name)
        column, facts[name] = collected.finish(), collected.facts
        if pa.types.is_string(column.type) and not facts[name].category:
            column, fact = _text(column, options, options.kinds.get(name), scratch)
            facts[name] = _merged(fact, facts[name])
        made[name] = column
    return ReadTables(made, counts, facts, scratch=scratch)


@dataclass
class _Table:
    """The columns that are read."""

    columns: dict[str, _Column]
    rows: int
    """How many there will be, as far as the files tell."""
    scratch: Scratch
    seen: set[str]
    """The names of the files' columns, also of those that are not read."""


class _Column:
    """A column over all files, group by group: whole numbers become decimal ones where a group has such."""

    def __init__(self, name: str, rows: int, scratch: Scratch) -> None:
        self.rows = 0
        self.facts = ColumnFacts()
        self._name, self._expected, self._scratch = name, rows, scratch
        self._builder: ColumnBuilder | None = None
        self._first = ""

    def add(self, values: pa.ChunkedArray, uri: str) -> None:
        """The next values. Raises UserError where their type does not go with those before."""
        self.rows += len(values)
        if pa.types.is_null(values.type):
            if self._builder is not None:
                self._builder.add(pa.nulls(len(values), self._builder.kind))
            return
        if self._builder is None:
            self._begin(values.type, self.rows - len(values))
            self._first = uri
        assert self._builder is not None  # noqa: S101 - begun above
        kind = self._builder.kind
        if kind != values.type:
            if self.facts.inexact and {kind, values.type} == {pa.int64(), pa.string()}:
                # Whole numbers, of which some groups have such that 64 bits do not hold.
                kind = self._widen(pa.string()) if kind == pa.int64() else kind
                values = values.cast(kind)
            elif {kind, values.type} != {pa.int64(), pa.float64()}:
                raise UserError(
                    f"column {self._name!r} is {values.type} in {uri} but {kind} in {self._first}: "
                    "all files need the same types"
                )
            else:
                kind = self._widen(pa.float64()) if kind == pa.int64() else kind
                values = values.cast(kind)
        self._take(values)

    def finish(self) -> pa.ChunkedArray:
        """The column; of the type null where no group has a value."""
        return self._builder.finish() if self._builder is not None else pa.chunked_array([pa.nulls(self.rows)])

    def _begin(self, kind: pa.DataType, nulls: int) -> None:
        self._builder = ColumnBuilder(kind, max(self._expected, self.rows), self._scratch)
        if nulls:
            self._builder.add(pa.nulls(nulls, kind))

    def _widen(self, kind: pa.DataType) -> pa.DataType:
        """Make the values so far, whole numbers, ones of this kind."""
        assert self._builder is not None  # noqa: S101 - begun before
        before = self._builder.finish()
        self._begin(kind, 0)
        for start in range(0, len(before), _ROWS):
            self._take(before.slice(start, _ROWS).cast(kind))
        return kind

    def _take(self, values: pa.ChunkedArray) -> None:
        assert self._builder is not None  # noqa: S101 - begun before
        for chunk in values.chunks:
            self._builder.add(chunk)


def _read(file: SourceFile, form: str, options: Options, table: _Table) -> list[str]:
    """Add the rows of a file to the columns; their names in it."""
    try:
        groups = (
            jsonl.read_jsonl(file, options, table.scratch, table.seen)
            if form == "jsonl"
            else read_groups(file, options, table.seen)
        )
        return _collect(groups, file.uri, table)
    except BrokenFile as error:
        with open_bytes(file) as stream:
            if (other := text_instead(stream.read(_HEAD))) is not None:
                raise UserError(f"{file.uri} {other}") from error
        told = (jsonl.explain(file, options) if form == "jsonl" else None) or str(error)
        raise UserError(f"{file.uri} is no valid {form} file: {told}: correct it, or take it out") from error


def _collect(groups: Iterable[pa.Table], uri: str, table: _Table) -> list[str]:
    """Group by group, so that only one of them is in memory as the file has it."""
    names: dict[str, None] = {}
    for group in groups:
        refuse_twice(group.column_names, uri)
        for name in group.column_names:
            names[name] = None
            made = canonical(group[name], name, uri)
            column = table.columns.setdefault(name, _Column(name, table.rows, table.scratch))
            column.facts = _merged(made.facts, column.facts)
            column.add(made.values, uri)
    return list(names)


def _text(
    column: pa.ChunkedArray, options: Options, kind: str | None, scratch: Scratch
) -> tuple[pa.ChunkedArray, ColumnFacts]:
    """Numbers and times that are written as text are read; the column, and what was found."""
    told = TextColumn(options, kind)
    for chunk in column.chunks:
        told.see(chunk)
    reading = told.decide()
    words = pa.array(options.null_words, pa.string())
    lost = pa.types.is_string(reading.kind) and told.empty_words
    builder, facts = ColumnBuilder(reading.kind, len(column), scratch), reading.facts
    for chunk in column.chunks:
        values = reading.apply(chunk, words)
        builder.add(pc.if_else(pc.is_in(values, words), pa.scalar(None, pa.string()), values) if lost else values)
    column = builder.finish()
    if not facts.written and reading.kind in (pa.int64(), pa.float64()):
        facts = replace(facts, written="numbers that are stored as text")
    return column, replace(facts, empty_words=told.empty_words, words=tuple(sorted(told.words)))


def _merged(facts: ColumnFacts, other: ColumnFacts | None) -> ColumnFacts:
    """What two parts of a column told."""
    if other is None:
        return facts
    return replace(
        facts,
        written=facts.written or other.written,
        form=facts.form or other.form,
        inexact=max(facts.inexact, other.inexact),
        category=facts.category or other.category,
    )
