"""How a csv file is written, told from its beginning: delimiter, comments before the header, header. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headway_trainer.data.read.found import refuse_twice
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.streams import line_ends
from headway_trainer.errors import UserError

DELIMITERS = (",", ";", "\t", "|")
NAMELESS = "\0"
"""What the columns that have no name begin with, but for the first of them; they must turn out to be empty."""
_RECORDS = 50
_SAMPLE = 256 * 1024
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_LINE = re.compile(rb"[^\r\n]*(\r\n|\n|\r|\Z)")
_NAMES = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'", " ": "blanks"}
_SHOWN = 40
_BLANK = "\ufeff \t"
"""What a name may have around it; files that were put one after the other have their byte order marks within."""


@dataclass(frozen=True)
class Dialect:
    """How a csv file is written."""

    delimiter: str
    quote: str
    names: tuple[str, ...]
    """The columns' names."""
    body: int
    """Bytes of UTF-8 before the first row."""
    body_line: int
    """Lines before the first row."""
    skipped: int
    """Of these, those before the header that are passed over."""
    header: bool
    comment: str | None

    def told(self) -> str:
        """As words for people."""
        header = "" if self.header else ", no header"
        comment = f", comments after {self.comment!r}" if self.comment else ""
        return f"values between {_NAMES.get(self.delimiter, repr(self.delimiter))}{header}{comment}"


@dataclass(frozen=True)
class _Record:
    values: list[str]
    end: int
    """Bytes up to its end."""


def sniff(head: bytes, options: Options, uri: str, wanted: Sequence[str] = ()) -> Dialect:
    """The dialect of a file of UTF-8 that begins with head, which holds its header.

    wanted are columns that the job names. Raises UserError where it is uncertain and matters, and says what to write.
    """
    start, delimiter = _first_line(head, options)
    quote = options.quote or '"'
    delimiter = options.delimiter or delimiter or _delimiter(head[start:], quote, uri, wanted)
    records = list(_records(head, start, delimiter, quote, _RECORDS))
    if not records or records[0].values in ([], [""]):
        raise UserError(f"{uri} is empty: it must have a line that names the columns, and rows")
    first = [value.strip() for value in records[0].values]
    header = options.header
    if header is None:
        _check_header(first, [record.values for record in records[1:]], uri)
        header = True
    names = first if header else [f"column{index + 1}" for index in range(len(first))]
    refuse_twice(names, uri)
    body = records[0].end if header else start
    seen = False
    for index, name in enumerate(names):
        if not name and seen:
            names[index] = f"{NAMELESS}{index + 1}"
        seen = seen or not name
    return Dialect(
        delimiter, quote, tuple(names), body, line_ends(head[:body]), line_ends(head[:start]), header,
        options.comment,
    )  # fmt: skip


def _first_line(head: bytes, options: Options) -> tuple[int, str | None]:
    """Where the header begins, after blank lines and comments, and the delimiter that spreadsheets write before it."""
    at, delimiter = 0, None
    comment = (options.comment or _leading_comment(head) or "").encode()
    while at < len(head):
        line = _LINE.match(head, at)
        text = line[0].strip() if line is not None else b""
        if line is None or not line[0] or (text and not _is_passed(text, comment)):
            break
        if text[:4].lower() == b"sep=" and len(text) <= len(b"sep=") + 1:
            delimiter = text[4:].decode() or "\t"
        at = line.end()
    return at, delimiter


def _is_passed(line: bytes, comment: bytes) -> bool:
    return bool(comment and line.startswith(comment)) or re.fullmatch(rb"(?i)sep=.?", line) is not None


def _leading_comment(head: bytes) -> str | None:
    """`#`, where the file begins with lines of it that are no header: they have other delimiters than the next line."""
    if not head.startswith(b"#"):
        return None
    lines = iter(head[:_SAMPLE].splitlines())
    last = b""
    for line in lines:
        if not line.startswith(b"#"):
            same = any(last.count(sign.encode()) == line.count(sign.encode()) > 0 for sign in DELIMITERS)
            return None if same else "#"
        last = line
    return None


