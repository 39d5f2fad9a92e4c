"""A column that is put together from blocks, in memory that it needs in the end anyway. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_WIDE = (pa.int64(), pa.float64(), pa.timestamp("us"))


class ColumnBuilder:
    """Takes a column's values block by block. How many there will be is known, so that blocks are never joined."""

    def __init__(self, kind: pa.DataType, rows: int) -> None:
        self._kind = kind
        self._rows = rows
        self._parts: list[pa.Array] = []
        self._at = 0
        dtype = np.float64 if kind == pa.float64() else np.int64
        self._values = np.empty(rows, dtype) if kind in _WIDE else None
        self._valid: npt.NDArray[np.bool_] | None = None

    def add(self, values: pa.Array) -> None:
        """The next values, of the column's kind."""
        if self._values is None:
            self._parts.append(values)
            return
        stop = self._at + len(values)
        data = np.frombuffer(values.buffers()[1], self._values.dtype)
        self._values[self._at : stop] = data[values.offset : values.offset + len(values)]
        if values.null_count:
            if self._valid is None:
                self._valid = np.ones(self._rows, np.bool_)
            self._valid[self._at : stop] = values.is_valid().to_numpy(zero_copy_only=False)
        self._at = stop

    def finish(self) -> pa.ChunkedArray:
        """The column, in one chunk but for texts of more than 2 GiB. Raises ValueError where values are missing."""
        if self._values is None:
            return joined(self._parts, self._kind)
        if self._at != self._rows:
            raise ValueError(f"{self._at} values came where {self._rows} were told of")
        valid = None if self._valid is None else pa.py_buffer(np.packbits(self._valid, bitorder="little"))
        return pa.chunked_array([pa.Array.from_buffers(self._kind, self._rows, [valid, pa.py_buffer(self._values)])])


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
