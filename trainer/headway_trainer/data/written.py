"""Text that seems to be numbers or dates but is not written as such: what to write, rather than a guess. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.statistics import shortened

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_CODE = r"^0\d"
"""A leading zero is no part of a number."""
_FORMATTED = (
    r"^\(?[-+\x{2212}\x{2013}]?\s?[$\x{20ac}\x{a3}\x{a5}\x{20b9}]?\s?[-+]?\d[\d.,'\x{2019}_\s\x{a0}\x{202f}]*\s?"
    r"[%$\x{20ac}\x{a3}\x{a5}\x{20b9}]?[-\x{2212}]?\)?$|^[+-]?(\d+\.?\d*|\.\d+)[dD][+-]?\d+$"
)
"""Numbers as people write them: thousands separators, decimal commas, currencies, per cent, typographic minus; and
powers of ten as Fortran writes them."""
_FRACTION = r"^[+-]?(\d+ )?\d+/\d+$"
"""Fractions, and pairs such as a blood pressure of 120/80. Few different ones may well be names."""
_MONEY = r"(R\$|A\$|CA?\$|US\$|HK\$|NZ\$|S\$|Rs\.?|kr\.?|Fr\.?|z\x{142}|K\x{10d}|Ft|\pSc)"
_UNIT = (
    r"(kg|g|mg|[\x{b5}\x{3bc}]g|lbs?|oz|t|km|m|cm|mm|mi|ft|in|yd|km/h|mph|m/s|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|"
    r"hours?|d|days?|wks?|weeks?|months?|yrs?|years?|%|\x{2030}|\x{b0}|\x{b0}[CF]|[kKMG]|bn|[kKMGT]i?B|k?W|kWh|m?V|m?A|"
    r"[kMG]?Hz|ml|l|L|px|[kMG]?bps|m[gL]/dL|mmHg|cc|hp|bhp|rpm|kmpl|sq\.?\s?ft|m2|m\x{b2}|km2|km\x{b2})"
)
_MEASURED = (
    rf"^[-+]?\s?({_MONEY}\s?[-+]?\d[\d.,]*|\d[\d.,]*\s?{_MONEY}|(\d[\d.,]*\s?{_UNIT}[\s,:]*)+"
    r"|P(\d+[YMWD])*(T(\d+(\.\d+)?[HMS])+)?|\d+ days?,? \d{1,2}:\d{2}(:\d{2}(\.\d+)?)?|\d{1,4}:\d{2}(:\d{2}(\.\d+)?)?)$"
)
"""Amounts with a unit, in money of other signs, and spans of time as `2h 30min`, `PT2H30M`, `36:05:00`."""
_ADDRESS = r"^\d+(\.\d+){2,}$"
"""Versions and network addresses: dots between digits, but no numbers."""
_DATE = r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?$"
_WORDED_DATE = (
    r"^(\p{L}{2,10}\.?,? )?"
    r"(\d{1,2}(\.|st|nd|rd|th)? (de )?\p{L}{3,10}\.?,? (de )?|\p{L}{3,10}\.? \d{1,2}(st|nd|rd|th)?,? )"
    r"(1[5-9]|20)\d\d( .*\d:\d\d.*)?$|^\d{4}-?W\d{2}(-?[1-7])?$"
    r"|^(1[5-9]|20)\d{6}T\d{4}(\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$"
)
"""Dates with names of months in any language; weeks, and dates without signs between, as ISO 8601 has them."""
_ISO_DATE = r"^\d{4}-\d{2}-\d{2}"
_NEARLY_ALL = 0.9
_MOSTLY = 0.5
_FEW = 5
"""So few different values may well be names."""
_MARKS = 3
"""So few different texts among numbers are marks of empty values rather than values."""
_MANY = 50
_AMOUNTS = 12
"""So many different amounts, such as `6 months`, may well be categories."""


def problem_of(name: str, values: pa.ChunkedArray, where: Callable[[int], str]) -> str | None:
    """The sentence that says what to write, if a column of text, (rows,), seems to be one of numbers or dates.

    where tells of a row's number (from 0) where it stands.
    """
    distinct = pc.unique(values).drop_null()
    if len(distinct) <= _FEW:
        return None
    return (
        _numbers(name, values, distinct, where)
        or _dates(name, values, distinct, where)
        or _worded_dates(name, distinct)
        or _formatted(name, distinct)
        or _measured(name, distinct)
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
    shaped = pc.match_substring_regex(distinct, _DATE)
    dates = distinct.filter(shaped)
    others = distinct.filter(pc.invert(shaped))
    if len(dates) <= _FEW or _share(values, _DATE) < _MOSTLY or len(others) > _MARKS:
        return None
    if _share(dates, _ADDRESS) >= _MOSTLY and _share(dates, r"(^|\.)\d{4}(\.|$)") < _MOSTLY:
        return None
    if odd := [*others.to_pylist(), *filter(_not_in_calendar, dates.to_pylist())]:
        return _mixed(name, "dates", pa.array(odd), values, where)
    way = (
        'say how they are written with data.read.dateFormat, for example "%d/%m/%Y"; or write data.columns: '
        f"{{{key(name)}: {{kind: category}}}}"
    )
    iso = pc.match_substring_regex(dates, _ISO_DATE)
    first, last = pc.index(iso, value=True).as_py(), pc.index(iso, value=False).as_py()
    if first >= 0 and last >= 0:
        return (
            f"column {quoted(name)} holds dates that are written in several ways, for example "
            f"{dates[first].as_py()!r} and {dates[last].as_py()!r}: write all of them alike, and {way}"
        )
    return (
        f"column {quoted(name)} seems to hold dates that are not written as 2026-01-31, for example "
        f"{dates[0].as_py()!r}: {way}"
    )


def _worded_dates(name: str, distinct: pa.Array) -> str | None:
    if _share(distinct, _WORDED_DATE) < _NEARLY_ALL:
        return None
    return (
        f"column {quoted(name)} seems to hold dates that are not written as 2026-01-31, for example "
        f"{distinct[0].as_py()!r}: write them so in the data; or say how they are written, if all are alike, with "
        f'data.read.dateFormat, for example "%d %B %Y"; or write data.columns: {{{key(name)}: {{kind: category}}}}'
    )


def _not_in_calendar(text: str) -> bool:
    """Whether a text is a day as ISO 8601 writes it, but none that there is: `0000-00-00`."""
    if re.match(_ISO_DATE, text) is None:
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return True
    return False


def _formatted(name: str, distinct: pa.Array) -> str | None:
    pattern = _FORMATTED if len(distinct) <= _AMOUNTS else rf"{_FORMATTED}|{_FRACTION}"
    if _share(distinct, pattern) < _NEARLY_ALL or _share(distinct, _NUMBER) > _NEARLY_ALL:
        return None
    if _share(distinct, _ADDRESS) >= _MOSTLY:
        return None
    odd = distinct.filter(pc.invert(pc.match_substring_regex(distinct, _NUMBER)))
    example = shortened(max(odd[:_MANY].to_pylist(), key=len))
    some = " in all rows" if len(odd) == len(distinct) else " in some rows, and are in others"
    return (
        f"column {quoted(name)} seems to hold numbers that are not written plainly{some}, for example {example!r}: "
        f"{_ways(example)}; or, if they are names, write data.columns: {{{key(name)}: {{kind: category}}}}"
    )


def _measured(name: str, distinct: pa.Array) -> str | None:
    if len(distinct) <= _AMOUNTS or _share(distinct, _MEASURED) < _NEARLY_ALL:
        return None
    example = shortened(max(distinct[:_MANY].to_pylist(), key=len))
    return (
        f"column {quoted(name)} seems to hold amounts with a unit, for example {example!r}: write them as plain "
        f"numbers of one unit in the data; or, if they are names, write data.columns: "
        f"{{{key(name)}: {{kind: category}}}}"
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
