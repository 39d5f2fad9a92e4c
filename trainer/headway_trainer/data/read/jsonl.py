"""Reads jsonl files: a JSON object a line."""

from __future__ import annotations

import json

import pyarrow as pa
from pyarrow import json as arrow_json

from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.memory import check_fits
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.streams import ChunkStream, open_text, parsing

_BLOCK = 16 * 1024 * 1024
"""No line may be longer."""
_GROWTH = 4
_GZIP_GROWTH = 5


def check_size(files: SourceFiles) -> None:
    """Raise UserError where reading the files would take more memory than is left."""
    needed = sum(file.size * _GROWTH * (_GZIP_GROWTH if file.is_gzip else 1) for file in files.files)
    check_fits(needed, files.uri)


def read_jsonl(file: SourceFile, options: Options, seen: set[str]) -> pa.Table:
    """The table; its columns' names, also of those that are not read, go into seen.

    Raises BrokenFile for what is no jsonl; explain says more.
    """
    with open_text(file, options.encoding) as chunks, parsing():
        table = arrow_json.read_json(ChunkStream(chunks), read_options=arrow_json.ReadOptions(block_size=_BLOCK))
    seen.update(table.column_names)
    return table.select([name for name in table.column_names if name not in options.ignored])


def explain(file: SourceFile, options: Options) -> str | None:
    """Look for the line that pyarrow could not read; it does not say which one of the file it is."""
    kinds: dict[str, tuple[str, int]] = {}
    with open_text(file, options.encoding) as chunks:
        text = b"".join(chunks)
    for number, line in enumerate(text.splitlines(), start=1):
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


def _kind(value: object) -> str | None:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value))
