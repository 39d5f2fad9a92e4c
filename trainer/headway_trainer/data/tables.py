"""Reads csv, parquet and jsonl files as one table of few column types, however the rows are divided into files."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import TableContent
from headway_trainer.data.files import SourceFiles
from headway_trainer.data.memory import check_fits
from headway_trainer.errors import UserError

_SHOWN = 20
_JSON_BLOCK = 16 * 1024 * 1024
"""No line of a jsonl file may be longer."""
_GROWTH = {"csv": 4, "jsonl": 4, "parquet": 2}
"""Memory taken by a byte of a file (of parquet: once uncompressed) until it is a matrix."""
_GZIP_GROWTH = 5
_INT64_MAX = 2**63 - 1
_KINDS = ("int64", "double", "bool", "string")
_BROKEN = ("corrupt", "thrift", "truncated", "zlib")
"""Words of the errors by which pyarrow says that a file, and not the way to it, is broken."""


def load_table(files: SourceFiles, target: str | None) -> TableContent:
    """Read the files as one table. Raises UserError, naming file, column and row where known; StorageError."""
    if files.format != "parquet":
        growth = _GROWTH[files.format]
        sizes = zip(files.paths, files.sizes, strict=True)
        needed = sum(size * growth * (_GZIP_GROWTH if files.is_gzip(path) else 1) for path, size in sizes)
        check_fits(needed, files.store.uri)
    tables = []
    for path in files.paths:
        tables.append(_read(files, path))
        _check_same_columns(tables[0], tables[-1], files.uri(files.paths[0]), files.uri(path))
    order = tables[0].column_names
    table = pa.concat_tables([part.select(order) for part in tables], promote_options="permissive")
    uris = [files.uri(path) for path in files.paths]
    counts = [len(part) for part in tables]
    del tables
    if len(table) == 0:
        raise UserError(f"data.source: {files.store.uri} has columns but no rows")
    target = _check_target(table, target, files.store.uri)
    table = pa.table([_canonical(table[name], name, files) for name in table.column_names], names=table.column_names)
    notes = [f"{files.left_out} files of other formats in {files.store.uri} were left out."] if files.left_out else []
    if any("=" in part for path in files.paths for part in path.split("/")[:-1]):
        notes.append("Folder names like key=value are not read as columns.")
    return TableContent(table, target, list(zip(uris, counts, strict=True)), hash_table(table), notes)


def hash_table(table: pa.Table) -> str:
    """sha256 over names, types and values, the same for any division into files and chunks, and for any file format."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        digest.update(json.dumps([name, str(column.type), len(column)]).encode())
        # Each kind of buffer is one stream over all chunks, so that their borders leave no trace.
        streams: dict[str, Any] = {}
        for chunk in column.chunks:
            for stream, data in _buffers(chunk):
                streams.setdefault(stream, hashlib.sha256()).update(data)
        for stream in sorted(streams):
            digest.update(streams[stream].digest())
    return digest.hexdigest()


def _buffers(chunk: pa.Array) -> Iterator[tuple[str, bytes]]:
    yield "valid", chunk.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_string(chunk.type):
        filled = chunk.fill_null("").cast(pa.large_string())
        yield "lengths", pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        offsets = np.frombuffer(filled.buffers()[1], dtype="<i8")[filled.offset : filled.offset + len(filled) + 1]
        if len(filled) and offsets[-1] > offsets[0]:
            yield "bytes", filled.buffers()[2][int(offsets[0]) : int(offsets[-1])].to_pybytes()
    elif not pa.types.is_null(chunk.type):
        zero = pa.scalar(0, pa.uint8()).cast(chunk.type)
        yield "values", chunk.fill_null(zero).to_numpy(zero_copy_only=False).tobytes()


def _read(files: SourceFiles, path: str) -> pa.Table:
    readers: dict[str, Callable[[BinaryIO, str], pa.Table]] = {
        "csv": _read_csv,
        "parquet": _read_parquet,
        "jsonl": _read_jsonl,
    }
    uri = files.uri(path)
    with files.store.open_input(path) as stream:
        source = pa.CompressedInputStream(stream, "gzip") if files.is_gzip(path) else stream
        try:
            table = readers[files.format](source, uri)
            names = table.column_names
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and not any(word in str(error).lower() for word in _BROKEN):
                raise
            told = str(error).splitlines()[0]
            if files.format == "jsonl":
                told = _explain_jsonl(files, path) or told
            raise UserError(f"{uri} is no valid {files.format} file: {told}: correct it, or take it out") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{uri} has two columns {twice[0]!r}: give each column a name of its own")
    return table


