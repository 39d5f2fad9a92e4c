"""A column that is put together from blocks, in room that it needs in the end anyway. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_trainer.data.scratch import MEMORY, Scratch

NUMBERS = (pa.int64(), pa.float64(), pa.timestamp("us"))
"""Types of 64 bits a value."""
_TRUE = np.array([True])


class ColumnBuilder:
    """Takes a column's values block by block, and never joins blocks.

    rows: how many there will be; where more come, what there is moves to room for twice as many.
    """

    def __init__(self, kind: pa.DataType, rows: int, scratch: Scratch = MEMORY) -> None:
        self.kind = kind
        self._scratch = scratch
        self._parts: list[pa.Array] = []
        self._kept: list[pa.Array] = []
        self._at = 0
        dtype = np.float64 if kind == pa.float64() else np.int64
        self._values = scratch.empty(rows, dtype) if kind in NUMBERS else None
        self._valid: npt.NDArray[np.bool_] | None = None

    def add(self, values: pa.Array) -> None:
        """The next values, of the column's kind."""
        if self._values is not None and not self._scratch.on_disk:
            self._put(values)
            return
        self._parts.append(values)
        if self._scratch.on_disk:
            self._scratch.hold(self._put_away, values.nbytes)

    def finish(self) -> pa.ChunkedArray:
        """The column, numbers and times in one chunk."""
        self._put_away()
        if self._values is None:
            return pa.chunked_array(self._kept) if self._kept else joined(self._parts, self.kind)
        valid = None if self._valid is None else pa.py_buffer(np.packbits(self._valid[: self._at], bitorder="little"))
        return pa.chunked_array([pa.Array.from_buffers(self.kind, self._at, [valid, pa.py_buffer(self._values)])])

    def _put_away(self) -> None:
        """Write what was gathered to the disk."""
        if not self._scratch.on_disk or not self._parts:
            return
        whole = pa.concat_arrays(self._parts)
        self._parts = []
        self._scratch.release(self._put_away)
        if self._values is None:
            self._kept.append(kept(whole, self._scratch))
        else:
            self._put(whole)

    def _put(self, values: pa.Array) -> None:
        """Numbers or times, after those before."""
        assert self._values is not None  # noqa: S101 - of numbers and times alone
        stop = self._at + len(values)
        if stop > len(self._values):
            self._grow(2 * stop)
        data = np.frombuffer(values.buffers()[1], self._values.dtype)
        self._scratch.write(self._values[self._at : stop], data[values.offset : values.offset + len(values)])
        if values.null_count:
            if self._valid is None:
                self._valid = self._scratch.empty(len(self._values), np.bool_)
                self._scratch.write(self._valid, _TRUE)
            valid = values.is_valid().to_numpy(zero_copy_only=False)
            self._scratch.write(self._valid[self._at : stop], valid)
        self._at = stop

    def _grow(self, rows: int) -> None:
        assert self._values is not None  # noqa: S101 - of numbers and times alone
        values = self._scratch.empty(rows, self._values.dtype)
        self._scratch.write(values[: self._at], self._values[: self._at])
        self._values = values
        if self._valid is not None:
            valid = self._scratch.empty(rows, np.bool_)
            self._scratch.write(valid[: self._at], self._valid[: self._at])
            self._scratch.write(valid[self._at :], _TRUE)
            self._valid = valid


def kept(array: pa.Array, scratch: Scratch) -> pa.Array:
    """The array where scratch keeps arrays; itself where that is memory."""
    if not scratch.on_disk:
        return array
    own, children = array.buffers(), []
    if pa.types.is_fixed_size_list(array.type):
        own, children = own[:1], [kept(array.values, scratch)]
    buffers = [
        None if buffer is None else pa.py_buffer(scratch.copy(np.frombuffer(buffer, np.uint8))) for buffer in own
    ]
    return pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset, children=children)


def joined(chunks: list[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    """Chunks as one where they fit into one, so that rows are picked out of it quickly; chunks is emptied."""
    column = pa.chunked_array(chunks, kind)
    chunks.clear()
    if column.num_chunks < 2:  # noqa: PLR2004 - there is nothing to join
        return column
    try:
        return pa.chunked_array([column.combine_chunks()], kind)
    except pa.ArrowInvalid:
        # Texts of more than 2 GiB stay in parts.
        return column
