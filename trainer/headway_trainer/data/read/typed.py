"""Reads parquet and jsonl files, whose values have types; text in them is told apart as that of csv is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.read import jsonl
from headway_trainer.data.read.builder import joined
from headway_trainer.data.read.canonical import canonical, unify
from headway_trainer.data.read.columns import TextColumn
from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.found import ReadTables, check_same_columns, refuse_ignored_nowhere, refuse_twice
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.parquet import read_groups
from headway_trainer.data.read.streams import BrokenFile
from headway_trainer.errors import UserError


def read_typed(files: SourceFiles, options: Options) -> ReadTables:
    """Read parquet or jsonl files of the same columns. Raises UserError, naming file and column; StorageError."""
    if files.format == "jsonl":
        jsonl.check_size(files)
    tables: list[dict[str, pa.ChunkedArray]] = []
    counts: list[int] = []
    facts: dict[str, ColumnFacts] = {}
    seen: set[str] = set()
    for file in files.files:
        table, told, count = _read(file, files.format, options, seen)
        facts = {name: _merged(fact, facts.get(name)) for name, fact in told.items()}
        tables.append(table)
        counts.append(count)
    refuse_ignored_nowhere(options.ignored, seen, files.uri)
    uris = [file.uri for file in files.files]
    check_same_columns([(uri, list(table)) for uri, table in zip(uris, tables, strict=True)])
    # Text is text here, with or without quotes: only words that the job names are empty values.
    options = replace(options, null_values=options.null_values or ())
    made: dict[str, pa.ChunkedArray] = {}
    for name in list(tables[0]):
        column = _unified(name, [table.pop(name) for table in tables], uris)
        if pa.types.is_string(column.type) and not facts[name].category:
            column, fact = _text(column, options, options.kinds.get(name))
            facts[name] = _merged(fact, facts[name])
        made[name] = joined(column.chunks, column.type)
    return ReadTables(made, counts, facts)


def _read(
    file: SourceFile, form: str, options: Options, seen: set[str]
) -> tuple[dict[str, pa.ChunkedArray], dict[str, ColumnFacts], int]:
    """The columns of a file as they are meant, what their types told, and the number of rows."""
    try:
        groups = iter([jsonl.read_jsonl(file, options, seen)]) if form == "jsonl" else read_groups(file, options, seen)
        return _canonical(groups, file.uri)
    except BrokenFile as error:
        told = (jsonl.explain(file, options) if form == "jsonl" else None) or str(error)
        raise UserError(f"{file.uri} is no valid {form} file: {told}: correct it, or take it out") from error


def _canonical(groups: Iterable[pa.Table], uri: str) -> tuple[dict[str, pa.ChunkedArray], dict[str, ColumnFacts], int]:
    """Group by group, so that only one of them is in memory as the file has it."""
    parts: dict[str, list[pa.ChunkedArray]] = {}
    facts: dict[str, ColumnFacts] = {}
    rows = 0
    for group in groups:
        refuse_twice(group.column_names, uri)
        for name in group.column_names:
            made = canonical(group[name], name, uri)
            parts.setdefault(name, []).append(made.values)
            facts[name] = _merged(made.facts, facts.get(name))
        rows += len(group)
    return {name: _unified(name, columns, [uri] * len(columns)) for name, columns in parts.items()}, facts, rows


def _unified(name: str, columns: Sequence[pa.ChunkedArray], uris: Sequence[str]) -> pa.ChunkedArray:
    kinds = [column.type for column in columns]
    known = next((index for index, kind in enumerate(kinds) if not pa.types.is_null(kind)), 0)
    return unify(
        columns,
        lambda index: UserError(
            f"column {name!r} is {kinds[index]} in {uris[index]} but {kinds[known]} in {uris[known]}: "
            "all files need the same types"
        ),
    )


def _text(column: pa.ChunkedArray, options: Options, kind: str | None) -> tuple[pa.ChunkedArray, ColumnFacts]:
    """Numbers and times that are written as text are read; the column, and what was found."""
    told = TextColumn(options, kind)
    for chunk in column.chunks:
        told.see(chunk)
    reading = told.decide()
    words = pa.array(options.null_words, pa.string())
    column = pa.chunked_array([reading.apply(chunk, words) for chunk in column.chunks], reading.kind)
    facts = reading.facts
    if pa.types.is_string(reading.kind) and told.empty_words:
        lost = pc.is_in(column, words)
        column = pc.if_else(lost, pa.scalar(None, pa.string()), column)
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
        inexact=max(facts.inexact, other.inexact),
        category=facts.category or other.category,
    )
