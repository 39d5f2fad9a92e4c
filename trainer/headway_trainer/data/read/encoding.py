"""Which characters bytes stand for: told from a byte order mark or from zeros between the letters. Pure."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITH_MARK = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "utf-32": "utf-32"}
_MOSTLY = 0.7
"""Letters of European languages have a zero byte each in UTF-16; digits and delimiters have one everywhere."""


def detect(head: bytes, given: str | None) -> str:
    """The codec of a file that begins with head, as Python calls it: given, or told from head; else UTF-8.

    `utf-8-sig` and `utf-16` take off a byte order mark, where there is one.
    """
    if given is not None:
        name = _WITH_MARK.get(given, given)
        has_mark = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return _utf16_without_mark(head) or "utf-16-le" if name == "utf-16" and not has_mark else name
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    return _utf16_without_mark(head) or "utf-8"


def _utf16_without_mark(head: bytes) -> str | None:
    head = head[: len(head) // 2 * 2]
    half = len(head) // 2
    if not half:
        return None
    first, second = head[::2].count(0), head[1::2].count(0)
    if second >= _MOSTLY * half and first < (1 - _MOSTLY) * half:
        return "utf-16-le"
    if first >= _MOSTLY * half and second < (1 - _MOSTLY) * half:
        return "utf-16-be"
    return None


def shown(codec: str) -> str:
    """A codec as `data.read.encoding` calls it."""
    for end in ("-sig", "-le", "-be"):
        codec = codec.removesuffix(end)
    return codec
