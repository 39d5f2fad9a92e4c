"""Rows of a table that are none: a header that stands there again, and the totals below the others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.errors import UserError

_FEWEST_ROWS = 5
"""Of a file with fewer rows, the last one is not looked at."""
_MOST_NAMED = 3
_MOST_LOOKED_AT = 1000
_BYTE_ORDER_MARK = "\ufeff"
_TOTAL = (
    r"(?i)^(grand\s+|sub-?\s?)?(totals?|sum|average|avg|mean|gesamt(summe)?|summe|insgesamt|mittelwert|durchschnitt|somme|"
    r"moyenne|totale|somma|suma|promedio|\x{5408}\x{8ba1}|\x{5408}\x{8a08})\b[\s:]*$"
)


def refuse_header_again(table: pa.Table, where: Callable[[int], str]) -> None:
    """Raise UserError for a row that holds the columns' names, as files that were put one after another have."""
    text = [field.name for field in table.schema if pa.types.is_string(field.type)]
    if not text or len(table.column_names) < 2:  # noqa: PLR2004 - a single value says nothing
        return
    first = text[0]
    likely = pc.is_in(table[first], pa.array([first, _BYTE_ORDER_MARK + first], pa.string()))
    rows = pc.indices_nonzero(likely)[:_MOST_LOOKED_AT].to_pylist()
    for row in rows:
        values = table.slice(row, 1).to_pylist()[0]
        if all(str(value).removeprefix(_BYTE_ORDER_MARK) == name for name, value in values.items()):
            raise UserError(
                f"{where(row)} holds the names of the columns again: take such rows out, or set data.read.header to "
                "false if the first line is one of them"
            )


def totals(table: pa.Table, counts: Sequence[int], where: Callable[[int], str]) -> list[str]:
    """A sentence for the last row of a file that seems to sum up the others. counts are the rows of each file."""
    ends: list[int] = []
    at = 0
    for count in counts:
        at += count
        ends += [at - 1] if count >= _FEWEST_ROWS else []
    told = []
    names = [field.name for field in table.schema if pa.types.is_string(field.type)] if ends else []
    for name in names:
        last = pc.utf8_trim_whitespace(table[name].take(pa.array(ends)))
        fits = pc.match_substring_regex(last, _TOTAL).to_pylist()
        for row, value in ((row, value) for row, value, fit in zip(ends, last.to_pylist(), fits, strict=True) if fit):
            # A name that stands in other rows as well is one of the column's own.
            if pc.sum(pc.equal(table[name], value)).as_py() <= len(counts):
                told.append(
                    f"The last row of a file, {where(row)}, has {value!r} in column {name!r}, as a row of totals has: "
                    "take it out if it sums up the others."
                )
    more = len(told) - _MOST_NAMED
    return [*told[:_MOST_NAMED], *([f"{more} more last rows look like totals."] if more > 0 else [])]