def _read_csv(stream: BinaryIO, uri: str) -> pa.Table:
    """All columns as text: their types are told from the whole source, and not from the beginning of each file."""
    from pyarrow import csv

    table = csv.read_csv(
        stream,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=True),
    )
    if all(_is_number(name) for name in table.column_names):
        raise UserError(f"{uri} seems to have no header: its first line must name the columns")
    return table


def _read_parquet(stream: BinaryIO, uri: str) -> pa.Table:
    from pyarrow import parquet

    file = parquet.ParquetFile(stream)
    groups = (file.metadata.row_group(index) for index in range(file.metadata.num_row_groups))
    check_fits(_GROWTH["parquet"] * sum(group.total_byte_size for group in groups), uri)
    return file.read()


def _read_jsonl(stream: BinaryIO, uri: str) -> pa.Table:
    from pyarrow import json as arrow_json

    del uri
    return arrow_json.read_json(stream, read_options=arrow_json.ReadOptions(block_size=_JSON_BLOCK))


def _explain_jsonl(files: SourceFiles, path: str) -> str | None:
    """Look for the line that pyarrow could not read; it does not say which one of the file it is."""
    kinds: dict[str, tuple[str, int]] = {}
    with files.store.open_input(path) as stream:
        source = pa.CompressedInputStream(stream, "gzip") if files.is_gzip(path) else stream
        for number, line in enumerate(source.read().splitlines(), start=1):
            try:
                row = json.loads(line) if line.strip() else {}
            except ValueError as error:
                return f"line {number}: {error}"
            if not isinstance(row, dict):
                return f"line {number} is no JSON object"
            for name, value in row.items():
                kind = _json_kind(value)
                first, at = kinds.setdefault(name, (kind, number)) if kind else (None, 0)
                if first is not None and kind != first:
                    return f"column {name!r} is {kind} in line {number} and {first} in line {at}"
    return None


def _json_kind(value: object) -> str | None:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value))


def _check_same_columns(first: pa.Table, other: pa.Table, first_uri: str, uri: str) -> None:
    expected, found = set(first.column_names), set(other.column_names)
    if missing := sorted(expected - found):
        raise UserError(f"{uri} has no column {missing[0]!r}, which {first_uri} has: all files need the same columns")
    if more := sorted(found - expected):
        raise UserError(f"{uri} has a column {more[0]!r}, which {first_uri} has not: all files need the same columns")
    for name in first.column_names:
        fields = [table.schema.field(name) for table in (first, other)]
        try:
            pa.unify_schemas([pa.schema([field]) for field in fields], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            raise UserError(
                f"column {name!r} is {fields[1].type} in {uri} but {fields[0].type} in {first_uri}: "
                "all files need the same types"
            ) from None


def _check_target(table: pa.Table, target: str | None, uri: str) -> str:
    names = table.column_names
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    if target is None:
        raise UserError(f"data.target is not set: name the column to predict; {uri} has the columns {shown}")
    if target not in names:
        near = difflib.get_close_matches(target, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"data.target: {uri} has no column {target!r}, it has {shown}{hint}")
    return target


def _canonical(column: pa.ChunkedArray, name: str, files: SourceFiles) -> pa.ChunkedArray:
    """The column as int64, double, bool, string or null (all empty), with null for every empty value."""
    types = pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        column = _text(column.cast(pa.string()))
        column = _typed(column) if files.format == "csv" else column
    elif types.is_floating(kind) or types.is_decimal(kind):
        column = _without_nan(column.cast(pa.float64()))
    elif types.is_integer(kind):
        large = types.is_uint64(kind) and (pc.max(column).as_py() or 0) > _INT64_MAX
        column = column.cast(pa.float64() if large else pa.int64(), safe=False)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    if types.is_temporal(column.type):
        raise UserError(
            f"column {name!r} of {files.store.uri} holds dates or times, which models cannot take: replace it by "
            "numbers, for example days since a fixed date, or take it out"
        )
    if str(column.type) not in _KINDS:
        raise UserError(
            f"column {name!r} of {files.store.uri} has the type {kind}; columns must be numbers, booleans or text: "
            "spread it over columns of its own, or take it out"
        )
    return column


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text without blanks around it; text that is only blanks is an empty value."""
    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A text column as the first of int64, double, bool and timestamp that all its values fit; otherwise text."""
    lower = pc.utf8_lower(column)
    if pc.all(pc.is_in(lower.drop_null(), pa.array(["true", "false"]))).as_py():
        return pc.equal(lower, "true")
    for kind in (pa.int64(), pa.float64(), pa.timestamp("ns")):
        try:
            typed = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        return _without_nan(typed) if pa.types.is_floating(kind) else typed
    return column


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
