"""Awkward csv files, by the values in them: read right, or a warning that names what is odd, or one sentence.

What is right was written down for each file before it was tried; none may be wrong in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from awkward_files import ROWS, File, Refused, Right, check, csv, cycled, day, write_file


def dates(*forms: str) -> Callable[[int], str]:
    return lambda index: forms[index % len(forms)].format(d=index % 28 + 1, m=index % 12 + 1, y=2020 + index % 4)


NUMBERS_AND_TIMES = [
    File(
        "decimal commas",
        csv(lambda i: f"{i},5", sign=";"),
        Right(values=[i + 0.5 for i in range(ROWS)], said=("decimal comma",)),
    ),
    File(
        "decimal commas and points",
        csv(lambda i: f"{i}{',.'[i % 2]}5", sign=";"),
        Refused("not written plainly", "in some rows"),
    ),
    File(
        "thousands beside numbers below a thousand",
        csv(lambda i: f"{i * 97:,}"),
        Refused("not written plainly", "thousands"),
    ),
    File("Indian groups", csv(lambda i: f"1,{i + 10},000.5"), Refused("not written plainly")),
    File(
        "a late word among numbers",
        csv(lambda i: "n. d." if i == 39 else str(i)),
        Refused("'n. d.' in row 40", "nullValues"),
    ),
    File(
        "many late words among numbers", csv(lambda i: f"see {i}" if i > 36 else str(i)), Refused("'see 37' in row 38")
    ),
    File("negative zeros and nothing else", csv(["-0.0", "0.0", "-0"]), Right(role="ignore")),
    File(
        "whole numbers beyond 2^53",
        csv(lambda i: str(2**53 + i % 7)),
        Right(values=[2**53 + i % 7 for i in range(ROWS)], said=("beyond 2^53",)),
    ),
    File(
        "whole numbers of 20 digits",
        csv(lambda i: str(10**19 + i % 7)),
        Right(values=[str(10**19 + i % 7) for i in range(ROWS)], said=("stayed text",)),
    ),
    File("1e400", csv(lambda i: "1e400" if i == 2 else str(i)), Refused("'a' is inf in row 3")),
    File("Infinity", csv(lambda i: "Infinity" if i == 2 else f"{i}.5"), Refused("'a' is inf in row 3")),
    File("1e400 in the target", csv(["1"]).replace(",p", ",1e400").replace(",q", ",2.5"), Refused("inf")),
    File("hexadecimal", csv(["0x1F", "0x2A", "0x10"]), Right(values=cycled(["0x1F", "0x2A", "0x10"]), kind="category")),
    File(
        "powers of ten",
        csv(["1E3", "2.5e-2", "7"]),
        Right(values=cycled([1000.0, 0.025, 7.0]), kind="number", quiet=True),
    ),
    File(
        "true and false in many cases",
        csv(["TRUE", "false", " True "]),
        Right(values=cycled([True, False, True]), kind="boolean", quiet=True),
    ),
    File("yes and no in many cases", csv(["Yes", "yes", "NO"]), Right(kind="category", said=("'Yes', 'yes'", "case"))),
    File(
        "names that differ in signs not to be seen",
        csv(["red", "red\u200b", "blue"]),
        Right(said=("taken for different ones",)),
    ),
    File(
        "names whose accents are written in two ways",
        csv(["Zu\u0308rich", "Z\u00fcrich", "Bern"]),
        Right(said=("accents",)),
    ),
    File(
        "codes with leading zeros, some without",
        csv(["007", "012", "123"]),
        Right(values=cycled(["007", "012", "123"]), kind="category", said=("begin with a zero",)),
    ),
    File(
        "a formula of Excel that keeps zeros",
        csv(['="007"', '="012"']),
        Right(values=cycled(['="007"', '="012"']), kind="category"),
    ),
    File(
        "full-width digits",
        csv(["\uff11\uff12", "\uff11\uff13"]),
        Right(values=cycled(["\uff11\uff12", "\uff11\uff13"]), kind="category"),
    ),
    File(
        "per cent in all rows",
        csv(lambda i: f"{i // 3}%"),
        Right(values=[i // 3 for i in range(ROWS)], said=("12% is read as 12",)),
    ),
    File(
        "per cent in some rows",
        csv(lambda i: f"{i}%" if i % 2 else f"{i / 100}"),
        Refused("not written plainly", "in some rows"),
    ),
    File("two currencies", csv(lambda i: f"${i}" if i % 2 else f"{i} €"), Refused("not written plainly")),
    File("a currency that is not known", csv(lambda i: f"R$ {i}.50"), Refused("amounts with a unit", "R$")),
    File(
        "minus at the end, as SAP writes it",
        csv(lambda i: f"{i}.50-" if i % 2 else f"{i}.50"),
        Refused("not written plainly", "-'"),
    ),
    File(
        "minus in brackets",
        csv(lambda i: f"({i}.5)" if i % 2 else f"{i}.5"),
        Right(values=[-(i + 0.5) if i % 2 else i + 0.5 for i in range(ROWS)], said=("brackets",)),
    ),
    File("a unit", csv(lambda i: f"{i}.5 kg"), Refused("amounts with a unit", "kg'")),
    File("units of several sizes", csv(lambda i: f"{i}.5{'kMG'[i % 3]}"), Refused("amounts with a unit")),
    File(
        "few amounts that are names",
        csv(["36 months", "60 months"]),
        Right(values=cycled(["36 months", "60 months"]), kind="category", quiet=True),
    ),
    File("spans of time in words", csv(lambda i: f"{i}h {i + 5}min"), Refused("amounts with a unit")),
    File(
        "spans of time of more than a day", csv(lambda i: f"{i + 20}:05:00"), Refused("amounts with a unit", ":05:00")
    ),
    File("spans of time as ISO 8601 has them", csv(lambda i: f"PT{i}H30M"), Refused("amounts with a unit", "PT")),
    File(
        "spans of time as pandas writes them",
        csv(lambda i: f"{i} days 02:30:00"),
        Refused("amounts with a unit", "days"),
    ),
    File("an empty value of Hive", csv(lambda i: "\\N" if i % 5 == 0 else str(i)), Refused("nullValues", "\\N")),
    File(
        "three words for an empty value",
        csv(lambda i: ["None", "-", "?"][i // 5 % 3] if i % 5 == 0 else str(i)),
        Refused('nullValues: ["-", "?", "None"]'),
    ),
    File("errors of Excel", csv(lambda i: "#DIV/0!" if i % 9 == 0 else f"{i}.5"), Refused("'#DIV/0!' in row 1")),
    File(
        "blanks alone, of several kinds",
        csv(lambda i: ["  ", "\u00a0", "\t"][i // 4 % 3] if i % 4 == 0 else str(i // 3)),
        Right(missing=10, kind="number"),
    ),
    File(
        "-999 for an empty value",
        csv(lambda i: "-999" if i % 9 == 0 else f"{i}.5"),
        Right(kind="number", said=("'a' is -999 in 5 rows", "nullValues")),
    ),
    File(
        "-999 for an empty target",
        csv(["1", "2"]).replace(",p", ",-999").replace(",q", ",0.5") + "".join(f"1,2,0.{i}5\n" for i in range(9)),
        Right(role="feature", said=("'y' is -999 in 20 rows",)),
        fields={"task": "regression"},
    ),
    File(
        "99 as a number like others",
        csv(lambda i: str((60 + i) % 100 + 0.5 if i != 39 else 99)),
        Right(kind="number", quiet=True),
    ),
    File(
        "9999-12-31 for no end",
        csv(lambda i: "9999-12-31" if i % 9 == 0 else dates("{y}-{m:02}-{d:02}")(i)),
        Right(kind="time", said=("9999-12-31 in 5 rows",)),
    ),
    File(
        "0000-00-00, as MySQL has it",
        csv(lambda i: "0000-00-00" if i % 9 == 0 else dates("{y}-{m:02}-{d:02}")(i)),
        Refused("'0000-00-00' in row 1", "nullValues"),
    ),
    File(
        "a day that the calendar has not",
        csv(lambda i: "2021-02-30" if i == 5 else dates("{y}-{m:02}-{d:02}")(i)),
        Refused("'2021-02-30' in row 6"),
    ),
    File("days first and months first", csv(dates("{d:02}/{m:02}/{y}", "{m:02}/{d:02}/{y}")), Refused("dateFormat")),
    File("days that may be months", csv(lambda i: f"{i % 12 + 1:02}/{i % 11 + 1:02}/2024"), Refused("dateFormat")),
    File(
        "days of two forms",
        csv(dates("{y}-{m:02}-{d:02}", "{d:02}/{m:02}/{y}")),
        Refused("several ways", "'2020-01-01' and '02/02/2021'"),
    ),
    File("days of years of two digits", csv(dates("{d:02}/{m:02}/21")), Refused("dateFormat")),
    File(
        "days as whole numbers",
        csv(dates("{y}{m:02}{d:02}")),
        Right(kind="number", said=("all days, as 2020", "%Y%m%d")),
    ),
    File(
        "days as whole numbers, said",
        csv(dates("{y}{m:02}{d:02}")),
        Right(kind="time"),
        fields={"read": {"dateFormat": "%Y%m%d"}},
    ),
    File(
        "times in several zones",
        csv(["2024-03-04T05:00:00+02:00", "2024-03-04T05:00:00Z"]),
        Right(values=cycled([day(2024, 3, 4, 3), day(2024, 3, 4, 5)]), said=("now in UTC",)),
    ),
    File(
        "times with a zone and without",
        csv(lambda i: f"2024-03-{i % 28 + 1:02}T05:00:00{'Z' if i % 2 else ''}"),
        Refused("dates"),
    ),
    File("times of twelve hours", csv(lambda i: f"03/{i % 28 + 1:02}/2024 2:05 PM"), Refused("dateFormat")),
    File(
        "times to the nanosecond",
        csv(lambda i: f"2024-03-04 05:06:{i:02}.123456789"),
        Right(kind="time", role="feature"),
    ),
    File(
        "quarters",
        csv(["2024Q1", "2024Q2", "2024Q3"]),
        Right(values=cycled(["2024Q1", "2024Q2", "2024Q3"]), kind="category", quiet=True),
    ),
]


@pytest.mark.parametrize("file", NUMBERS_AND_TIMES, ids=lambda file: file.title.replace(" ", "-"))
def test_awkward_values_are_read_right_or_said_or_refused(file: File, tmp_path: Path) -> None:
    check(write_file(tmp_path, file.data, file.name), file.outcome, **{"target": "y", **file.fields})
