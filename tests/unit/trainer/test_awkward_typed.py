"""Awkward jsonl, parquet and npz files: the right values, a warning that names what is odd, or one sentence.

What is right was written down for each file before it was tried; none may be wrong in silence.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from awkward_files import ROWS, File, Outcome, Refused, Right, check, day, outcome_of, write_file

CLASSES = ["pq"[index // 2 % 2] for index in range(ROWS)]
NOISE = [index * 13 % 41 + 0.25 for index in range(ROWS)]


def lines(row: Callable[[int], dict[str, Any]]) -> str:
    return "".join(json.dumps({"x": NOISE[i], "y": CLASSES[i], **row(i)}) + "\n" for i in range(ROWS))


PLAIN = lines(lambda i: {"a": i // 3})
VALUES = [index // 3 for index in range(ROWS)]

JSON = [
    File("a plain one", PLAIN, Right(values=VALUES, kind="number", quiet=True)),
    File("a byte order mark and CRLF", "\ufeff" + PLAIN.replace("\n", "\r\n"), Right(values=VALUES)),
    File(
        "an object in it",
        lines(lambda i: {"a": {"b": i}}),
        Refused("'a'", "struct", "data.columns: {a: {role: ignore}}"),
    ),
    File("keys that come and go", lines(lambda i: {"a": i // 4} if i % 4 else {}), Right(missing=10, kind="number")),
    File("a key that comes late", lines(lambda i: {"a": i} if i > 37 else {}), Right(missing=38)),
    File(
        "lists of different lengths",
        lines(lambda i: {"a": [1.5] * (1 + i % 2)}),
        Refused("a list of 2 numbers in row 2"),
    ),
    File(
        "a number that becomes text",
        lines(lambda i: {"a": i if i < 30 else str(i)}),
        Refused("'a' is text in line 31", "line 1"),
    ),
    File(
        "true and false beside numbers",
        lines(lambda i: {"a": i if i % 2 else True}),
        Refused("'a' is a number in line 2"),
    ),
    File("numbers as text", lines(lambda i: {"a": f"{i // 3}"}), Right(values=VALUES, said=("stored as text",))),
    File("an array of objects", json.dumps([{"x": 1, "y": "p"}] * 3), Refused("line 1 is no JSON object")),
    File("a comma at the end", PLAIN.replace("}", ",}"), Refused("line 1")),
    File(
        "NaN, as Python writes what is missing", PLAIN.replace('"a": 1}', '"a": NaN}'), Right(missing=3, kind="number")
    ),
    File("1e400", PLAIN.replace('"a": 1}', '"a": 1e400}'), Refused("too big", "row 3")),
    File("whole numbers beyond 2^53", lines(lambda i: {"a": 2**53 + i % 7}), Right(said=("beyond 2^53",))),
    File("a line that was cut", PLAIN[:-9], Refused("line 40")),
    File("blank lines", PLAIN.replace("\n", "\n\n"), Right(values=VALUES)),
    File(
        "days",
        lines(lambda i: {"a": f"2024-03-{i % 28 + 1:02}"}),
        Right(values=[day(2024, 3, i % 28 + 1) for i in range(ROWS)], kind="time"),
    ),
    File("null alone", lines(lambda _: {"a": None}), Right(role="ignore", missing=ROWS, said=("'a' is empty",))),
    File("not a line", "", Refused("jsonl")),
]


@pytest.mark.parametrize("file", JSON, ids=lambda file: file.title.replace(" ", "-"))
def test_an_awkward_jsonl_file_is_read_right_or_said_or_refused(file: File, tmp_path: Path) -> None:
    check(write_file(tmp_path, file.data, "data.jsonl"), file.outcome, target="y", **file.fields)


@dataclass(frozen=True)
class Stored:
    """A column of a parquet file, and what is right for it."""

    title: str
    column: pa.Array
    outcome: Outcome
    groups: int = ROWS
    """Rows of a row group."""
    fields: dict[str, Any] = field(default_factory=dict)


def array(cell: Callable[[int], Any], kind: pa.DataType) -> pa.Array:
    return pa.array([cell(index) for index in range(ROWS)], kind)


BIG = [2**63 + index % 7 if index > 30 else index % 7 for index in range(ROWS)]

PARQUET = [
    Stored(
        "whole decimals of a database",
        array(lambda i: Decimal(i // 3), pa.decimal128(38, 0)),
        Right(values=VALUES, kind="number"),
    ),
    Stored(
        "whole decimals of 20 digits",
        array(lambda i: Decimal(10**19 + i % 7), pa.decimal128(38, 0)),
        Right(values=[str(10**19 + i % 7) for i in range(ROWS)], said=("stayed text",)),
    ),
    Stored(
        "decimals with a fraction",
        array(lambda i: Decimal(i // 3) / 4, pa.decimal128(38, 9)),
        Right(values=[v / 4 for v in VALUES], quiet=True),
    ),
    Stored(
        "decimals beyond 2^53",
        array(lambda i: Decimal(2**53 + i % 7), pa.decimal128(38, 9)),
        Right(kind="number", said=("beyond 2^53",)),
    ),
    Stored(
        "unsigned numbers beyond 2^63 in one row group",
        pa.array(BIG, pa.uint64()),
        Right(values=[str(v) for v in BIG], said=("stayed text",)),
        groups=10,
    ),
    Stored(
        "unsigned numbers beyond 2^63 in the first row group",
        pa.array(BIG[::-1], pa.uint64()),
        Right(values=[str(v) for v in BIG[::-1]]),
        groups=10,
    ),
    Stored(
        "times in nanoseconds",
        pa.array([10**18 + i * 10**12 for i in range(ROWS)], pa.timestamp("ns")),
        Right(kind="time"),
    ),
    Stored(
        "times with a zone",
        array(lambda i: i * 10**6, pa.timestamp("s", "Asia/Tokyo")),
        Right(kind="time", said=("now in UTC",)),
    ),
    Stored(
        "days",
        array(lambda i: date(2024, 1, 1 + i % 28), pa.date32()),
        Right(values=[day(2024, 1, 1 + i % 28) for i in range(ROWS)], kind="time"),
    ),
    Stored(
        "9999-12-31 for no end",
        array(lambda i: date(9999, 12, 31) if i % 9 == 0 else date(2024, 1, 1 + i % 28), pa.date32()),
        Right(kind="time", said=("9999-12-31 in 5 rows",)),
    ),
    Stored(
        "durations",
        array(lambda i: 90 + i % 3, pa.duration("s")),
        Right(values=[90.0 + i % 3 for i in range(ROWS)], said=("now seconds",)),
    ),
    Stored(
        "large strings",
        array(lambda i: "rgb"[i % 3], pa.large_string()),
        Right(values=["rgb"[i % 3] for i in range(ROWS)], kind="category"),
    ),
    Stored(
        "a dictionary with empty values",
        array(lambda i: [None, "u", "v"][i % 3], pa.string()).dictionary_encode(),
        Right(missing=14, kind="category"),
    ),
    Stored("half floats", array(lambda i: np.float16(i // 3), pa.float16()), Right(values=[float(v) for v in VALUES])),
    Stored(
        "NaN beside null",
        array(lambda i: [float("nan"), None, 2.5, i / 4][i % 4], pa.float64()),
        Right(missing=20, kind="number"),
    ),
    Stored(
        "nothing in the first row group",
        array(lambda i: None if i < 10 else i // 3, pa.int64()),
        Right(values=[None] * 10 + VALUES[10:], missing=10),
        groups=10,
    ),
    Stored(
        "lists of one length",
        array(lambda i: [i, 0.5], pa.list_(pa.float32())),
        Right(values=[[float(i), 0.5] for i in range(ROWS)], kind="vector"),
    ),
    Stored(
        "lists of different lengths",
        array(lambda i: [0.5] * (1 + i % 2), pa.list_(pa.float32())),
        Refused("a list of 2 numbers in row 2", "role: ignore"),
    ),
    Stored("empty lists", array(lambda _: [], pa.list_(pa.float32())), Refused("'a'", "lists", "role: ignore")),
    Stored(
        "lists of lists",
        array(lambda _: [[0.5]], pa.list_(pa.list_(pa.float32()))),
        Refused("lists of list", "role: ignore"),
    ),
    Stored(
        "structs",
        array(lambda i: {"b": {"c": i}}, pa.struct([("b", pa.struct([("c", pa.int64())]))])),
        Refused("struct", "role: ignore"),
    ),
    Stored("maps", array(lambda i: [("k", i)], pa.map_(pa.string(), pa.int64())), Refused("map", "role: ignore")),
    Stored("bytes", array(lambda _: b"ab", pa.binary()), Refused("binary", "role: ignore")),
    Stored(
        "bytes, left out",
        array(lambda _: b"ab", pa.binary()),
        Right(role="ignore"),
        fields={"columns": {"a": {"role": "ignore"}}},
    ),
    Stored(
        "-9999 for an empty value",
        array(lambda i: -9999.0 if i % 9 == 0 else i / 4, pa.float32()),
        Right(said=("'a' is -9999 in 5 rows",)),
    ),
]


@pytest.mark.parametrize("stored", PARQUET, ids=lambda stored: stored.title.replace(" ", "-"))
def test_an_awkward_parquet_column_is_read_right_or_said_or_refused(stored: Stored, tmp_path: Path) -> None:
    table = pa.table({"a": stored.column, "x": NOISE, "y": CLASSES})
    parquet.write_table(table, tmp_path / "data.parquet", row_group_size=stored.groups)
    check(tmp_path / "data.parquet", stored.outcome, target="y", **stored.fields)


@pytest.mark.parametrize("ignored", ["a", "a.b"])
def test_a_name_with_a_point_is_no_field_of_another_column(ignored: str, tmp_path: Path) -> None:
    table = pa.table({"a": VALUES, "a.b": NOISE, "x": NOISE[::-1], "y": CLASSES})
    parquet.write_table(table, tmp_path / "data.parquet")
    check(
        tmp_path / "data.parquet",
        Right(column="a.b" if ignored == "a" else "a", values=NOISE if ignored == "a" else VALUES),
        target="y",
        columns={ignored: {"role": "ignore"}},
    )


def test_a_parquet_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": VALUES, "y": CLASSES}), tmp_path / "whole.parquet")
    path = write_file(tmp_path, (tmp_path / "whole.parquet").read_bytes()[:-9], "cut/data.parquet")
    check(path, Refused("no valid parquet file"), target="y")


X = np.random.default_rng(0).normal(size=(ROWS, 3))
LABELS = np.arange(ROWS) // 2 % 2


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.array([[1, "a"]] * ROWS, object), "y": LABELS}, ["plain arrays", "no Python objects"]),
        ({"x": X, "y": np.array([{"a": 1}] * ROWS)}, ["no Python objects"]),
        ({"x": np.zeros(ROWS, [("a", float), ("b", float)]), "y": LABELS}, ["'x'", "must be numbers"]),
        ({"x": X + 1j, "y": LABELS}, ["complex", "must be numbers"]),
        ({"x": X[:, 0], "y": LABELS}, ["rows by features"]),
        ({"x": X.astype("M8[s]"), "y": LABELS}, ["must be numbers"]),
        ({"x": X, "y": LABELS.astype("M8[D]")}, ["must be numbers or text"]),
        ({"x": X, "y": LABELS.astype("S1")}, ["must be numbers or text"]),
        ({"x": X, "y": LABELS[:-1]}, ["40 rows", "39"]),
        ({"x": X[:0], "y": LABELS[:0]}, ["no rows"]),
        ({"x": np.where(np.arange(ROWS)[:, None] == 3, np.inf, X), "y": LABELS}, ["row 4"]),
        ({"x": X, "y": np.where(LABELS, np.nan, 0.5)}, ["nan in row 3"]),
        ({"x": X, "y": np.full(ROWS, 2.5)}, ["2.5"]),
        ({"x": X, "z": LABELS}, ["no array 'y'", "x, z"]),
        ({"a": X, "b": X, "y": LABELS}, ["one array of features", "a, b"]),
    ],
)
def test_arrays_that_cannot_be_learnt_from_are_refused(
    arrays: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    check(tmp_path / "data.npz", Refused(*words))


@pytest.mark.parametrize(
    "x",
    [X.astype(np.float16), X.astype(">f8"), np.asfortranarray(X), X[::-1][::-1], X.astype(np.longdouble), X > 0],
    ids=["float16", "big-endian", "Fortran", "backwards", "longdouble", "bool"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_whatever_their_numbers_and_their_order_in_the_file(
    x: Any, save: Callable[..., None], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", x=x, y=LABELS[:, np.newaxis])
    got = outcome_of(tmp_path / "data.npz")
    assert not isinstance(got, str), got
    assert (got[1].task, got[1].rows) == ("classification", ROWS)
    column = got[0].schema.named("x")
    assert (column.stats.min, column.stats.max) == (float(x.min()), float(x.max()))


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + b"\0" * 18, b"\x93NUMPY\x01\x00", b"PK\x03\x04 cut"])
def test_what_is_no_archive_of_arrays_is_refused(data: bytes, tmp_path: Path) -> None:
    check(write_file(tmp_path, data, "data.npz"), Refused("data.npz", "npz"))


def test_a_single_array_under_the_name_of_an_archive_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, X)
    check(write_file(tmp_path, buffer.getvalue(), "data.npz"), Refused("numpy.savez"))
