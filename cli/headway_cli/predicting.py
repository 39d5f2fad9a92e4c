"""What a finished model says of rows: of those in a file, or of values that a program has."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from headway_api.bundle import LABEL
from headway_cli.cluster.errors import InputError, UsageError
from headway_trainer.errors import StorageError, UserError
from headway_trainer.export.predict import Predictor

PROBABILITIES = "probabilities"
_PROBABILITY = "probability."
_ROWS = "the rows"
"""What rows without a file are called in messages."""
Answer = dict[str, object]
"""What is said of one row."""


class FinishedModel:
    """A model that a run has left."""

    def __init__(self, place: str) -> None:
        """place: the folder of a finished run, a path or URI. Raises InputError where no model that can predict is."""
        with _told():
            self._predictor = Predictor.open(place)

    def tables(self, rows: str) -> Iterator[pa.Table]:
        """Predictions for the rows at a path or URI, in their order, some at a time; at least one table.

        Raises InputError, naming file and column, for rows that the model cannot take, and where there are none.
        """
        with _told():
            found = self._predictor.predict(rows)
        empty = True
        while True:
            with _told():
                table = next(found, None)
            if table is None:
                break
            empty = False
            yield table
        if empty:
            raise InputError(f"{rows} holds no rows")

    def answers(self, rows: object) -> list[Answer]:
        """What is said of each row, in their order, as `headway predict -o answers.jsonl` writes it.

        rows: a path or URI; mappings of columns' names to values; a table (pyarrow, pandas, polars); or a numpy array.
        Raises InputError, and UsageError for what cannot be rows.
        """
        if isinstance(rows, str | Path):
            return [answer for table in self.tables(str(rows)) for answer in answers_of(table)]
        with tempfile.TemporaryDirectory(prefix="headway-rows-") as folder:
            path = _written(rows, Path(folder))
            try:
                return [answer for table in self.tables(path) for answer in answers_of(table)]
            except InputError as error:
                raise InputError(str(error).replace(path, _ROWS)) from error


def answers_of(table: pa.Table) -> Iterator[Answer]:
    """Each row of an answer, the probabilities of its classes as one mapping, and in place of NaN and infinity None."""
    names = table.column_names
    # A series may be named by a column called label, too: classes have their probabilities beside them.
    beside = names[names.index(LABEL) + 1 :] if LABEL in names else []
    beside = beside if all(name.startswith(_PROBABILITY) for name in beside) else []
    for row in table.to_pylist():
        told: Answer = {name: _number(row[name]) for name in names if name not in beside}
        if beside:
            told[PROBABILITIES] = {name.removeprefix(_PROBABILITY): _number(row[name]) for name in beside}
        yield told


def _number(value: object) -> object:
    """A value as JSON has it, which knows neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the trainer's reading as InputError."""
    try:
        yield
    except (UserError, StorageError) as error:
        raise InputError(str(error)) from error


def _written(rows: object, folder: Path) -> str:
    """The path of a file with the rows."""
    if isinstance(rows, np.ndarray):
        np.savez(folder / "rows.npz", x=rows)
        return str(folder / "rows.npz")
    if not isinstance(rows, Mapping) and (hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "columns")):
        parquet.write_table(_table(rows), folder / "rows.parquet")
        return str(folder / "rows.parquet")
    return _lines(rows, folder / "rows.jsonl")


def _table(rows: object) -> pa.Table:
    try:
        return pa.table(rows)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"{_ROWS} are no table that pyarrow takes: {error}") from error


def _lines(rows: object, path: Path) -> str:
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        raise UsageError(
            f"rows are a path, a list of mappings, a table or an array, and no {type(rows).__name__}: write "
            "one row as [row]"
        )
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for count, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise UsageError(
                    f"row {count} is a {type(row).__name__}: write each row as a mapping of columns' names to values"
                )
            try:
                stream.write(json.dumps({str(name): _number(value) for name, value in row.items()}, default=_plain))
            except (TypeError, ValueError) as error:
                raise UsageError(f"row {count} cannot be written as JSON: {error}") from error
            stream.write("\n")
    if not count:
        raise InputError("there are no rows to predict for")
    return str(path)


def _plain(value: Any) -> Any:
    """A value that JSON does not know: times by ISO 8601, numbers of numpy as numbers."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, np.generic):
        return _number(value.item())
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no value of a row")
