"""`data.split`: by chance, by a column, or as the source gives the parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.data import Data, Split
from headway_trainer.data.split.at_random import split
from headway_trainer.data.split.by_group import by_group
from headway_trainer.data.split.in_order import in_order
from headway_trainer.data.split.parts import Indices, PartOf, Parts, gathered

Method = Literal["group", "time", "fold"]
METHODS: tuple[Method, ...] = ("group", "time", "fold")
PART_WORDS: Mapping[str, int] = MappingProxyType(
    {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}
)
"""How a column of folds may call the parts, in any case."""
_LISTED = 5


@dataclass(frozen=True)
class Dividing:
    """The column that divides the rows."""

    method: Method
    column: str


@dataclass(frozen=True)
class Column:
    """Its values."""

    dividing: Dividing
    values: pa.ChunkedArray
    where: Callable[[int], str]
    """A row, by its number, as people find it."""


def dividing(data: Data) -> Dividing | None:
    """The column that divides the rows by what the job says; none where chance or the source does. A forecast divides
    by time alone."""
    methods = METHODS if data.split.method == "auto" else (data.split.method,)
    methods = ("time",) if data.task == "forecasting" else methods
    for name, column in (data.columns or {}).items():
        if column.role in METHODS and column.role in methods:
            return Dividing(column.role, name)
    return None


def divide(
    rows: int,
    spec: Split,
    seed: int,
    *,
    labels: Indices | None = None,
    given: PartOf | None = None,
    column: Column | None = None,
) -> Parts:
    """Divide the rows of a source as `data.split` says.

    labels (rows,) are kept in equal shares where chance divides. given is the part of each row where the source gives
    parts, and column the one that divides: both may leave parts to be taken from the training rows, in the proportion
    of their shares. Raises ValueError, with a sentence, where the rows cannot be divided.
    """
    shares = (spec.train, spec.validation, spec.test)
    by = ""
    if column is not None and column.dividing.method == "fold" and given is None and _has_words(column):
        given, by = _by_words(column), f"The parts are those that the column {column.dividing.column!r} names."
        column = None
    if given is not None:
        return _rest(given, shares, seed, labels=labels, column=column, by=by)
    if column is None:
        return split(rows, shares, seed, labels)
    part_of, by = _by_column(column, shares, seed)
    return Parts(gathered(part_of, len(shares), seed), stratified=False, by=by)


def _rest(
    given: PartOf,
    shares: Sequence[float],
    seed: int,
    *,
    labels: Indices | None,
    column: Column | None,
    by: str,
) -> Parts:
    """The parts that are given; those that are not share the training rows."""
    there = [part == 0 or bool((given == part).any()) for part in range(len(shares))]
    wanted = [share if part == 0 or not there[part] else 0.0 for part, share in enumerate(shares)]
    train = np.flatnonzero(given == 0)
    left = sum(share > 0 for share in wanted)
    if column is not None and left > 1:
        chosen = Column(column.dividing, column.values.take(pa.array(train)), lambda row: column.where(int(train[row])))
        part_of, by = _by_column(chosen, wanted, seed)
        drawn = Parts(gathered(part_of, len(shares), seed), stratified=False, by=by)
    else:
        drawn = split(len(train), wanted, seed, labels[train] if labels is not None else None)
    whole = gathered(given, len(shares), seed)
    indices = tuple(
        whole[part] if part > 0 and there[part] else train[drawn.indices[part]] for part in range(len(shares))
    )
    return Parts(indices, drawn.stratified or left == 1, by)


def _by_column(column: Column, shares: Sequence[float], seed: int) -> tuple[PartOf, str]:
    """The part of each row by the column, and how, as a sentence."""
    name, values = column.dividing.column, column.values
    _no_gaps(column)
    try:
        if column.dividing.method == "group":
            codes = codes_of(values)
            groups = len(np.unique(codes))
            part_of = by_group(codes, shares, seed)
            return part_of, f"Each of the {groups} groups of the column {name!r} is in one part."
        part_of = in_order(ordered(column), shares)
    except ValueError as error:
        raise ValueError(f"by the column {name!r}, {error}") from error
    first = "earliest" if column.dividing.method == "time" else "lowest"
    last = "latest" if column.dividing.method == "time" else "highest"
    return part_of, f"The rows with the {first} values of the column {name!r} train, those with the {last} test."


def _no_gaps(column: Column) -> None:
    if column.values.null_count:
        row = int(np.argmax(column.values.is_null().to_numpy()))
        raise ValueError(
            f"the column {column.dividing.column!r} is empty in {column.values.null_count} rows, first in"
            f" {column.where(row)}, so nothing says where they belong: fill it in, or take such rows out"
        )


def codes_of(values: pa.ChunkedArray) -> Indices:
    """A number for each value, (rows,): equal ones have the same."""
    codes: Indices = values.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return codes.astype(np.int64)


def ordered(column: Column) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """The values as numbers of the same order. Raises ValueError for what has none."""
    values, name, method = column.values, column.dividing.column, column.dividing.method
    kind = values.type
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.int64())
    elif not pa.types.is_integer(kind) and not (pa.types.is_floating(kind) and method == "time"):
        what = "times or numbers" if method == "time" else "whole numbers, or the words train, validation and test"
        raise ValueError(f"{name!r} holds {kind} values, and a column with the role {method} holds {what}")
    numbers: npt.NDArray[np.int64] | npt.NDArray[np.float64] = values.to_numpy()
    return numbers


def _has_words(column: Column) -> bool:
    return bool(pa.types.is_string(column.values.type))


def _by_words(column: Column) -> PartOf:
    """The part that each row's word names. Raises ValueError for other words, and where none trains."""
    _no_gaps(column)
    name = column.dividing.column
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column.values)).combine_chunks().dictionary_encode()
    known = words.dictionary.to_pylist()
    strange = [word for word in known if word not in PART_WORDS]
    if strange:
        shown = ", ".join(repr(word[:40]) for word in strange[:_LISTED])
        raise ValueError(f"the column {name!r} has the values {shown}, but its words must be train, validation or test")
    codes = np.array([PART_WORDS[word] for word in known], dtype=np.int8)
    part_of: PartOf = codes[words.indices.to_numpy(zero_copy_only=False)]
    if not (part_of == 0).any():
        raise ValueError(f"no row of the column {name!r} is train, so nothing would be learnt")
    return part_of
