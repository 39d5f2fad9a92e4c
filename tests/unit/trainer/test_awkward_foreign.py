"""Files as other programs, countries and times leave them: read right, or what is odd is said, or one sentence.

What is right was written down for each file before it was tried; none may be wrong in silence.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from awkward_files import ROWS, File, Outcome, Refused, Right, check, csv, cycled, outcome_of, write_file
from headway_api.data import Data
from headway_trainer.data import prepare, read_split
from headway_trainer.storage import Store

NUMBERS = [index * 7 % 20 for index in range(ROWS)]
PLAIN = csv([str(number) for number in NUMBERS])
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
DATES = ("are not written as 2026-01-31", "data.read.dateFormat")
PLAINLY = ("not written plainly in all rows", "kind: category")


def days(form: str, names: tuple[str, ...] = ()) -> str:
    return csv(lambda i: f'"{form}"'.format(d=i % 28 + 1, m=i % 12 + 1, w=names and names[i % len(names)]).strip('"'))


FILES = [
    File("a pointer of Git LFS", POINTER, Refused("a pointer of Git LFS", "git lfs pull")),
    File("a pointer of Git LFS, of json lines", POINTER, Refused("git lfs pull"), "data.jsonl"),
    File("a pointer of Git LFS, of parquet", POINTER, Refused("git lfs pull"), "data.parquet"),
    File("a page that asks for a login", PAGE, Refused("a page in HTML", "download the file itself")),
    File("a page that asks for a login, of parquet", PAGE, Refused("a page in HTML"), "data.parquet"),
    File("a table in XML", '<?xml version="1.0"?>\n<t><r a="1"/></t>\n', Refused("XML", "as csv")),
    File("marks of a merge", PLAIN.replace("\n7,", "\n<<<<<<< HEAD\n7,", 1), Refused("got 1: <<<<<<< HEAD")),
    File("the mark of the end of a file of DOS", PLAIN + "\x1a", Refused(r"got 1: \x1a")),
    File("a page break before a number", PLAIN.replace("\n7,", "\n\x0c7,", 1), Right(values=NUMBERS, kind="number")),
    File(
        "blanks that do not break beside numbers",
        csv(lambda i: f"\u00a0{NUMBERS[i]}\u2007"),
        Right(values=NUMBERS, kind="number", quiet=True),
    ),
    File("a byte order mark in a value", csv(lambda i: f"{chr(0xFEFF) * (i == 3)}{NUMBERS[i]}"), Refused("in row 4")),
    File(
        "units below the names",
        PLAIN.replace("a,x,y\n", "a,x,y\nm,s,-\n", 1),
        Refused("holds numbers", "in row 1"),
    ),
    File("names that differ in case alone", PLAIN.replace("a,x", "a,A", 1), Right(values=NUMBERS, quiet=True)),
    File("blanks as delimiters", PLAIN.replace(",", " "), Refused("the one column", "data.read.delimiter")),
    File("powers of ten of Fortran", csv(lambda i: f"{i % 9}.5D+0{i % 3}"), Refused("0.5D+00", *PLAINLY)),
    File("fractions", csv(lambda i: f"{i % 9 + 1}/{i % 4 + 2}"), Refused("'1/2'", *PLAINLY)),
    File("blood pressures", csv(lambda i: f"{110 + i}/{70 + i % 9}"), Refused("'110/70'", *PLAINLY)),
    File("few fractions, which may be names", csv(["1/2", "1/3", "2/3"]), Right(kind="category", quiet=True)),
    File("scores", csv(["2:1", "0:0", "1:3"]), Right(values=cycled(["2:1", "0:0", "1:3"]), kind="category")),
    File("numbers with low lines", csv(lambda i: f"{i + 1}_000"), Refused("'10_000'", *PLAINLY)),
    File("what C++ writes for no number", csv(lambda i: "-1.#INF" if i % 9 == 3 else f"{i}.5"), Refused("'-1.#INF'")),
    File("the point that SAS writes for none", csv(lambda i: "." if i % 7 == 0 else str(i)), Refused("'.' in row 1")),
    File("months in French", days("{d} {w} 2020", ("janv.", "f\u00e9vrier", "mars", "ao\u00fbt")), Refused(*DATES)),
    File("months in Spanish", days("{d} de {w} de 2020", ("enero", "marzo", "mayo")), Refused(*DATES)),
    File("months in several lengths", days("{w} {d}, 2020", ("Jan", "February", "Sept")), Refused(*DATES)),
    File("dates of mails", days("Fri, {d} {w} 2020 10:00:00 +0100", ("Jan", "Feb")), Refused(*DATES)),
    File("weeks", days("2020-W{d:02}"), Refused("'2020-W01'", *DATES)),
    File("times without signs between", days("2020{m:02}{d:02}T103000"), Refused("'20200101T103000'", *DATES)),
    File("words and numbers that are no dates", days("Room {d}, level {m}"), Right(kind="text")),
    File(
        "days of the Middle Ages",
        csv(lambda i: f"{1066 + i % 9}-10-{i % 28 + 1:02}"),
        Right(values=[datetime.datetime(1066 + i % 9, 10, i % 28 + 1) for i in range(ROWS)], kind="time"),  # noqa: DTZ001 - without zones, as files have them
    ),
    File("the year 0", csv(lambda i: f"{'0000' if i == 3 else '2020'}-10-{i % 28 + 1:02}"), Refused("year 0", "row 4")),
    File("a leap second", csv(lambda i: f"2016-12-{i % 28 + 1:02}T23:59:{60 if i == 3 else i}Z"), Refused(*DATES)),
    File("a key that is there twice", '{"a": 1, "a": 2, "y": "p"}\n' * ROWS, Refused("twice in row 0"), "data.jsonl"),
    File("half a character", '{"a": "\\ud800", "y": "p"}\n' * ROWS, Refused("surrogate"), "data.jsonl"),
    File(
        "true among numbers",
        "".join(json.dumps({"a": True if i == 5 else i, "y": "pq"[i % 2]}) + "\n" for i in range(ROWS)),
        Refused("'a' is true or false in line 6"),
        "data.jsonl",
    ),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.title.replace(" ", "-"))
def test_a_file_of_another_program_country_or_time_is_read_right_or_said_or_refused(file: File, tmp_path: Path) -> None:
    check(write_file(tmp_path, file.data, file.name), file.outcome, **{"target": "y", **file.fields})


NOISE = [index * 13 % 41 + 0.25 for index in range(ROWS)]
CLASSES = ["pq"[index // 2 % 2] for index in range(ROWS)]
FAR = pa.array([2**62 + index for index in range(ROWS)], pa.timestamp("us"))


@pytest.mark.parametrize(
    ("column", "outcome"),
    [
        (FAR, Refused("the year 148", "row 1", "years are 1 to 9999")),
        (pa.array([2**50 + index for index in range(ROWS)], pa.timestamp("s")), Refused("further away", "'a'")),
        (pa.array([-(2**54) - index for index in range(ROWS)], pa.timestamp("ms")), Refused("further away", "'a'")),
        (pa.array([[("k", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())), Refused("map<")),
        (pa.array([[1.0, None]] * ROWS, pa.list_(pa.float64(), 2)), Refused("empty values in them")),
        (pa.array([[True, False]] * ROWS), Refused("lists of bool")),
        (pa.array(NUMBERS, pa.decimal256(60, 2)), Right(values=[float(one) for one in NUMBERS], kind="number")),
        (pa.array(cycled(["u", "v"])).cast(pa.string_view()), Right(values=cycled(["u", "v"]), kind="category")),
        (pa.nulls(ROWS), Right(role="ignore", missing=ROWS, said=("'a' is empty",))),
    ],
    ids=["microseconds", "seconds", "milliseconds", "map", "hole", "truths", "decimal256", "views", "null"],
)
def test_a_parquet_column_of_another_program_is_read_right_or_said_or_refused(
    column: pa.Array, outcome: Outcome, tmp_path: Path
) -> None:
    parquet.write_table(pa.table({"a": column, "x": NOISE, "y": CLASSES}), tmp_path / "data.parquet")
    check(tmp_path / "data.parquet", outcome, target="y")


def test_a_time_of_no_calendar_can_be_left_out(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": FAR, "x": NOISE, "y": CLASSES}), tmp_path / "data.parquet")
    check(tmp_path / "data.parquet", Right(role="ignore"), target="y", columns={"a": {"role": "ignore"}})


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        (
            {"1.csv": csv(["5", "6"]), "2.csv": "\ufeff" + csv(["7", "8"], sign=";")},
            Right(values=[*cycled([5, 6]), *cycled([7, 8])]),
        ),
        ({"1.csv": PLAIN, "2.csv": PLAIN.replace("a,x", "A,x", 1)}, Refused("2.csv has no column 'a'")),
        ({"1.csv": PLAIN, "2.csv": ""}, Refused("2.csv is empty")),
        ({"1.csv": PLAIN, "2.csv": "a,x,y\n"}, Right(values=NUMBERS)),
        ({"1.csv": PLAIN, "2.csv": POINTER}, Refused("2.csv", "git lfs pull")),
        ({"d.csv": PLAIN, "d (1).csv": PLAIN}, Right(said=("byte for byte",))),
        (
            {"1.csv": csv(lambda i: f"{i},5", sign=";"), "2.csv": csv(lambda i: f"{i}.5", sign=";")},
            Refused("not written plainly in some rows"),
        ),
        (
            {"1.csv": csv(lambda i: f"{i % 28 + 1:02}/03/2020"), "2.csv": csv(lambda i: f"03/{i % 28 + 1:02}/2020")},
            Refused(*DATES),
        ),
    ],
    ids=["delimiters", "case", "nothing", "a header alone", "a pointer", "a copy", "decimal signs", "order of dates"],
)
def test_files_that_were_written_differently_are_read_right_or_said_or_refused(
    files: dict[str, str], outcome: Outcome, tmp_path: Path
) -> None:
    for name, text in files.items():
        write_file(tmp_path / "many", text, name)
    check(tmp_path / "many", outcome, target="y")


def test_a_vector_and_a_column_that_is_named_like_one_of_its_numbers_stay_apart(tmp_path: Path) -> None:
    vector = pa.array([[float(one), 1.5] for one in NUMBERS], pa.list_(pa.float64(), 2))
    parquet.write_table(pa.table({"v": vector, "v[0]": NOISE, "y": CLASSES}), tmp_path / "data.parquet")
    got = outcome_of(tmp_path / "data.parquet", target="y")
    assert not isinstance(got, str), got
    spec = Data.model_validate({"source": {"uri": str(tmp_path / "data.parquet")}, "target": "y", "scale": "none"})
    store = Store.open(str(tmp_path / "run"))
    info = prepare(spec, seed=0, store=store)
    x = np.concatenate([read_split(store, info, part)[0].numpy() for part in ("train", "validation", "test")])
    assert sorted(x[:, 0].tolist()) == sorted(NUMBERS)
    assert sorted(x[:, 2].tolist()) == sorted(NOISE)
