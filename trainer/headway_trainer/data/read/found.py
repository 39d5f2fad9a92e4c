"""What the readers of tables hand on, and what the files of a table have in common."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from headway_api.wording import listed
from headway_trainer.data.content import ColumnFacts, ReadFacts
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.errors import UserError


@dataclass
class ReadTables:
    """What files of a table hold."""

    columns: dict[str, pa.ChunkedArray]
    """The columns over all files."""
    counts: list[int]
    """Rows of each file."""
    facts: dict[str, ColumnFacts]
    read: ReadFacts = field(default_factory=ReadFacts)
    warnings: list[str] = field(default_factory=list)
    scratch: Scratch = MEMORY
    """Where the columns lie."""


def check_same_columns(files: Sequence[tuple[str, Sequence[str]]]) -> None:
    """files are (URI, column names). Raises UserError for the first whose columns are not those of the first."""
    first, expected = files[0][0], set(files[0][1])
    for uri, columns in files:
        names = set(columns)
        if missing := sorted(expected - names):
            raise UserError(f"{uri} has no column {missing[0]!r}, which {first} has: all files need the same columns")
        if more := sorted(names - expected):
            raise UserError(f"{uri} has a column {more[0]!r}, which {first} has not: all files need the same columns")


def refuse_ignored_nowhere(ignored: Collection[str], names: Collection[str], uri: str) -> None:
    """Raise UserError where `data.columns` ignores a column that no file has: the one that was meant would be read."""
    strange = sorted(set(ignored).difference(names))
    if strange:
        raise UserError(f"data.columns: {uri} has no column {strange[0]!r}, {has_instead(sorted(names), strange[0])}")


def refuse_missing(names: Sequence[str], wanted: Sequence[str], uri: str) -> None:
    """Raise UserError where one of the wanted columns is not there."""
    there = frozenset(names)
    missing = next((name for name in wanted if name not in there), None)
    if missing is not None:
        raise UserError(f"{uri} has no column {missing!r}, which the model takes; {has_instead(names, missing)}")


def has_instead(names: Sequence[str], missing: str) -> str:
    """The columns that are there, and the one that a name which is none of them most likely means; in words."""
    near = difflib.get_close_matches(missing, names, n=1)
    return f"it has {listed([repr(name) for name in names])}" + (f"; did you mean {near[0]!r}?" if near else "")


def refuse_twice(names: Sequence[str], uri: str) -> None:
    """Raise UserError for two columns of one name. Those without one may be several: if empty, they are no columns."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if twice:
        raise UserError(f"{uri} has two columns {twice[0]!r}: give each column a name of its own")
