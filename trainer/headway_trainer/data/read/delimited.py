"""Reads csv files in two passes: what the columns hold, block by block, and then the values as what they are.

The text of all rows is never in memory at once, and how much the values take is known before they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyarrow import csv

from headway_trainer.data.content import ColumnFacts, ReadFacts
from headway_trainer.data.read.builder import ColumnBuilder
from headway_trainer.data.read.columns import Reading, TextColumn
from headway_trainer.data.read.encoding import shown
from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.found import ReadTables, check_same_columns, refuse_ignored_nowhere, refuse_missing
from headway_trainer.data.read.memory import ColumnSize, table_scratch
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.quotes import QuoteScan
from headway_trainer.data.read.sniff import NAMELESS, Dialect, sniff
from headway_trainer.data.read.streams import ChunkStream, codec_of, open_text
from headway_trainer.errors import UserError

_BLOCKS = (1024 * 1024, 128 * 1024 * 1024, 1024 * 1024 * 1024)
"""Bytes parsed at once; the larger ones for files with a row that does not fit."""
_COLUMN_BLOCK = 4096
"""Bytes parsed at once for each column at least, as each block costs some time for each column."""
_STRADDLES = ("straddling object", "block size")
_MANY_BREAKS = 100


@dataclass
class _File:
    """A csv file: how it is written, and what the first pass found."""

    source: SourceFile
    uri: str
    dialect: Dialect
    codec: str
    rows: int = 0
    lines: int = 0
    breaks: int = 0
    comments: int = 0
    block: int = _BLOCKS[0]


def read_csv(files: SourceFiles, options: Options, wanted: Sequence[str]) -> ReadTables:
    """Read csv files of the same columns. wanted are columns that the job names.

    Raises UserError, naming file, line and column where known, and what to write where something is uncertain.
    """
    found = [_open(file, options, wanted) for file in files.files]
    check_same_columns([(file.uri, file.dialect.names) for file in found])
    refuse_ignored_nowhere(options.ignored, found[0].dialect.names, files.uri)
    surveyed = _survey(found, options, files.uri)
    readings = _without_nameless(_decide(surveyed.columns), files.uri)
    rows = sum(file.rows for file in found)
    sizes = [ColumnSize.of(reading.kind, rows, surveyed.sizes[name]) for name, reading in readings.items()]
    scratch = table_scratch(sizes, rows, files.uri)
    unquoted = dict.fromkeys(readings, 0)
    builders = {name: ColumnBuilder(reading.kind, rows, scratch) for name, reading in readings.items()}
    for file in found:
        _read(file, options, readings, unquoted, builders)
    columns = {name: builders.pop(name).finish() for name in readings}
    facts = _facts(readings, surveyed.columns, unquoted, options)
    return ReadTables(columns, [file.rows for file in found], facts, _read_facts(found), surveyed.warnings, scratch)


def stream_csv(files: SourceFiles, options: Options, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of csv files, block by block, and of them these columns alone. They are read as read_csv does.

    Raises UserError as read_csv does, and for a column that is not there.
    """
    found = [_open(file, options, columns) for file in files.files]
    for file in found:
        refuse_missing(file.dialect.names, columns, file.uri)
    names = {name for file in found for name in file.dialect.names}
    options = replace(options, ignored=frozenset(names.difference(columns)))
    surveyed = _survey(found, options, files.uri)
    # Which columns have decimal commas is known here, from all rows of the training.
    readings = {name: column.decide() for name, column in surveyed.columns.items()}
    unquoted = dict.fromkeys(readings, 0)
    for file in found:
        for block in _blocks(file, options, readings, unquoted):
            yield pa.table(block)


def _open(source: SourceFile, options: Options, wanted: Sequence[str]) -> _File:
    codec = codec_of(source, options.encoding)
    with open_text(source, options.encoding) as chunks:
        head = next(chunks, b"")
    return _File(source, source.uri, sniff(head, options, source.uri, wanted), codec)