def _delimiter(text: bytes, quote: str, uri: str, wanted: Sequence[str]) -> str:
    """The sign that parts the same number of values in the header and in the rows after it."""
    header = _LINE.match(text)
    found = [sign for sign in DELIMITERS if header is not None and sign.encode() in header[0]]
    if len(found) < 2:  # noqa: PLR2004 - nothing to choose between
        return found[0] if found else ","
    parsed = {sign: [record.values for record in _records(text[:_SAMPLE], 0, sign, quote, _RECORDS)] for sign in found}
    even = [sign for sign, rows in parsed.items() if _is_even(rows)]
    if not even:
        return "," if "," in found else found[0]
    named = [sign for sign in even if set(wanted) & {value.strip() for value in parsed[sign][0]}] or even
    if len(named) > 1:
        signs = " and ".join(_NAMES[sign] for sign in named)
        raise UserError(f"{uri}: both {signs} may stand between its values: set data.read.delimiter to the right one")
    return named[0]


def _is_even(rows: list[list[str]]) -> bool:
    """Whether all rows have as many values as the first; the last may be cut short."""
    whole = rows[:-1] if len(rows) > 1 else rows
    return len(whole[0]) > 1 and all(len(row) == len(whole[0]) for row in whole if row != [""])


def _records(text: bytes, start: int, delimiter: str, quote: str, count: int) -> Iterator[_Record]:
    """The first rows of a csv text."""
    sign, end = re.escape(quote).encode(), re.escape(delimiter).encode()
    value = re.compile(
        rb"(?:" + sign + rb"((?:[^" + sign + rb"]++|" + sign * 2 + rb")*+)" + sign + rb"([^" + end + rb"\r\n]*)"
        rb"|([^" + end + rb"\r\n]*))(" + end + rb"|\r\n|\n|\r|\Z)"
    )
    values: list[str] = []
    at = start
    while count and (at < len(text) or values):
        if not values and (line := _LINE.match(text, at)) is not None and quote.encode() not in line[0]:
            # Of thousands of columns, a pattern for each value would take longer than reading them.
            at = line.end()
            values = line[0].rstrip(b"\r\n").decode("utf-8", "replace").split(delimiter)
            if values != [""]:
                yield _Record(values, at)
                count -= 1
            values = []
            continue
        found = value.match(text, at)
        if found is None:
            return
        quoted, rest, plain, after = found.groups()
        whole = plain if quoted is None else quoted.replace(quote.encode() * 2, quote.encode()) + rest
        values.append(whole.decode("utf-8", "replace"))
        at = found.end()
        if after != delimiter.encode():
            if values != [""]:
                yield _Record(values, at)
                count -= 1
            values = []


def _count(name: str, values: list[str]) -> int:
    return sum(value.strip(_BLANK) == name for value in values)


def _check_header(names: list[str], rows: list[list[str]], uri: str) -> None:
    """Refuse a first line that looks like a row: a number where the rows have numbers, or values that come again."""
    numbers = [bool(_NUMBER.match(name)) for name in names]
    way = "set data.read.header to false if it is a row, and to true if it names the columns"
    if all(numbers):
        raise UserError(f"{uri} seems to have no header: its first line must name the columns; {way}")
    below = [[row[index].strip() for row in rows if index < len(row)] for index in range(len(names))]
    # Years and other whole numbers do name columns.
    data = [
        name
        for name, number, values in zip(names, numbers, below, strict=True)
        if number and not name.isdigit() and any(map(_NUMBER.match, values))
    ]
    texts = [name for name, number in zip(names, numbers, strict=True) if not number and name]
    whole = [number for number, row in enumerate(rows, 1) if [cell.strip(_BLANK) for cell in row] == names]
    counts = {_count(name, values) for name, values in zip(names, below, strict=True)}
    if len(names) > 1 and whole and counts == {len(whole)}:
        raise UserError(
            f"{uri}: row {whole[0]} holds the names of the columns again: take it out, or set data.read.header to "
            "false if the first line is a row as well"
        )
    repeated = [name for name, values in zip(names, below, strict=True) if name and name in values]
    if data or (len(rows) > 1 and repeated and set(texts) <= set(repeated)):
        shown = (data or repeated)[0][:_SHOWN]
        raise UserError(f"{uri} seems to have no header: {shown!r} in its first line looks like a value; {way}")
