"""Reads parquet files group by group."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow import parquet

from headway_trainer.data.read.files import SourceFile
from headway_trainer.data.read.found import refuse_twice
from headway_trainer.data.read.memory import check_table
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.streams import parsing

_TEXT_BYTES = 8
"""What a short text takes beside what the file has of it, where it has each only once."""


def read_groups(file: SourceFile, options: Options, seen: set[str]) -> Iterator[pa.Table]:
    """The rows of a file, by row group; its columns' names, also of those that are not read, go into seen.

    Raises UserError where the rows would take more memory than is left.
    """
    with file.store.open_input(file.path) as stream, parsing():
        source = parquet.ParquetFile(stream)
        refuse_twice(source.schema_arrow.names, file.uri)
        seen.update(source.schema_arrow.names)
        names = [name for name in source.schema_arrow.names if name not in options.ignored]
        _check_size(source, names, file.uri)
        categories = _categories(source)
        for index in range(source.metadata.num_row_groups):
            yield _declared(source.read_row_group(index, columns=names), categories)
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


def _check_size(source: parquet.ParquetFile, names: Sequence[str], uri: str) -> None:
    """Numbers take eight bytes, whatever they are in the file; all else what it takes there, uncompressed."""
    rows = source.metadata.num_rows
    groups = [source.metadata.row_group(index) for index in range(source.metadata.num_row_groups)]
    stored: dict[str, int] = {}
    for group in groups:
        for index in range(group.num_columns):
            column = group.column(index)
            top = column.path_in_schema.split(".")[0]
            stored[top] = stored.get(top, 0) + column.total_uncompressed_size
    columns = []
    for name in names:
        kind = source.schema_arrow.field(name).type
        if pa.types.is_nested(kind):
            columns.append((pa.string(), 2 * stored.get(name, 0)))
        elif pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
            columns.append((pa.bool_() if pa.types.is_boolean(kind) else pa.int64(), 0))
        else:
            columns.append((pa.string(), stored.get(name, 0) + rows * _TEXT_BYTES))
    check_table(columns, rows, uri, passing=max((group.total_byte_size for group in groups), default=0))