def _chunks(file: _File, options: Options, *, count: bool) -> Iterator[bytes]:
    """The text of a file from its first row on, without comments."""
    with open_text(file.source, options.encoding) as chunks:
        skip = file.dialect.body
        comment = file.dialect.comment
        held = b""
        for chunk in chunks:
            text = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if comment is not None:
                text, held = _whole_lines(held + text)
                text = _without_comments(text, comment.encode(), file if count else None)
            yield text
        if held and comment is not None:
            yield _without_comments(held, comment.encode(), file if count else None)


def _whole_lines(data: bytes) -> tuple[bytes, bytes]:
    cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
    return data[:cut], data[cut:]


def _without_comments(text: bytes, sign: bytes, file: _File | None) -> bytes:
    if not (text.startswith(sign) or b"\n" + sign in text or b"\r" + sign in text):
        return text
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(sign)]
    if file is not None:
        file.comments += len(lines) - len(kept)
    return b"".join(kept)


@dataclass
class _Survey:
    """What the first pass found."""

    columns: dict[str, TextColumn]
    sizes: dict[str, int]
    """Bytes that each column takes as text."""
    warnings: list[str] = field(default_factory=list)


def _survey(found: Sequence[_File], options: Options, uri: str) -> _Survey:
    """Show each column its values in all files; with larger blocks, where a row is longer than a block."""
    names = [name for name in found[0].dialect.names if name not in options.ignored]
    for least in _BLOCKS:
        block = max(least, min(len(names) * _COLUMN_BLOCK, _BLOCKS[1]))
        columns = {name: TextColumn(options.of_column(name), options.kinds.get(name)) for name in names}
        survey = _Survey(columns, dict.fromkeys(names, 0))
        try:
            for file in found:
                file.block, file.rows, file.comments = block, 0, 0
                _survey_file(file, options, survey)
        except _RowTooLong:
            continue
        return survey
    raise UserError(f"{uri} has a row of more than {_BLOCKS[-1] >> 20} MiB: shorten it, or take it out")


def _survey_file(file: _File, options: Options, survey: _Survey) -> None:
    dialect = file.dialect
    trusted = options.quote is not None
    width = len(dialect.names)
    scan = QuoteScan(file.uri, dialect.quote, dialect.delimiter, width, dialect.body_line, trusted=trusted)
    shown = [(str(index), name) for index, name in enumerate(dialect.names) if name in survey.columns]
    convert = csv.ConvertOptions(
        column_types={number: pa.string() for number, _ in shown},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        include_columns=[number for number, _ in shown],
        check_utf8=False,  # open_text has done so
    )
    for batch in _batches(file, options, convert, scan):
        file.rows += len(batch)
        for (_, name), values in zip(shown, batch.columns, strict=True):
            survey.columns[name].see(values)
            survey.sizes[name] += values.nbytes
    file.lines = scan.lines + scan.ends_in_line + dialect.body_line + file.comments
    file.breaks = scan.breaks
    breaks, line = scan.longest
    if breaks > _MANY_BREAKS:
        survey.warnings.append(
            f"{file.uri}: the value that begins in line {line} has {breaks} line breaks; if it should not, a quote is "
            "missing there."
        )


