"""Digests of content: of a table, and of arrays. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_ROWS = 2**18
"""Values that are looked at at once."""
_BLOCK_BYTES = 16 * 1024 * 1024


def hash_table(table: pa.Table) -> str:
    """sha256 over names, types and values, the same for any division into files and chunks, and for any file format."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        digest.update(json.dumps([name, str(column.type), len(column)]).encode())
        # Each kind of buffer is one stream over all chunks, so that their borders leave no trace.
        streams: dict[str, Any] = {}
        for some in _pieces(column):
            for stream, data in _buffers(some):
                streams.setdefault(stream, hashlib.sha256()).update(data)
        for stream in sorted(streams):
            digest.update(streams[stream].digest())
    return digest.hexdigest()


def hash_arrays(*arrays: npt.NDArray[Any]) -> str:
    """sha256 over the types, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        # By blocks of rows, as an array whose axes were moved is copied for it.
        step = max(1, _BLOCK_BYTES // max(1, array.nbytes // max(1, len(array))))
        for start in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[start : start + step]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _pieces(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Few values of the column at a time."""
    step = max(1, min(_ROWS, len(column) * _BLOCK_BYTES // max(1, column.nbytes)))
    return (chunk.slice(start, step) for chunk in column.chunks for start in range(0, len(chunk), step))


def _buffers(chunk: pa.Array) -> Iterator[tuple[str, bytes]]:
    yield "valid", chunk.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_string(chunk.type):
        filled = chunk.fill_null("").cast(pa.large_string())
        yield "lengths", pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        offsets = np.frombuffer(filled.buffers()[1], dtype="<i8")[filled.offset : filled.offset + len(filled) + 1]
        if len(filled) and offsets[-1] > offsets[0]:
            yield "bytes", filled.buffers()[2][int(offsets[0]) : int(offsets[-1])].to_pybytes()
    elif pa.types.is_fixed_size_list(chunk.type):
        yield "values", pc.list_flatten(chunk).to_numpy(zero_copy_only=False).tobytes()
    elif not pa.types.is_null(chunk.type):
        kind = chunk.type
        zero = (
            pa.scalar(0, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.scalar(0, pa.uint8()).cast(kind)
        )
        yield "values", chunk.fill_null(zero).to_numpy(zero_copy_only=False).tobytes()
