"""Prepared arrays on the store: written once by the head as .npy, read by each worker as its own range of rows."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from headway_api.bundle import FileDigest
from headway_trainer.data.forecast.info import SERIES_FILE
from headway_trainer.data.info import DataInfo, Split, w_file, x_file, y_file
from headway_trainer.errors import StorageError
from headway_trainer.storage import CHUNK, Store

if TYPE_CHECKING:
    import torch

    from headway_trainer.data.stored import StoredRows

_HEADER_BYTES = 4096
"""More than the header of any array written here takes."""


def write_array(store: Store, path: str, array: npt.NDArray[Any]) -> FileDigest:
    """Write an array as .npy (format 1.0, C order) without a second copy of it in memory; what was written."""
    return write_blocks(store, path, array.shape, array.dtype, [array])


def write_blocks(
    store: Store, path: str, shape: tuple[int, ...], dtype: npt.DTypeLike, blocks: Iterable[npt.NDArray[Any]]
) -> FileDigest:
    """Write an array of that shape and type, which comes in blocks of rows, as `write_array`; what was written."""
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype)) | {"shape": shape, "fortran_order": False}
    np.lib.format.write_array_header_1_0(header, described)
    digest = hashlib.sha256(header.getvalue())
    size = len(header.getvalue())
    with store.open_output(path) as stream:
        stream.write(header.getvalue())
        for block in blocks:
            flat = np.ascontiguousarray(block, dtype).reshape(-1)
            step = max(1, CHUNK // max(1, flat.itemsize))
            for start in range(0, flat.size, step):
                chunk = flat[start : start + step].tobytes()
                digest.update(chunk)
                stream.write(chunk)
                size += len(chunk)
    return FileDigest(name=path, sha256=digest.hexdigest(), size_bytes=size)


def read_split(
    store: Store, info: DataInfo, split: Split, rank: int = 0, world_size: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows [rank * n // world_size, (rank + 1) * n // world_size) of a part's n rows, and only they are read.

    Returns x, float32 (rows, *input_shape), or uint8 that `batches.Feed` has to scale, or int64 (rows,) that it has to
    make windows of; and y: int64 labels (rows,), or float32 (rows,) or (rows, outputs), standardised, or (rows, 0)
    where there is no target. Raises StorageError.
    """
    import torch

    start, stop = _bounds(info, split, rank, world_size)
    x = read_rows(store, x_file(split), start, stop)
    y = read_rows(store, y_file(split), start, stop)
    return torch.from_numpy(x), torch.from_numpy(y)


def read_series(store: Store, info: DataInfo) -> torch.Tensor | None:
    """Of a forecast, the features of all rows, float32 (rows, features), which all ranks' windows are made of; none for
    other tasks. On a local path, pages are read as they are touched, and shared by a node's workers.

    Raises StorageError.
    """
    import torch

    if info.forecast is None:
        return None
    return torch.from_numpy(read_rows(store, SERIES_FILE, 0, info.forecast.rows))


def read_weights(store: Store, info: DataInfo, split: Split, rank: int = 0, world_size: int = 1) -> torch.Tensor | None:
    """The weights, float32 (rows,), of the rows that read_split gives; none where rows have no weights.

    Raises StorageError.
    """
    import torch

    if not info.weighted:
        return None
    return torch.from_numpy(read_rows(store, w_file(split), *_bounds(info, split, rank, world_size)))


def _bounds(info: DataInfo, split: Split, rank: int, world_size: int) -> tuple[int, int]:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not in a world of {world_size}")
    count = info.rows[split]
    return rank * count // world_size, (rank + 1) * count // world_size


def stored_split(
    store: Store, info: DataInfo, split: Split, rank: int = 0, world_size: int = 1
) -> tuple[torch.Tensor | StoredRows, torch.Tensor]:
    """As read_split, but for features that memory does not hold (`DataInfo.blocks`): they stay on the store, and only
    the targets are read. Raises StorageError."""
    if info.blocks is None:
        return read_split(store, info, split, rank, world_size)
    import torch

    from headway_trainer.data.stored import StoredRows

    start, stop = _bounds(info, split, rank, world_size)
    path = x_file(split)
    shape, dtype, offset = _header(store, path, start, stop)
    x = StoredRows(store, path, offset, (stop - start, *shape[1:]), dtype, block=info.blocks.rows)
    return x, torch.from_numpy(read_rows(store, y_file(split), start, stop))


def read_rows(store: Store, path: str, start: int, stop: int) -> npt.NDArray[Any]:
    """Rows [start, stop) of a .npy file, writable; only they are read, on a local path as they are touched.

    Raises StorageError.
    """
    shape, dtype, offset = _header(store, path, start, stop)
    wanted = (stop - start, *shape[1:])
    folder = store.local_path()
    if folder is not None and 0 not in wanted:
        # Private to the process where it is written to; pages that are only read are shared by a node's workers.
        return np.memmap(folder / path, dtype=dtype, mode="c", offset=offset, shape=wanted).view(np.ndarray)
    rows = np.empty(wanted, dtype=dtype)
    _read_into(store, path, offset, rows.reshape(-1).view(np.uint8))
    return rows


def _header(store: Store, path: str, start: int, stop: int) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """The shape and type of a .npy file, and where row start begins. Raises StorageError where it has no such rows."""
    header = io.BytesIO(store.read_range(path, 0, _HEADER_BYTES))
    try:
        if np.lib.format.read_magic(header) != (1, 0):
            raise ValueError("not written in .npy format 1.0")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(header)
    except ValueError as error:
        raise StorageError(f"{store.uri}: {path} is no array of Headway: {error}") from error
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    if fortran_order or store.size(path) != header.tell() + shape[0] * row_bytes:
        raise StorageError(f"{store.uri}: {path} does not hold the rows that its header tells of")
    if not 0 <= start <= stop <= shape[0]:
        raise StorageError(f"{store.uri}: {path} holds {shape[0]} rows, so rows {start} to {stop} cannot be read")
    return shape, dtype, header.tell() + start * row_bytes


def _read_into(store: Store, path: str, offset: int, buffer: npt.NDArray[np.uint8]) -> None:
    with store.open_input(path) as stream:
        stream.seek(offset)
        for start in range(0, len(buffer), CHUNK):
            wanted = min(CHUNK, len(buffer) - start)
            chunk = stream.read(wanted)
            if len(chunk) != wanted:
                raise StorageError(
                    f"{store.uri}: {path} ended early: {len(chunk)} bytes came where {wanted} were asked for"
                )
            buffer[start : start + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
