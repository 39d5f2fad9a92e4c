"""`headway predict`: a finished model's predictions for the rows of a file."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import click
import pyarrow as pa
from pyarrow import csv, parquet

from headway_cli.cluster.errors import InputError
from headway_cli.predicting import FinishedModel, answers_of
from headway_cli.shown import PlainCommand, Steady


@click.command(cls=PlainCommand, short_help="Predict for the rows of a file with a finished model.")
@click.argument("model_dir", metavar="MODEL_DIR")
@click.argument("rows", metavar="ROWS")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .csv, .jsonl or .parquet file.  [default: csv to standard output]",
)
def predict(model_dir: str, rows: str, output: Path | None) -> None:
    """Predict for each of ROWS, a csv, parquet, jsonl or npz file, or an image or a folder of images, with the model of
    a finished run in MODEL_DIR.

    ROWS are read as the training data was: the same columns, in any order; the target need not be there. Each line of
    the answer is of one row, in their order: the likeliest class and the probabilities, or the values in their units.
    Of images it begins with the file.

    A forecast continues from the last row of each series in ROWS: each line of the answer is of one step ahead.
    """
    write = WRITERS.get(output.suffix.lower() if output is not None else ".csv")
    if write is None:
        raise click.ClickException(f"--output {output}: its name must end with {', '.join(WRITERS)}")
    if output is not None and output.exists() and Path(rows).exists() and output.samefile(rows):
        raise click.ClickException(f"--output {output} is the file that holds the rows: choose another")
    tables = FinishedModel(model_dir).tables(rows)
    first = next(tables)
    with _opened(output) as stream:
        write(first, tables, stream)


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Where the answer goes. A file appears under its name when all of it is there."""
    if output is None:
        # What a model's classes are called is somebody's word.
        yield cast("BinaryIO", Steady(sys.stdout)) if sys.stdout.isatty() else sys.stdout.buffer
        sys.stdout.flush()
        return
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(output)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _csv(first: pa.Table, others: Iterator[pa.Table], stream: BinaryIO) -> None:
    options = csv.WriteOptions(quoting_style="needed")
    with csv.CSVWriter(stream, first.schema, write_options=options) as writer:
        writer.write_table(first)
        for table in others:
            writer.write_table(table)


def _parquet(first: pa.Table, others: Iterator[pa.Table], stream: BinaryIO) -> None:
    with parquet.ParquetWriter(stream, first.schema) as writer:
        writer.write_table(first)
        for table in others:
            writer.write_table(table)


def _jsonl(first: pa.Table, others: Iterator[pa.Table], stream: BinaryIO) -> None:
    _json_lines(first, stream)
    for table in others:
        _json_lines(table, stream)


def _json_lines(table: pa.Table, stream: BinaryIO) -> None:
    """The probabilities of a row are one object."""
    told = (json.dumps(each, ensure_ascii=False, default=_written, allow_nan=False) for each in answers_of(table))
    stream.writelines(line.encode() + b"\n" for line in told)


def _written(time: datetime.date) -> str:
    return time.isoformat()


WRITERS: dict[str, Callable[[pa.Table, Iterator[pa.Table], BinaryIO], None]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By the ending of the file's name: what writes the first table, and those that come, to a stream."""
