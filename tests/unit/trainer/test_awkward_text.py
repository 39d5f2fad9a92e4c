"""Awkward csv files, by how they are written and by their targets: read right, or what is odd is said, or refused.

What is right was written down for each file before it was tried; none may be wrong in silence.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from awkward_files import ROWS, File, Refused, Right, check, csv, cycled, write_file

NUMBERS = [index * 7 % 20 for index in range(ROWS)]
PLAIN = csv([str(number) for number in NUMBERS])
HEADER, _, BODY = PLAIN.partition("\n")

HOW_THE_FILE_IS_WRITTEN = [
    File("a plain one", PLAIN, Right(values=NUMBERS, kind="number", rows=ROWS, quiet=True)),
    File(
        "a byte order mark, semicolons, CRLF",
        "\ufeff" + csv(["5", "7", "9"], "\r\n", ";"),
        Right(values=cycled([5, 7, 9])),
    ),
    File(
        "windows-1252, not said", csv(["Köln", "Jena", "Ulm"]).encode("cp1252"), Refused("line 2", "data.read.encoding")
    ),
    File(
        "windows-1252, said",
        csv(["Köln", "Jena", "Ulm"]).encode("cp1252"),
        Right(values=cycled(["Köln", "Jena", "Ulm"]), kind="category"),
        fields={"read": {"encoding": "windows-1252"}},
    ),
    File(
        "UTF-16 in gzip",
        gzip.compress(csv(["é", "ü"]).encode("utf-16")),
        Right(values=cycled(["é", "ü"])),
        "data.csv.gz",
    ),
    File(
        "quoted line breaks and delimiters",
        csv(["one,\ntwo", "three"]),
        Right(values=cycled(["one,\ntwo", "three"]), rows=ROWS),
    ),
    File("a header with a line break", PLAIN.replace("a,", '"a\nb",', 1), Right(column="a\nb", values=NUMBERS)),
    File(
        "LF, CRLF and CR in one file",
        HEADER + "\r\n" + BODY.replace("\n", "\r\n", 9).replace("\n", "\r", 3),
        Right(values=NUMBERS),
    ),
    File("CR CR LF, as a text mode made of CRLF", PLAIN.replace("\n", "\r\r\n"), Right(values=NUMBERS, rows=ROWS)),
    File("blank lines between", PLAIN.replace("\n", "\n\n"), Right(values=NUMBERS, rows=ROWS)),
    File("no end of the last line", PLAIN.rstrip("\n"), Right(values=NUMBERS, rows=ROWS)),
    File("a value too many in a row", PLAIN.replace("\n7,", "\n7,8,", 1), Refused("Expected 3 columns, got 4")),
    File("a value too few in a row", PLAIN.replace("\n7,", "\n", 1), Refused("Expected 3 columns, got 2")),
    File(
        "a delimiter at the end of all rows but the header", HEADER + "\n" + BODY.replace("\n", ",\n"), Refused("got 4")
    ),
    File("names that are equal but for blanks", PLAIN.replace("a,x", "a, a", 1), Refused("two columns 'a'")),
    File("no header", BODY.replace("q", "1").replace("p", "0"), Refused("no header", "data.read.header")),
    File(
        "the header again in the middle",
        csv(["u", "v"]).replace("p\n", "p\na,x,y\n", 1),
        Refused("row 2", "the names of the columns again"),
    ),
    File(
        "the header again far below",
        "a,y\n" + "red,p\nblue,q\n" * 90 + "a,y\n" + "red,p\nblue,q\n" * 9,
        Refused("row 181", "the names of the columns again"),
    ),
    File(
        "two files put one after the other, each with its byte order mark",
        ("\ufeffa,y\n" + "red,p\nblue,q\n" * 9) * 2,
        Refused("row 19", "the names of the columns again"),
    ),
    File("comments in the middle", PLAIN.replace("\n7,", "\n# checked\n7,", 1), Refused("Expected 3 columns, got 1")),
    File(
        "comments in the middle, said",
        PLAIN.replace("\n7,", "\n# checked\n7,", 1),
        Right(values=NUMBERS),
        fields={"read": {"comment": "#"}},
    ),
    File("a row of totals", csv(["red", "blue"]) + "Total,300,p\n", Right(said=("row 41", "'Total'", "take it out"))),
    File(
        "totals among names of their own", csv(["Total", "Part"]), Right(values=cycled(["Total", "Part"]), quiet=True)
    ),
    File("a footer that counts the rows", PLAIN + "(40 rows)\n", Refused("Expected 3 columns, got 1")),
    File("NUL bytes at the end, as after a crash", PLAIN + "\0" * 200, Refused("Expected 3 columns, got 1")),
    File("NUL bytes in a text", csv(["a\0b", "c"]), Right(values=cycled(["a\0b", "c"]))),
    File("a header alone", "a,x,y\n", Refused("no rows")),
    File("a single row", "a,x,y\n1,2,p\n", Refused("one value 'p'")),
    File("nothing but blanks", "  \n \t\n", Refused("is empty")),
    File(
        "a cell of 300 kB", csv(["x" * 300_000 if not index else "y" for index in range(ROWS)]), Right(kind="category")
    ),
    File("gzip under the name of csv", gzip.compress(PLAIN.encode()), Refused("gzip", ".gz")),
    File("bzip2 under the name of csv", bz2.compress(PLAIN.encode()), Refused("bzip2", "unpack it")),
    File("xz under the name of csv", lzma.compress(PLAIN.encode()), Refused("xz", "unpack it")),
    File(
        "a sheet of Excel under the name of csv", b"PK\x03\x04" + b"\0" * 99, Refused("Excel", "save the sheet as csv")
    ),
    File("an old sheet of Excel under the name of csv", b"\xd0\xcf\x11\xe0" + b"\0" * 99, Refused("Office", "csv")),
    File("zstd by its name", PLAIN, Refused("format", "cannot be told"), "data.csv.zst"),
    File("zip by its name", PLAIN, Refused("format", "cannot be told"), "data.zip"),
]


TARGETS = [
    File("one class", csv(["1", "2"]).replace(",q", ",p"), Refused("one value 'p' in all 40 rows")),
    File(
        "a quantity that never varies",
        csv(["1", "2"]).replace(",q", ",3.5").replace(",p", ",3.5"),
        Refused("one value 3.5"),
        fields={"task": "regression"},
    ),
    File(
        "every row twice",
        PLAIN + BODY,
        Right(said=("stand in the training part as well",), noted=("copies of another one",)),
    ),
    File(
        "classes that differ in blanks",
        csv(["1", "2"]).replace(",q", ",p\u00a0p").replace(",p\n", ",p p\n"),
        Right(said=("blanks",)),
    ),
]


@pytest.mark.parametrize("file", [*HOW_THE_FILE_IS_WRITTEN, *TARGETS], ids=lambda file: file.title.replace(" ", "-"))
def test_an_awkward_csv_file_is_read_right_or_said_or_refused(file: File, tmp_path: Path) -> None:
    check(write_file(tmp_path, file.data, file.name), file.outcome, **{"target": "y", **file.fields})
