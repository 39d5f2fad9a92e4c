"""Rows of prepared data that stay on the store: read as they are asked for, in whole blocks, never all at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headway_trainer.storage import Store


class StoredRows:
    """A range of the rows of a .npy file, or every step-th of them.

    Slices give them as tensors, as those of a tensor do; `data.shards` makes it, after a look at the file's header.
    """

    def __init__(
        self, store: Store, path: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, block: int
    ) -> None:
        """offset: of the first row in the file, in bytes. block: rows that are read at once."""
        self._store, self._path, self._offset = store, path, offset
        self._block = block
        self._step = 1
        self._held: tuple[int, npt.NDArray[Any]] = (0, np.empty((0, *shape[1:]), dtype))
        self._dtype = dtype
        self._all = shape[0]
        self._row_shape = shape[1:]

    def __len__(self) -> int:
        return len(range(0, self._all, self._step))

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, *row_shape)."""
        return (len(self), *self._row_shape)

    @property
    def dtype(self) -> torch.dtype:
        """float32 or uint8."""
        return torch.from_numpy(np.empty(0, self._dtype)).dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self._dtype.itemsize * math.prod(self._row_shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return len(self) * self.row_bytes

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """The rows start:stop. Raises StorageError."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError("stored rows are read one after the other: every() takes some of them")
        wanted = range(start * self._step, stop * self._step, self._step)
        made = np.empty((len(wanted), *self._row_shape), self._dtype)
        done = 0
        while done < len(wanted):
            first, block = self._around(wanted[done])
            some = block[wanted[done] - first :: self._step][: len(wanted) - done]
            made[done : done + len(some)] = some
            done += len(some)
        return torch.from_numpy(made)

    def every(self, step: int) -> StoredRows:
        """Every step-th row."""
        shape = (self._all, *self._row_shape)
        some = StoredRows(self._store, self._path, self._offset, shape, self._dtype, block=self._block)
        some._step = self._step * step
        return some

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """The rows start:stop of all of them, read at once. Raises StorageError."""
        data = self._store.read_range(
            self._path, self._offset + start * self.row_bytes, (stop - start) * self.row_bytes
        )
        return np.frombuffer(data, self._dtype).reshape(stop - start, *self._row_shape)

    def _around(self, row: int) -> tuple[int, npt.NDArray[Any]]:
        """A block that has a row, and the number of its first one. The last block is kept for whoever asks next."""
        first, block = self._held
        if not first <= row < first + len(block):
            # Rows far apart are read one by one.
            count = self._block if self._step < self._block else 1
            first, block = row, self.read(row, min(self._all, row + count))
            self._held = (first, block)
        return first, block
