"""Reads jsonl files: a JSON object a line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import json as arrow_json

from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.memory import ColumnSize, check_rows, scratch_for, table_bytes
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.streams import BrokenFile, ChunkStream, open_text, parsing, whole_lines
from headway_trainer.data.scratch import Scratch

_BLOCK = 16 * 1024 * 1024
"""No line may be longer."""
_SAMPLE = 1024 * 1024
"""Bytes of lines that tell how large the values of all are."""
_GZIP_GROWTH = 5


def scratch_of(files: SourceFiles, options: Options) -> Scratch:
    """Where the rows of the files are to lie, told from the first lines. Raises UserError where there is no room."""
    size = sum(file.size * (_GZIP_GROWTH if file.is_gzip else 1) for file in files.files)
    columns, rows = _sizes(files.files[0], options, size)
    table = sum(column.bytes for column in columns)
    # Of a file, the rows are there as it has them, and once more as columns of all files, and a block of lines. How
    # many they are is known once they are read.
    needed = table + min(_BLOCK, size) + table_bytes(columns, rows)
    return scratch_for(needed, 0, max(size, table), files.uri)


def _sizes(file: SourceFile, options: Options, size: int) -> tuple[list[ColumnSize], int]:
    """About what the columns of size bytes of such lines take, and how many rows these are: nothing of a broken file,
    which is told of when it is read."""
    with open_text(file, options.encoding) as chunks:
        head = next(chunks, b"")[:_SAMPLE]
    lines = head[: head.rfind(b"\n") + 1] or head
    try:
        with parsing():
            some = arrow_json.read_json(
                io.BytesIO(lines), read_options=arrow_json.ReadOptions(block_size=len(lines) + 1)
            )
    except BrokenFile:
        return [], 0
    share = size / max(1, len(lines))
    columns = [some[name] for name in some.column_names if name not in options.ignored]
    sizes = [ColumnSize(int(one.nbytes * share), is_text=pa.types.is_string(one.type)) for one in columns]
    return sizes, int(len(some) * share)


def read_jsonl(file: SourceFile, options: Options, scratch: Scratch, seen: set[str]) -> Iterator[pa.Table]:
    """The rows: as one table, or, where they are to lie on the disk, block by block of lines.

    Its columns' names, also of those that are not read, go into seen.

    Raises BrokenFile for what is no jsonl; explain says more.
    """
    tables = _blocks(file, options) if scratch.on_disk else iter([_whole(file, options)])
    for table in tables:
        seen.update(table.column_names)
        yield table.select([name for name in table.column_names if name not in options.ignored])


def _whole(file: SourceFile, options: Options) -> pa.Table:
    with open_text(file, options.encoding) as chunks, parsing():
        return arrow_json.read_json(ChunkStream(chunks), read_options=arrow_json.ReadOptions(block_size=_BLOCK))


def _blocks(file: SourceFile, options: Options) -> Iterator[pa.Table]:
    """In two passes: the types of all blocks first, as the first ones may have whole numbers alone, or nothing."""
    kinds: dict[str, pa.DataType] = {}
    rows = 0
    for table in _tables(file, options, arrow_json.ParseOptions()):
        rows += len(table)
        check_rows(rows, file.uri)
        for field in table.schema:
            kinds[field.name] = promoted(kinds.get(field.name, pa.null()), field.type)
    schema = pa.schema(list(kinds.items()))
    yield from _tables(file, options, arrow_json.ParseOptions(explicit_schema=schema))


def _tables(file: SourceFile, options: Options, parse: arrow_json.ParseOptions) -> Iterator[pa.Table]:
    with open_text(file, options.encoding) as chunks:
        for lines in filter(bytes.strip, whole_lines(chunks, _BLOCK)):
            with parsing():
                read = arrow_json.ReadOptions(block_size=len(lines) + 1)
                yield arrow_json.read_json(io.BytesIO(lines), read_options=read, parse_options=parse)


def promoted(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type of values of both types, as pyarrow has it for a whole file. Raises BrokenFile where there is none."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    written = [pa.types.is_timestamp(kind) or pa.types.is_string(kind) for kind in (one, other)]
    if all(written):
        return pa.string()
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(promoted(one.value_type, other.value_type))
    raise BrokenFile(f"a column is {one} in some lines and {other} in others")


def explain(file: SourceFile, options: Options) -> str | None:
    """Look for the line that pyarrow could not read; it does not say which one of the file it is."""
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(_numbered(file, options), start=1):
        try:
            row = json.loads(line) if line.strip() else {}
        except ValueError as error:
            return f"line {number}: {error}"
        if not isinstance(row, dict):
            return f"line {number} is no JSON object"
        for name, value in row.items():
            kind = _kind(value)
            first, at = kinds.setdefault(name, (kind, number)) if kind else (None, 0)
            if first is not None and kind != first:
                return f"column {name!r} is {kind} in line {number} and {first} in line {at}"
    return None


def _numbered(file: SourceFile, options: Options) -> Iterator[bytes]:
    with open_text(file, options.encoding) as chunks:
        for block in whole_lines(chunks, sys.maxsize):
            yield from block.splitlines()


def _kind(value: object) -> str | None:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value))
