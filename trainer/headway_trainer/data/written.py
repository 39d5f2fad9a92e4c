"""Text that seems to be numbers or dates but is not written as such: what to write, rather than a guess. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.statistics import shortened

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_CODE = r"^0\d"
"""A leading zero is no part of a number."""
_FORMATTED = (
    r"^\(?[-+\x{2212}\x{2013}]?\s?[$\x{20ac}\x{a3}\x{a5}\x{20b9}]?\s?[-+]?\d[\d.,'\x{2019}_\s\x{a0}\x{202f}]*\s?"
    r"[%$\x{20ac}\x{a3}\x{a5}\x{20b9}]?\)?$"
)
"""Numbers as people write them: thousands separators, decimal commas, currencies, per cent, typographic minus."""
_ADDRESS = r"^\d+(\.\d+){2,}$"
"""Versions and network addresses: dots between digits, but no numbers."""
_DATE = r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?$"
_NEARLY_ALL = 0.9
_MOSTLY = 0.5
_FEW = 5
"""So few different values may well be names."""
_MARKS = 3
"""So few different texts among numbers are marks of empty values rather than values."""
_MANY = 50


def problem_of(name: str, values: pa.ChunkedArray, where: Callable[[int], str]) -> str | None:
    """The sentence that says what to write, if a column of text, (rows,), seems to be one of numbers or dates.

    where tells of a row's number (from 0) where it stands.
    """
    distinct = pc.unique(values).drop_null()
    if len(distinct) <= _FEW:
        return None
    return (
        _numbers(name, values, distinct, where) or _dates(name, values, distinct, where) or _formatted(name, distinct)
    )


def quoted(name: str) -> str:
    """A column's name in a sentence."""
    return repr(name) if name else "without a name"


def _numbers(name: str, values: pa.ChunkedArray, distinct: pa.Array, where: Callable[[int], str]) -> str | None:
    number = pc.match_substring_regex(distinct, _NUMBER)
    numbers = distinct.filter(number)
    others = len(distinct) - len(numbers)
    if not others and len(numbers) > _MANY and not pc.any(pc.match_substring_regex(numbers, _CODE)).as_py():
        return (
            f"column {quoted(name)} holds text that is all numbers, for example {shortened(distinct[0].as_py())!r}: "
            f"write data.columns: {{{key(name)}: {{kind: number}}}} or, if they are names, {{kind: category}}"
        )
    share = _share(values, _NUMBER)
    few = others <= _MARKS
    if others and len(numbers) > _FEW and share >= (_MOSTLY if few else _NEARLY_ALL):
        return _mixed(name, "numbers", distinct.filter(pc.invert(number)), values, where)
    return None


def _dates(name: str, values: pa.ChunkedArray, distinct: pa.Array, where: Callable[[int], str]) -> str | None:
    fits = pc.match_substring_regex(distinct, _DATE)
    dates = distinct.filter(fits)
    others = len(distinct) - len(dates)
    if len(dates) <= _FEW or _share(values, _DATE) < _MOSTLY or others > _MARKS:
        return None
    if _share(dates, _ADDRESS) >= _MOSTLY and _share(dates, r"(^|\.)\d{4}(\.|$)") < _MOSTLY:
        return None
    if others:
        return _mixed(name, "dates", distinct.filter(pc.invert(fits)), values, where)
    return (
        f"column {quoted(name)} seems to hold dates that are not written as 2026-01-31, for example "
        f'{dates[0].as_py()!r}: say how they are written with data.read.dateFormat, for example "%d/%m/%Y"; or write '
        f"data.columns: {{{key(name)}: {{kind: category}}}}"
    )


def _formatted(name: str, distinct: pa.Array) -> str | None:
    if _share(distinct, _FORMATTED) < _NEARLY_ALL or _share(distinct, _NUMBER) > 1 - _NEARLY_ALL:
        return None
    if _share(distinct, _ADDRESS) >= _MOSTLY:
        return None
    example = shortened(max(distinct[:_MANY].to_pylist(), key=len))
    return (
        f"column {quoted(name)} seems to hold numbers that are not written plainly, for example {example!r}: "
        f"{_ways(example)}; or, if they are names, write data.columns: {{{key(name)}: {{kind: category}}}}"
    )


def _ways(example: str) -> str:
    """How the numbers could be read."""
    comma, dot = example.rfind(","), example.rfind(".")
    if re.search(r"[^\d.,+-]", example):
        return "write them as 1234.5 in the data"
    if comma >= 0 and dot >= 0:
        thousands, decimal = (",", ".") if dot > comma else (".", ",")
        return f'write data.read: {{thousands: "{thousands}", decimal: "{decimal}"}}'
    return 'write data.read: {decimal: ","} or, if the comma parts thousands, {thousands: ","}'


def _mixed(name: str, what: str, others: pa.Array, values: pa.ChunkedArray, where: Callable[[int], str]) -> str:
    """Some texts among numbers or dates."""
    texts = sorted(others.to_pylist())[:_MARKS]
    odd = [shortened(value) for value in texts]
    first = where(pc.index(values, texts[0]).as_py())
    more = f" and {len(others) - len(odd)} others" if len(others) > len(odd) else ""
    shown = ", ".join([f"{odd[0]!r} in {first}", *map(repr, odd[1:])])
    nulls = ", ".join(f'"{value}"' for value in odd)
    return (
        f"column {quoted(name)} holds {what}, but {shown}{more} as well: correct them; or, if they mean an empty "
        f"value, write data.read: {{nullValues: [{nulls}]}}; or, if the {what} are names, write data.columns: "
        f"{{{key(name)}: {{kind: category}}}}"
    )


def _share(values: pa.Array | pa.ChunkedArray, pattern: str) -> float:
    return float(pc.mean(pc.match_substring_regex(values, pattern).cast(pa.float64())).as_py() or 0.0)
