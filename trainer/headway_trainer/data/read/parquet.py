"""Reads parquet files group by group, and of a large group few columns at once."""

from __future__ import annotations

import base64
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence, Set

import pyarrow as pa
from pyarrow import parquet

from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.found import refuse_twice
from headway_trainer.data.read.memory import ColumnSize, table_scratch
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.streams import BrokenFile, parsing
from headway_trainer.data.scratch import Scratch

_TEXT_BYTES = 8
"""What a short text takes beside what the file has of it, where it has each only once."""
_READ_BYTES = 64 * 1024 * 1024
"""Of a group, columns of so many bytes are read at once."""


def read_groups(file: SourceFile, options: Options, seen: set[str]) -> Iterator[pa.Table]:
    """The rows of a file, by row group; those of a large group as several tables, of some of its columns each.

    Its columns' names, also of those that are not read, go into seen.
    """
    with file.store.open_input(file.path) as stream, parsing():
        source = parquet.ParquetFile(stream)
        refuse_twice(source.schema_arrow.names, file.uri)
        seen.update(source.schema_arrow.names)
        names = [name for name in source.schema_arrow.names if name not in options.ignored]
        categories = _categories(source)
        for index in range(source.metadata.num_row_groups):
            for some in _few_columns(source, index, names):
                # A name is also that of all fields below it, so that `a` reads a column `a.b` as well.
                yield _declared(source.read_row_group(index, columns=some).select(some), categories)
        if not source.metadata.num_row_groups:
            yield source.schema_arrow.empty_table().select(names)


def _categories(source: parquet.ParquetFile) -> frozenset[str]:
    """The columns that were categories where the file was written; Arrow keeps that for texts alone."""
    stored = (source.metadata.metadata or {}).get(b"ARROW:schema")
    if stored is None:
        return frozenset()
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored)))
    except (ValueError, pa.ArrowException):
        return frozenset()
    return frozenset(field.name for field in schema if pa.types.is_dictionary(field.type))


def _declared(table: pa.Table, categories: frozenset[str]) -> pa.Table:
    for index, field in enumerate(table.schema):
        if field.name in categories and not pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).dictionary_encode())
    return table


def scratch_of(files: SourceFiles, options: Options) -> tuple[int, Scratch]:
    """How many rows all files have, and where they are to lie. Raises UserError where there is no room; StorageError.

    Numbers take eight bytes, whatever they are in the file; all else what it takes there, uncompressed.
    """
    columns: list[ColumnSize] = []
    rows = passing = 0
    for file in files.files:
        with contextlib.suppress(BrokenFile), file.store.open_input(file.path) as stream, parsing():
            source = parquet.ParquetFile(stream)
            rows += source.metadata.num_rows
            fields = [field for field in source.schema_arrow if field.name not in options.ignored]
            columns += _sizes(source, fields)
            passing = max(passing, _largest_read(source, {field.name for field in fields}))
    return rows, table_scratch(columns, rows, files.uri, passing)


def _few_columns(source: parquet.ParquetFile, index: int, names: Sequence[str]) -> Iterator[list[str]]:
    """The columns of a group, as many at once as memory holds easily."""
    stored = _stored(source.metadata.row_group(index))
    some: list[str] = []
    size = 0
    for name in names:
        size += stored.get(name, 0)
        if some and size > _READ_BYTES:
            yield some
            some, size = [], stored.get(name, 0)
        some.append(name)
    yield some


def _stored(group: parquet.RowGroupMetaData) -> dict[str, int]:
    """Bytes of each column, uncompressed."""
    stored: dict[str, int] = {}
    for column in (group.column(index) for index in range(group.num_columns)):
        top = column.path_in_schema.split(".")[0]
        stored[top] = stored.get(top, 0) + column.total_uncompressed_size
    return stored


def _largest_read(source: parquet.ParquetFile, names: Set[str]) -> int:
    groups = [source.metadata.row_group(index) for index in range(source.metadata.num_row_groups)]
    whole = max((group.total_byte_size for group in groups), default=0)
    column = max((size for group in groups for name, size in _stored(group).items() if name in names), default=0)
    return max(column, min(whole, _READ_BYTES))


def _sizes(source: parquet.ParquetFile, fields: Sequence[pa.Field]) -> list[ColumnSize]:
    """What each column takes as an array."""
    rows = source.metadata.num_rows
    stored: Counter[str] = Counter()
    for index in range(source.metadata.num_row_groups):
        stored.update(_stored(source.metadata.row_group(index)))
    sizes = []
    for name, kind in ((field.name, field.type) for field in fields):
        if pa.types.is_nested(kind):
            sizes.append(ColumnSize(2 * stored[name]))
        elif pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
            sizes.append(ColumnSize(rows // 4 if pa.types.is_boolean(kind) else rows * 8 + rows // 8))
        else:
            sizes.append(ColumnSize(stored[name] + rows * _TEXT_BYTES, is_text=True))
    return sizes
