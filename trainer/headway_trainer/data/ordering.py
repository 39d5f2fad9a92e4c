"""Some of the rows of a source, or all in another order, also where they are larger than memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.examine import Examined
from headway_trainer.data.read.builder import NUMBERS, ColumnBuilder
from headway_trainer.data.scratch import Scratch, blocks_of
from headway_trainer.data.split import Parts

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_ROWS = 2**18
"""Rows of a column that are picked out at once."""


def rows_where(x: npt.NDArray[Any], there: Mask, scratch: Scratch) -> npt.NDArray[Any]:
    """The rows of an array (rows, ...) where there (rows,) is true."""
    made = scratch.empty((int(there.sum()), *x.shape[1:]), x.dtype)
    at = read = 0
    for block in blocks_of(x):
        some = block[there[read : read + len(block)]]
        scratch.write(made[at : at + len(some)], some)
        at, read = at + len(some), read + len(block)
    return made


def table_where(table: pa.Table, there: Mask, scratch: Scratch) -> pa.Table:
    """The rows of a table where there (rows,) is true."""
    if not scratch.on_disk:
        return table.take(pa.array(np.flatnonzero(there)))
    rows = int(there.sum())
    columns = {}
    for name in table.column_names:
        builder, at = ColumnBuilder(table[name].type, rows, scratch), 0
        for chunk in table[name].chunks:
            builder.add(chunk.filter(pa.array(there[at : at + len(chunk)])))
            at += len(chunk)
        columns[name] = builder.finish()
    return pa.table(columns)


def picked(table: pa.Table, index: Indices, scratch: Scratch) -> pa.Table:
    """The rows index of a table, in memory. Rows that follow each other are read without those around them."""
    start, rows = (int(index[0]), len(index)) if len(index) else (0, 0)
    if rows == 0 or int(index[-1]) - start + 1 != rows:
        return table.take(pa.array(index))
    columns = {}
    for name in table.column_names:
        column = table[name].slice(start, rows)
        if column.num_chunks == 1 and column.type in NUMBERS:
            columns[name] = _read(column.chunk(0), scratch)
        else:
            columns[name] = column.take(pa.array(np.arange(rows)))
    return pa.table(columns)


def _read(numbers: pa.Array, scratch: Scratch) -> pa.Array:
    """An array of 64 bits a value, in memory."""
    valid, data = numbers.buffers()
    stop, skipped = numbers.offset + len(numbers), numbers.offset % 8
    begin = numbers.offset - skipped
    made = scratch.read(np.frombuffer(data, np.int64)[begin:stop])
    bits = None if valid is None else scratch.read(np.frombuffer(valid, np.uint8)[begin // 8 : -(-stop // 8)])
    buffers = [None if bits is None else pa.py_buffer(bits), pa.py_buffer(made)]
    return pa.Array.from_buffers(numbers.type, len(numbers), buffers, offset=skipped)


def by_parts(
    content: TableContent | ArrayContent, known: Examined
) -> tuple[TableContent | ArrayContent, Examined, Indices]:
    """The rows of what lies on the disk, part after part, so that whatever follows reads the disk from end to end; and
    their numbers before.

    Each part's rows are in the order that they have in the part, so that all that is made of them is the same. Of a
    table only the features are left, and no column is read but one at a time.
    """
    target, parts = known.learnt()
    order = np.concatenate(parts.indices)
    ends = np.cumsum([len(index) for index in parts.indices])
    ranges = tuple(np.arange(end - len(index), end) for end, index in zip(ends, parts.indices, strict=True))
    known = replace(
        known,
        target=replace(target, values=target.values[order]),
        parts=Parts(ranges, parts.stratified, parts.by),
        weights=None if known.weights is None else known.weights[order],
    )
    scratch = content.scratch.another()
    if isinstance(content, ArrayContent):
        x = scratch.in_order(blocks_of(content.x), order, content.x.shape[1:], content.x.dtype)
        return replace(content, x=x, scratch=scratch), known, order
    table = known.table
    assert table is not None  # noqa: S101 - a table's columns are resolved
    columns = {name: _column_in_order(table[name], order, scratch) for name in known.features}
    content = replace(content, kept=order if content.kept is None else content.kept[order], scratch=scratch)
    return content, replace(known, table=pa.table(columns)), order


def _column_in_order(column: pa.ChunkedArray, order: Indices, scratch: Scratch) -> pa.ChunkedArray:
    if pa.types.is_fixed_size_list(column.type):
        return _vectors_in_order(column, order, scratch)
    whole = column.combine_chunks() if column.num_chunks > 1 and not pa.types.is_string(column.type) else column
    builder = ColumnBuilder(column.type, len(order), scratch)
    for start in range(0, len(order), _ROWS):
        some = whole.take(pa.array(order[start : start + _ROWS]))
        for chunk in some.chunks if isinstance(some, pa.ChunkedArray) else [some]:
            builder.add(chunk)
    return builder.finish()


def _vectors_in_order(column: pa.ChunkedArray, order: Indices, scratch: Scratch) -> pa.ChunkedArray:
    """Lists of numbers, which may be all of the data."""
    size = column.type.list_size

    def blocks() -> Iterator[npt.NDArray[np.float64]]:
        for chunk in column.chunks:
            numbers = chunk.values.slice(chunk.offset * size, len(chunk) * size).to_numpy(zero_copy_only=False)
            yield from blocks_of(numbers.reshape(len(chunk), size))

    numbers = scratch.in_order(blocks(), order, (size,), np.float64)
    missing = column.is_null().combine_chunks().take(pa.array(order)) if column.null_count else None
    lists = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), size, mask=missing)
    return pa.chunked_array([lists])
