"""`spec.data.read`: how the text of csv and jsonl files is read, where that is not to be told from the files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from headway_api.base import Rule, Section, all_different, formed

Encoding = Literal[
    "utf-8",
    "utf-16",
    "utf-32",
    "latin-1",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-9",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "koi8-r",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "gb18030",
    "big5",
]
"""Names of Python's codecs."""

Sign = Annotated[
    str,
    formed(
        r"^[\t !-/:-@\[-`{-~]$",
        'must be one ASCII character that is no letter and no digit; a tab is "\\t" in double quotes',
        max_length=1,
    ),
]
NullValue = Annotated[
    str, formed(r"^[^\x00-\x1f\x7f]*$", "must be one line of text without control characters", max_length=256)
]
DateFormat = Annotated[
    str,
    formed(
        r"^([^%]|%[YymdHMSfzbBjpIaA%])*%[YymdHMSfzbBjpIaA]([^%]|%[YymdHMSfzbBjpIaA%])*$",
        "must be a format of strptime with directives such as %Y, %m, %d, %H, %M, %S: 31.12.2024 is %d.%m.%Y",
        max_length=64,
    ),
]

CSV_ONLY = ("delimiter", "quote", "header", "comment")
"""The fields that only csv has a use for."""


def _differ(*names: str) -> Rule:
    first, second = names
    return Rule(
        cel=f"!has(self.{first}) || !has(self.{second}) || self.{first} != self.{second}",
        message=f"{first} and {second} must differ: one character cannot mean both",
        holds=lambda read: getattr(read, first) is None or getattr(read, first) != getattr(read, second),
        field=second,
    )


class Read(Section):
    """How text is read. What is absent is told from the files, and the data profile says what it was taken to be."""

    rules = (
        _differ("decimal", "thousands"),
        _differ("delimiter", "quote"),
        _differ("delimiter", "comment"),
        _differ("quote", "comment"),
    )

    delimiter: Sign | None = None
    """What separates two values of a csv line."""
    encoding: Encoding | None = None
    """How characters are written."""
    decimal: Literal[".", ","] | None = None
    """What separates the decimals of a number."""
    thousands: Literal[",", ".", "'", " ", "_"] | None = None
    """What groups the digits of a number."""
    null_values: (
        Annotated[
            list[NullValue],
            Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
            AfterValidator(all_different),
        ]
        | None
    ) = None
    """What is written where a value is missing, beside nothing at all."""
    quote: Sign | None = None
    """What a csv value that holds the delimiter or a line break is put in."""
    header: bool | None = None
    """Whether the first csv line names the columns."""
    comment: Sign | None = None
    """What a csv line begins with that is no row."""
    date_format: DateFormat | None = None
    """How dates and times are written, as for Python's `strptime`."""
