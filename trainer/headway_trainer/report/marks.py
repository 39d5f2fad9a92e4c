"""What pages for people are made of: tables, and texts and numbers that cannot break them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from headway_api.wording import printable

_MARKS = re.compile(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown takes for its own; of an underscore, one at the edge of a word."""
_LINKS = re.compile(r"(?i)\b(https?|ftp|www)(:(?=//)|[.])")
"""How addresses begin that pages make links of by themselves."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of free texts; a cell of Marked text is taken as it is."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(plain(cell) for cell in line)} |\n" for line in lines)


class Marked(str):
    """Text that is Markdown already."""

    __slots__ = ()


def plain(value: str) -> str:
    """Free text on one line that can neither break a table nor bring in a link, an image, HTML or other marks, nor
    steer a terminal that shows it."""
    if isinstance(value, Marked):
        return value
    text = _MARKS.sub(r"\\\g<0>", printable(" ".join(value.split())))
    return _LINKS.sub(r"\1\\\2", text).replace("<", "&lt;")


def number(value: float | None) -> str:
    """A measured value, with four digits; a dash for none."""
    return "-" if value is None else f"{value:.4g}"


def counted(value: int | None) -> str:
    """A count, with commas between thousands; a dash for none."""
    return "-" if value is None else f"{value:,}"