def _batches(
    file: _File, options: Options, convert: csv.ConvertOptions, scan: QuoteScan | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, its columns under their numbers."""
    dialect = file.dialect
    chunks = _chunks(file, options, count=scan is not None)
    stream = ChunkStream(scan.watch(chunks) if scan is not None else chunks)
    parse = csv.ParseOptions(delimiter=dialect.delimiter, quote_char=dialect.quote, newlines_in_values=True)
    read = csv.ReadOptions(column_names=[str(index) for index in range(len(dialect.names))], block_size=file.block)
    try:
        yield from csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        if str(error).startswith("Empty CSV"):
            # Only what the scan has to say of it is missing.
            while stream.read(1 << 20):
                pass
            return
        if any(words in str(error) for words in _STRADDLES):
            raise _RowTooLong from error
        raise _explained(error, file) from error


class _RowTooLong(Exception):  # noqa: N818 - it is handled where it is raised for
    """A row does not fit into a block."""


def _explained(error: pa.ArrowInvalid, file: _File) -> UserError:
    told = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(error).split("\n")[0])
    return UserError(f"{file.uri} is no valid csv file: {told}: correct it, or take it out")


def _decide(columns: dict[str, TextColumn]) -> dict[str, Reading]:
    comma = next((name for name, column in columns.items() if column.has_decimal_comma), None)
    point = next((name for name, column in columns.items() if column.may_have_thousands), None)
    if comma is not None and point is not None:
        raise UserError(
            f"column {comma!r} has decimal commas, and the points in column {point!r} may be decimal points or stand "
            "between thousands: set data.read.decimal and data.read.thousands"
        )
    return {name: column.decide() for name, column in columns.items()}


def _without_nameless(readings: dict[str, Reading], uri: str) -> dict[str, Reading]:
    """Several columns may be without a name where they are empty, as spreadsheets leave them."""
    nameless = [name for name in readings if name.startswith(NAMELESS)]
    if any(not pa.types.is_null(readings[name].kind) for name in nameless):
        raise UserError(f"{uri} has {len(nameless) + 1} columns without a name: give each column a name of its own")
    return {name: reading for name, reading in readings.items() if name not in nameless}


def _read(
    file: _File,
    options: Options,
    readings: dict[str, Reading],
    unquoted: dict[str, int],
    builders: dict[str, ColumnBuilder],
) -> None:
    """Add the values of a file to each column, and count the empty ones in unquoted."""
    for block in _blocks(file, options, readings, unquoted):
        for name, values in block.items():
            builders[name].add(values)


def _blocks(
    file: _File, options: Options, readings: dict[str, Reading], unquoted: dict[str, int]
) -> Iterator[dict[str, pa.Array]]:
    """The values of a file, block by block; the empty ones are counted in unquoted."""
    shown = [(str(index), name) for index, name in enumerate(file.dialect.names) if name in readings]
    direct = {number: readings[name].kind for number, name in shown if readings[name].read is None}
    convert = csv.ConvertOptions(
        column_types={number: direct.get(number, pa.string()) for number, _ in shown},
        null_values=["", *options.null_words],
        strings_can_be_null=True,
        quoted_strings_can_be_null=options.null_values is not None,
        include_columns=[number for number, _ in shown],
        check_utf8=False,  # open_text has done so
    )
    words = pa.array(options.null_words, pa.string())
    for batch in _batches(file, options, convert):
        block = {}
        for (_, name), values in zip(shown, batch.columns, strict=True):
            unquoted[name] += values.null_count
            block[name] = readings[name].apply(values, words)
        yield block


def _facts(
    readings: dict[str, Reading], columns: dict[str, TextColumn], unquoted: dict[str, int], options: Options
) -> dict[str, ColumnFacts]:
    facts = {}
    for name, reading in readings.items():
        column = columns[name]
        count = column.empty_words
        if pa.types.is_string(reading.kind) and options.null_values is None:
            count = unquoted[name] - column.nulls
        facts[name] = replace(
            reading.facts,
            empty_words=count,
            quoted_words=column.empty_words - count,
            words=tuple(sorted(column.words)),
        )
    return facts


def _read_facts(files: Sequence[_File]) -> ReadFacts:
    rows = sum(file.rows for file in files)
    lines = sum(file.lines for file in files)
    heads = sum(file.dialect.body_line for file in files)
    breaks = sum(file.breaks for file in files)
    comments = sum(file.comments for file in files)
    dialects = sorted({f"{shown(file.codec)}, {file.dialect.told()}" for file in files})
    return ReadFacts(
        rows=rows, lines=lines, breaks=breaks, comments=comments, blank=lines - heads - breaks - comments - rows,
        dialect="; ".join(dialects),
    )  # fmt: skip
