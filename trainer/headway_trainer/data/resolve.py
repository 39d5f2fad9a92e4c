"""The schema of a table: what `data.columns` says of each column, and a careful guess where it says nothing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.columns import Column as Given
from headway_api.columns import Kind, Role
from headway_trainer.data.column_checks import column_doubts
from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.convert import convert
from headway_trainer.data.infer import Guess, guess, storage_kind
from headway_trainer.data.read.builder import ColumnBuilder
from headway_trainer.data.read.found import has_instead
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.schema import Column, ColumnStats, Schema
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.data.statistics import describe
from headway_trainer.data.written import quoted
from headway_trainer.errors import UserError

_CALENDAR = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The first and the last microsecond of the years 1 to 9999, which dates in Python and in most other programs have."""

MOST_PROBLEMS = 5
"""Problems that one error tells of; the others are counted."""


@dataclass(frozen=True)
class Resolved:
    """A table whose columns are known."""

    schema: Schema
    table: pa.Table
    """All columns, as the types of their kinds."""
    warnings: list[str] = field(default_factory=list)
    """What people should know of what was guessed."""
    problems: list[str] = field(default_factory=list)
    """What was not guessed, as training would depend on it: each says what to write."""

    def check(self) -> None:
        """Raise UserError if there is any problem."""
        if self.problems:
            more = len(self.problems) - MOST_PROBLEMS
            told = "; ".join(self.problems[:MOST_PROBLEMS])
            raise UserError(told + (f"; and {more} more columns have such problems" if more > 0 else ""))


def resolve(
    table: pa.Table,
    given: Mapping[str, Given],
    targets: Sequence[str],
    *,
    uri: str,
    where: Callable[[int], str],
    facts: Mapping[str, ColumnFacts] = MappingProxyType({}),
    scratch: Scratch = MEMORY,
) -> Resolved:
    """Kind and role of each column of a table whose columns are as `TableContent` has them.

    given is `data.columns`, of which the ignored columns need not be there, as they are not read; targets are the
    columns to predict; facts are what reading told of the columns; scratch is where they lie. Raises UserError for a
    name that is no column, and for a value that is not of the kind that is given.
    """
    for name in (*targets, *(name for name, said in given.items() if said.role != "ignore")):
        refuse_unknown(name, table.column_names, "data.target" if name in targets else "data.columns", uri)
    columns: list[Column] = []
    arrays: list[pa.ChunkedArray] = []
    warnings: list[str] = []
    problems: list[str] = []
    for name in table.column_names:
        said = given.get(name)
        kind = said.kind if said else None
        role: Role | None = "target" if name in targets else said.role if said else None
        read = _Read(name, table[name], facts.get(name, ColumnFacts()), scratch)
        column, values, told = _column(read, kind, role, where)
        columns.append(column)
        arrays.append(values)
        warnings += [told.warning] if told is not None and told.warning else []
        problems += [told.problem] if told is not None and told.problem else []
        # Whoever gives a kind knows the column; of a target's names its own check tells.
        if kind is None and (column.role == "feature" or (column.role == "target" and column.kind == "number")):
            warnings += column_doubts(name, values, column.stats, column.kind)
    rows, there = ColumnStats(rows=len(table)), set(table.column_names)
    columns += [
        Column(name=name, kind=said.kind or "id", role="ignore", why="given, so it was not read", stats=rows)
        for name, said in given.items()
        if name not in there
    ]
    return Resolved(Schema(columns=columns), pa.table(arrays, names=table.column_names), warnings, problems)


def refuse_unknown(name: str, names: Sequence[str], field_name: str, uri: str) -> None:
    """Raise UserError, with the nearest name, if name is none of names."""
    if name in names:
        return
    raise UserError(f"{field_name}: {uri} has no column {name!r}, {has_instead(names, name)}")


@dataclass(frozen=True)
class _Read:
    """A column as it was read."""

    name: str
    values: pa.ChunkedArray
    facts: ColumnFacts
    scratch: Scratch = MEMORY

    def converted(self, kind: Kind, where: Callable[[int], str]) -> pa.ChunkedArray:
        """The values as a kind."""
        made = convert(self.values, kind, self.name, where)
        if made is self.values or not self.scratch.on_disk:
            return made
        builder = ColumnBuilder(made.type, len(made), self.scratch)
        for chunk in made.chunks:
            builder.add(chunk)
        return builder.finish()


def _column(
    read: _Read, kind: Kind | None, role: Role | None, where: Callable[[int], str]
) -> tuple[Column, pa.ChunkedArray, Guess | None]:
    """One column; the guess where there had to be one that people may have to know of."""
    values = read.values
    if role == "ignore":
        return _record(read, values, kind or storage_kind(values.type), "ignore"), values, None
    _refuse_no_calendar(read.name, values, where)
    if kind is not None:
        values = read.converted(kind, where)
        _refuse_no_calendar(read.name, values, where)
        return _record(read, values, kind, role or ("ignore" if kind == "id" else "feature")), values, None
    if role is not None and role != "feature":
        # What divides or weighs rows, or is predicted, is no feature, so nothing about it is guessed here.
        why = "named as the target" if role == "target" else "given"
        return _record(read, values, storage_kind(values.type), role, why=why), values, None
    stats = describe(values)
    told = guess(read.name, values, stats, read.facts, where)
    if role == "feature" and told.kind == "id":
        # Somebody wants to learn from it, so it is what it is stored as.
        told = Guess("text" if pa.types.is_string(values.type) else "number", "feature", told.why)
    if told.kind in ("category", "text") and not pa.types.is_null(values.type):
        values = read.converted(told.kind, where)
        stats = stats if values is read.values else describe(values)
    why = told.why if role is None else f"role given; {told.why}"
    column = _record(read, values, told.kind, told.role, why=why, stats=stats)
    return column, values, told if role is None or told.problem else None


def _refuse_no_calendar(name: str, values: pa.ChunkedArray, where: Callable[[int], str]) -> None:
    """Raise UserError, naming the row, for a time before the year 1 or after 9999: a mark of no time, or a mistake."""
    if not pa.types.is_timestamp(values.type):
        return
    micros = values.cast(pa.int64())
    outside = pc.or_(pc.less(micros, _CALENDAR[0]), pc.greater(micros, _CALENDAR[1]))
    row = pc.index(outside, value=True).as_py()
    if row >= 0:
        # Arrow's own years have 16 bits.
        year = np.datetime64(micros[row].as_py(), "us").astype("datetime64[Y]")
        raise UserError(
            f"column {quoted(name)} holds a time of the year {year} in {where(row)}, and years are 1 to 9999: correct "
            f"it, leave it empty, or leave the column out with data.columns: {{{key(name)}: {{role: ignore}}}}"
        )


def _record(
    read: _Read,
    values: pa.ChunkedArray,
    kind: Kind,
    role: Role,
    *,
    why: str = "given",
    stats: ColumnStats | None = None,
) -> Column:
    """A column of which enough is said; values are as its kind has them, and stats what they are like, if known."""
    stats = stats or describe(values)
    return Column(
        name=read.name,
        kind=kind,
        role=role,
        dtype=str(read.values.type),
        nullable=stats.missing > 0,
        why=f"{why}, read as {read.facts.written}" if read.facts.written else why,
        stats=stats,
    )
