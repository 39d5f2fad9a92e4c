"""Rows and columns that are there more than once. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.wording import listed
from headway_trainer.data.transform.vector import numbers_of
from headway_trainer.data.written import quoted

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
_MOST_NAMED = 10
_ROWS_AT_ONCE = 2**14
"""So that what is made of them takes little memory."""
_COLUMN_ROWS = 2**18
"""The same for a column of numbers."""
_TEXTS = 2**14
"""The same for a column of texts, which Python has one by one."""
_COLUMN_BYTES = 16 * 1024 * 1024
"""The same for one of texts or lists, which may be long."""
_EXACT = 2**53
_FEW_NUMBERS = 256
"""Rows of so few numbers are hashed column by column: Python takes longer for a call than for their bytes."""


def row_hashes(table: pa.Table) -> Hashes:
    """A hash of each row's values, (rows,): the same for equal rows, whatever the order of the columns."""
    total = np.zeros(len(table), dtype=np.uint64)
    for name in table.column_names:
        salt = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
        at = 0
        for bits in _bits_by_blocks(table[name]):
            total[at : at + len(bits)] += _mixed(bits ^ np.uint64(salt))
            at += len(bits)
    return total


def array_hashes(x: npt.NDArray[Any]) -> Hashes:
    """A hash of each row of an array (rows, ...)."""
    if x[0].size > _FEW_NUMBERS or x.dtype.kind not in "iufb":
        hashes = (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in x)
        return np.fromiter((int.from_bytes(digest, "little") for digest in hashes), np.uint64, len(x))
    total = np.zeros(len(x), np.uint64)
    for start in range(0, len(x), _ROWS_AT_ONCE):
        some = x[start : start + _ROWS_AT_ONCE]
        numbers = (some.reshape(len(some), -1).astype(np.float64) + 0.0).view(np.uint64)
        for index, column in enumerate(numbers.T):
            total[start : start + len(some)] += _mixed(column ^ np.uint64(index + 1))
    return total


def rows_in_training(hashes: Hashes, parts: Sequence[Indices], names: Sequence[str]) -> list[str]:
    """A sentence for each part but the first, the training rows, that shares rows with it."""
    train = hashes[parts[0]]
    train.sort()
    told = []
    for name, index in zip(names[1:], parts[1:], strict=True):
        count = _found(hashes[index], train)
        if count:
            told.append(
                f"{count} of the {len(index)} {name} rows stand in the training part as well, with the same value in "
                "every column: a model that remembers them seems better than it is."
            )
    return told


def _found(hashes: Hashes, known: Hashes) -> int:
    """How many of the hashes are among the known ones, which are sorted."""
    count = 0
    for start in range(0, len(hashes) if len(known) else 0, _COLUMN_ROWS):
        some = hashes[start : start + _COLUMN_ROWS]
        places = np.searchsorted(known, some)
        count += int(np.count_nonzero(known[np.minimum(places, len(known) - 1)] == some))
    return count


def repeated_rows(hashes: Hashes) -> int:
    """How many rows are copies of one before them."""
    ordered = np.sort(hashes)
    return int(np.count_nonzero(ordered[1:] == ordered[:-1]))


def equal_columns(table: pa.Table, names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of columns with the same values in all rows: the later one, and the first that it is equal to."""
    seen: dict[bytes, str] = {}
    pairs = []
    for name in names:
        if pa.types.is_nested(table[name].type):
            continue
        hashed = hashlib.blake2b(digest_size=16)
        for bits in _bits_by_blocks(table[name]):
            hashed.update(bits.data)
        digest = hashed.digest()
        if digest in seen:
            pairs.append((name, seen[digest]))
        else:
            seen[digest] = name
    return pairs


def equal_columns_note(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The pairs as one sentence; none where there are none."""
    if not pairs:
        return []
    shown = listed([f"{quoted(later)} (as {quoted(first)})" for later, first in pairs], _MOST_NAMED)
    return [f"Columns with the same value as another one in every row: {shown}."]


def _bits_by_blocks(values: pa.ChunkedArray) -> Iterator[Hashes]:
    step = _TEXTS if pa.types.is_string(values.type) else _COLUMN_ROWS
    if pa.types.is_string(values.type) or pa.types.is_nested(values.type):
        step = min(step, max(1, len(values) * _COLUMN_BYTES // max(1, values.nbytes)))
    for start in range(0, len(values), step):
        yield _bits(values.slice(start, step))


def _bits(values: pa.ChunkedArray) -> Hashes:
    """64 bits for each value, (rows,): equal for equal values; an empty value has bits of its own."""
    if pa.types.is_nested(values.type):
        return array_hashes(numbers_of(values))
    if pa.types.is_string(values.type):
        unique = pc.unique(values)
        digests = np.array(
            [
                int.from_bytes(hashlib.blake2b((text or "\0").encode(), digest_size=8).digest(), "little")
                for text in unique.to_pylist()
            ],
            dtype=np.uint64,
        )
        hashes: Hashes = digests[pc.index_in(values, unique).to_numpy()]
        return hashes
    if pa.types.is_null(values.type):
        return np.zeros(len(values), dtype=np.uint64)
    plain = values.cast(pa.int64()) if pa.types.is_temporal(values.type) else values
    numbers = pc.cast(plain, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    # Adding 0 makes one zero of two.
    bits: Hashes = (numbers + 0.0).view(np.uint64)
    if pa.types.is_integer(plain.type) and (large := np.abs(numbers) > _EXACT).any():
        # Floats cannot tell such numbers from their neighbours.
        bits[large] = plain.fill_null(0).to_numpy()[large].view(np.uint64)
    return bits


def _mixed(values: Hashes) -> Hashes:
    """splitmix64's finaliser (Steele, Lea, Flood 2014): each bit of the input changes half of the output's."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
