"""Reads new rows for a finished model, block by block: as the rows that it was trained on were read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json
from pyarrow import parquet

from headway_trainer.data.read.canonical import canonical
from headway_trainer.data.read.columns import TextColumn
from headway_trainer.data.read.delimited import stream_csv
from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.found import refuse_missing, refuse_twice
from headway_trainer.data.read.jsonl import explain
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.streams import BrokenFile, open_text, parsing, whole_lines
from headway_trainer.errors import UserError

_ROWS = 8192
_BLOCK = 16 * 1024 * 1024
"""Bytes of lines that are parsed at once; no line may be longer."""


def stream_table(files: SourceFiles, options: Options, kinds: Mapping[str, str]) -> Iterator[pa.Table]:
    """The rows of csv, parquet or jsonl files, block by block, with these columns alone.

    kinds: the columns' names, and the kinds that the model was trained with. Raises UserError, naming file and column,
    for what cannot be read or is not there; StorageError.
    """
    columns = list(kinds)
    options = replace(options, kinds={name: _read_as(kind) for name, kind in kinds.items()})
    if files.format == "csv":
        yield from stream_csv(files, options, columns)
        return
    options = replace(options, null_values=options.null_values or ())
    read = _jsonl if files.format == "jsonl" else _parquet
    for file in files.files:
        try:
            for table in read(file, options, columns):
                yield pa.table({name: _canonical(table[name], name, file, options) for name in columns})
        except BrokenFile as error:
            told = (explain(file, options) if files.format == "jsonl" else None) or str(error)
            raise UserError(
                f"{file.uri} is no valid {files.format} file: {told}: correct it, or take it out"
            ) from error


def _read_as(kind: str) -> str:
    """The kind that text is read as: a category of digits stays the text that it is, and a number may begin with 0."""
    return "text" if kind in ("category", "text") else kind


def _parquet(file: SourceFile, _: Options, columns: list[str]) -> Iterator[pa.Table]:
    with file.store.open_input(file.path) as stream, parsing():
        source = parquet.ParquetFile(stream)
        refuse_twice(source.schema_arrow.names, file.uri)
        refuse_missing(source.schema_arrow.names, columns, file.uri)
        for batch in source.iter_batches(_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])


def _jsonl(file: SourceFile, options: Options, columns: list[str]) -> Iterator[pa.Table]:
    """A column that a block of lines does not name is empty there; one that the first block lacks is an error."""
    first = True
    with open_text(file, options.encoding) as chunks:
        for lines in filter(bytes.strip, whole_lines(chunks, _BLOCK)):
            with parsing():
                table = arrow_json.read_json(
                    io.BytesIO(lines), read_options=arrow_json.ReadOptions(block_size=len(lines) + 1)
                )
            if first:
                refuse_missing(table.column_names, columns, file.uri)
            first = False
            there = frozenset(table.column_names)
            yield pa.table({name: table[name] if name in there else pa.nulls(len(table)) for name in columns})


def _canonical(column: pa.ChunkedArray, name: str, file: SourceFile, options: Options) -> pa.ChunkedArray:
    made = canonical(column, name, file.uri)
    if not pa.types.is_string(made.values.type) or made.facts.category:
        return made.values
    told = TextColumn(options.of_column(name), options.kinds.get(name))
    for chunk in made.values.chunks:
        told.see(chunk)
    reading = told.decide()
    words = pa.array(options.null_words, pa.string())
    values = pa.chunked_array([reading.apply(chunk, words) for chunk in made.values.chunks], reading.kind)
    if pa.types.is_string(reading.kind) and told.empty_words:
        values = pc.if_else(pc.is_in(values, words), pa.scalar(None, pa.string()), values)
    return values
