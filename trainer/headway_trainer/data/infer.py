"""What a column is, where nobody says it: its kind, its role, and what the guess rests on. Pure.

A guess is careful: what looks like a row's number or name is left out, and said; what is uncertain and matters is a
problem, whose sentence says what to write in the job instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.columns import Kind, Role
from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.schema import ColumnStats
from headway_trainer.data.written import problem_of, quoted

FEWEST_ROWS = 10
"""In a table of fewer rows, that all values differ says nothing."""
MAX_CATEGORIES = 50
"""Whole numbers and texts of more different values are no categories by themselves."""
_ROW_INDEX = re.compile(
    r"^(unnamed: ?\d+(\.\d+)?|__index_level_\d+__|index|level_\d+|row_?(id|index|number|no)?|)$", re.IGNORECASE
)
"""How pandas, R and their users call the number of a row, where they call it at all."""
_IDENTIFIER = re.compile(r"(^|[ _.-])(id|uuid|guid|uid|key|pk)$", re.IGNORECASE)
_IDENTIFIER_CAMEL = re.compile(r"[a-z0-9](Id|ID|Key|UUID|Guid)$")
_TIME = re.compile(r"(^|[ _.-])(year|month|week|day|hour|minute|second|time|timestamp|date|epoch|t)s?$", re.IGNORECASE)
"""Names of whole numbers that differ in every row and yet are a quantity."""
_WORDS_OF_TEXT = 2.0
_NEARLY_CONSECUTIVE = 1.1
"""Rows that were deleted leave holes in their numbers."""


@dataclass(frozen=True)
class Guess:
    """What a column is taken for."""

    kind: Kind
    role: Role
    why: str
    """What it rests on, without the column's name: `whole numbers that differ in every row`."""
    warning: str | None = None
    """A sentence for people, where the guess may cost them something."""
    problem: str | None = None
    """A sentence that refuses to guess and says what to write; training does not begin."""


def guess(
    name: str, values: pa.ChunkedArray, stats: ColumnStats, facts: ColumnFacts, where: Callable[[int], str]
) -> Guess:
    """What a column that nobody spoke of is. values, (rows,), are as `TableContent` has them.

    facts are what reading told of it; where names a row by its number.
    """
    kind = storage_kind(values.type)
    if stats.known == 0:
        return Guess(kind, "ignore", "it is empty", f"Column {quoted(name)} is empty and was left out.")
    if stats.distinct == 1 and not stats.missing and stats.rows > 1:
        return Guess(kind, "ignore", "it has one value in all rows")
    if facts.category:
        return Guess("category", "feature", "the file declares it a category")
    if kind == "number":
        return _number(name, values, stats)
    if kind == "category":
        return _text(name, values, stats, where)
    whys = {"boolean": "true and false", "time": "dates or times", "vector": "lists of numbers"}
    return Guess(kind, "feature", whys[kind])


def storage_kind(kind: pa.DataType) -> Kind:
    """The kind that a type of storage tells of by itself."""
    types = pa.types
    if types.is_boolean(kind):
        return "boolean"
    if types.is_temporal(kind):
        return "time"
    if types.is_nested(kind):
        return "vector"
    return "category" if types.is_string(kind) or types.is_null(kind) else "number"


def is_named_like_row_number(name: str) -> bool:
    """Whether a name is one that tools give to the number of a row."""
    return _ROW_INDEX.match(name.strip()) is not None


def _number(name: str, values: pa.ChunkedArray, stats: ColumnStats) -> Guess:
    whole = pa.types.is_integer(values.type)
    number = Guess("number", "feature", "whole numbers" if whole else "decimal numbers")
    if not (whole or _is_whole(values, stats)):
        return number
    if is_named_like_row_number(name):
        return _left_out(name, "whole numbers in a column that is named like the number of a row", "number")
    unique = stats.distinct == stats.known >= FEWEST_ROWS
    if _is_identifier(name):
        why = f"whole numbers with {stats.distinct} different values, named like an identifier"
        many = unique or (stats.distinct or 0) > MAX_CATEGORIES
        return _left_out(name, why, "number") if many else Guess("category", "feature", why)
    numbered = unique and not _TIME.search(name) and _numbers_rows(values, stats)
    return _left_out(name, numbered, "number") if numbered else number


def _numbers_rows(values: pa.ChunkedArray, stats: ColumnStats) -> str | None:
    """Whether whole numbers that differ in every row are those of the rows; in words."""
    bounds = isinstance(stats.min, float) and isinstance(stats.max, float)
    if bounds and float(stats.max or 0) - float(stats.min or 0) + 1 <= _NEARLY_CONSECUTIVE * stats.known:
        return "whole numbers that differ in every row, one after the other, as rows are numbered"
    if bool((np.diff(values.drop_null().to_numpy()) > 0).all()):
        return "whole numbers that grow from row to row, as rows are numbered"
    return None


def _is_whole(values: pa.ChunkedArray, stats: ColumnStats) -> bool:
    """Whether decimal numbers are whole ones, as pandas stores those of a column with holes."""
    if not (isinstance(stats.min, float) and stats.min.is_integer()):
        return False
    numbers = values.drop_null().to_numpy()
    return bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())


def _is_identifier(name: str) -> bool:
    return _IDENTIFIER.search(name) is not None or _IDENTIFIER_CAMEL.search(name) is not None


def _left_out(name: str, why: str, kept_as: Kind) -> Guess:
    told = f"Column {quoted(name)} was left out: {why}; data.columns: {{{key(name)}: {{kind: {kept_as}}}}} keeps it."
    return Guess("id", "ignore", why, told)


def _text(name: str, values: pa.ChunkedArray, stats: ColumnStats, where: Callable[[int], str]) -> Guess:
    distinct = stats.distinct or 0
    why = f"text with {distinct} different values"
    if (problem := problem_of(name, values, where)) is not None:
        return Guess("category", "feature", why, problem=problem)
    unique = distinct == stats.known >= FEWEST_ROWS
    words = pc.mean(pc.count_substring_regex(values, r"\S+")).as_py()
    if words >= _WORDS_OF_TEXT and distinct > max(FEWEST_ROWS, stats.known // 2) and not is_named_like_row_number(name):
        return Guess("text", "feature", f"{why}, of {words:.1f} words in the mean")
    if unique:
        return _left_out(name, f"{why} in {stats.known} rows, as names of rows have", "text")
    if _is_identifier(name) and distinct > MAX_CATEGORIES:
        return _left_out(name, f"{why}, named like an identifier", "category")
    if distinct <= max(MAX_CATEGORIES, stats.known // 2):
        return Guess("category", "feature", why)
    warning = (
        f"Column {quoted(name)} has {distinct} different values in {stats.known} rows, and only the most frequent "
        f"become features; data.columns: {{{key(name)}: {{role: ignore}}}} leaves it out."
    )
    return Guess("category", "feature", why, warning)
