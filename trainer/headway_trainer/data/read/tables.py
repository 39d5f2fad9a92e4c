"""Reads csv, parquet and jsonl files as one table of few column types, however the rows are divided into files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import ColumnFacts, Parts, TableContent
from headway_trainer.data.read.delimited import read_csv
from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.hashes import hash_table
from headway_trainer.data.read.memory import check_texts
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.stray_rows import refuse_header_again, totals
from headway_trainer.data.read.told import column_warnings
from headway_trainer.data.read.typed import read_typed
from headway_trainer.errors import UserError

_ROW_INDEX = re.compile(r"^(|Unnamed: ?\d+|__index_level_\d+__)$")
_EXACT = 2**53


def load_table(files: SourceFiles, targets: Sequence[str], options: Options) -> TableContent:
    """Read the files as one table. Raises UserError, naming file, column and row where known; StorageError."""
    found = read_csv(files, options, targets) if files.format == "csv" else read_typed(files, options)
    counts = found.counts
    table = pa.table(found.columns)
    # What passed on the way is given back before the rows are prepared.
    pa.default_memory_pool().release_unused()
    if len(table) == 0:
        raise UserError(f"data.source: {files.uri} has columns but no rows")
    _check_targets(table, targets, files.uri)
    if found.scratch.on_disk:
        check_texts(table)
    table, notes = _without_empty_name(table)
    # Whole numbers of 64 bits and more come out of JSON as floats.
    wholes = files.format == "jsonl"
    facts = {name: _completed(name, table[name], found.facts.get(name), wholes=wholes) for name in table.column_names}
    same, warnings = same_files(files.files)
    read = replace(found.read, rows=len(table), files_left_out=files.left_out, same_files=same)
    text = frozenset(field.name for field in table.schema if pa.types.is_string(field.type))
    content = TableContent(
        table,
        [(file.uri, count) for file, count in zip(files.files, counts, strict=True)],
        hash_table(table),
        notes=[*_file_notes(files), *notes],
        warnings=[*found.warnings, *column_warnings(facts, text), *warnings],
        facts={name: fact for name, fact in facts.items() if fact != ColumnFacts()},
        read=read,
        parts=_parts(files.files, counts),
        scratch=found.scratch,
    )
    refuse_header_again(table, content.where)
    content.warnings.extend(totals(table, counts, content.where))
    return content


def _beyond_floats(column: pa.ChunkedArray) -> int:
    """How many numbers of a column of whole ones are beyond 2^53."""
    low, high = (pc.min_max(column)[end].as_py() or 0 for end in ("min", "max"))
    if max(-low, high) <= _EXACT or (
        pa.types.is_floating(column.type) and not pc.all(pc.equal(column, pc.floor(column))).as_py()
    ):
        return 0
    return int(pc.sum(pc.or_(pc.greater(column, _EXACT), pc.less(column, -_EXACT))).as_py())


def _completed(name: str, column: pa.ChunkedArray, facts: ColumnFacts | None, *, wholes: bool) -> ColumnFacts:
    """The facts with those that the values and the name tell."""
    facts = facts or ColumnFacts()
    if (pa.types.is_integer(column.type) or (wholes and pa.types.is_floating(column.type))) and not facts.inexact:
        facts = replace(facts, inexact=_beyond_floats(column))
    return replace(facts, row_index=True) if _ROW_INDEX.match(name) else facts


def _parts(files: Sequence[SourceFile], counts: Sequence[int]) -> Parts | None:
    if files[0].part is None:
        return None
    return np.repeat(np.array([file.part for file in files], np.int8), counts)


def _without_empty_name(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table without a column that has neither a name nor a value, which a delimiter at the end of lines makes."""
    if "" not in table.column_names or len(table.column_names) == 1 or not pa.types.is_null(table[""].type):
        return table, []
    return table.drop_columns([""]), ["An empty column without a name was left out."]


def same_files(files: Sequence[SourceFile]) -> tuple[int, list[str]]:
    """How many files another one equals byte for byte, and a sentence that names the first."""
    by_size: dict[int, list[SourceFile]] = {}
    for file in files:
        by_size.setdefault(file.size, []).append(file)
    seen: dict[str, str] = {}
    twice: list[tuple[str, str]] = []
    for file in (file for group in by_size.values() if len(group) > 1 for file in group):
        digest = file.store.sha256(file.path)
        if digest in seen:
            twice.append((file.uri, seen[digest]))
        seen.setdefault(digest, file.uri)
    if not twice:
        return 0, []
    more = f", and {len(twice) - 1} more files are such copies" if len(twice) > 1 else ""
    return len(twice), [f"{twice[0][0]} equals {twice[0][1]} byte for byte, so that its rows are there twice{more}."]


def _file_notes(files: SourceFiles) -> list[str]:
    notes = [f"{files.left_out} files of other formats in {files.uri} were left out."] if files.left_out else []
    if any("=" in part for file in files.files for part in file.path.split("/")[:-1]):
        notes.append("Folder names like key=value are not read as columns.")
    return notes


def _check_targets(table: pa.Table, targets: Sequence[str], uri: str) -> None:
    """What a target that is not there tells of how the file was read; other names are looked up with all columns."""
    names = table.column_names
    if len(names) == 1 and targets and targets[0] not in names:
        raise UserError(
            f"{uri} has the one column {names[0][:200]!r}: if another sign stands between its values, write it as "
            "data.read.delimiter"
        )
