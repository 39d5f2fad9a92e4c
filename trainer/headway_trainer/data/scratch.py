"""Where columns and arrays lie while rows are prepared: in memory, or in files on this machine's disk that are mapped.

What is mapped is used as what is in memory is, by the same code and with the same numbers; the kernel takes its pages
back when memory is short. The files have no names, so that nothing is left of them, however the process ends.

What is written is brought to the disk some megabytes at a time. A control group whose memory is full of pages that
wait for the disk stands still until the kernel gets to them, and small pieces of many columns would be as many seeks.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.errors import UserError

Indices = npt.NDArray[np.int64]
_SEGMENT = 8 * 1024 * 1024
"""Bytes of the first file, of which several arrays are made: thousands of columns would be too many open files."""
_GROWTH = 8
"""A file has at least this part of all bytes before it, so that there are some dozens of files at most."""
_ALIGNED = 64
BLOCK_BYTES = 32 * 1024 * 1024
"""Rows of an array that are passed on at once."""
BUCKET_BYTES = 64 * 1024 * 1024
"""Rows that are put in order in memory."""
HELD_BYTES = 48 * 1024 * 1024
"""Blocks of columns that are gathered in memory, so that each column is written in few pieces."""
UNSYNCED_BYTES = 32 * 1024 * 1024
"""What is written before it has to be on the disk."""


class _Segment:
    """A file that is mapped."""

    def __init__(self, pages: mmap.mmap, file: int) -> None:
        self.pages = pages
        self.file = file
        self.size = len(pages)
        self.address = np.frombuffer(pages, np.uint8).ctypes.data
        self.unsynced = 0
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        weakref.finalize(self, os.close, file)

    def write(self, values: npt.NDArray[np.uint8], at: int) -> None:
        """Write bytes without reading what was there."""
        left = memoryview(values.data)
        while left:
            count = os.pwrite(self.file, left, at)
            left, at = left[count:], at + count
            self.unsynced += count

    def sync(self) -> None:
        """Wait until all that was written is on the disk, and give its pages back."""
        if self.unsynced:
            os.fdatasync(self.file)
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
            self.unsynced = 0


class Scratch:
    """Makes arrays. They live as long as something refers to them."""

    def __init__(self, folder: str | None = None) -> None:
        """folder: where the files are made; none for memory."""
        self._folder = folder
        self._segments: list[_Segment] = []
        self._at = 0
        self._held: dict[Callable[[], None], int] = {}
        self._held_bytes = 0
        self._unsynced = 0
        self._lock = threading.Lock()

    @property
    def on_disk(self) -> bool:
        """Whether arrays are mapped files."""
        return self._folder is not None

    def another(self) -> Scratch:
        """One that makes its arrays where this does, and gives its room back without it."""
        return Scratch(self._folder)

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A new array, writable. Raises UserError where the disk has no room for it."""
        shape = (shape,) if isinstance(shape, int) else shape
        kind = np.dtype(dtype)
        count = math.prod(shape)
        if self._folder is None or count == 0:
            return np.empty(shape, kind)
        with self._lock:
            segment, at = self._room(count * kind.itemsize)
        return np.frombuffer(segment.pages, kind, count, at).reshape(shape)

    def read(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array in memory. What lies on the disk is read without the pages around it, which the kernel fetches, up
        to megabytes, for whoever touches what is mapped: too much for short pieces of many columns."""
        found = self._segment_of(array)
        if found is None:
            return array
        made = np.empty(array.shape, array.dtype)
        left, at = memoryview(made.reshape(-1).view(np.uint8).data), array.ctypes.data - found.address
        while left:
            count = os.preadv(found.file, [left], at)
            if not count:
                raise EOFError("the file of a mapped array ends early")
            left, at = left[count:], at + count
        return made

    def write(self, into: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Put values into an array, or a part of one, that this made: on the disk without reading what was there."""
        found = self._segment_of(into)
        if found is None:
            into[...] = values
            return
        whole = np.ascontiguousarray(np.broadcast_to(values, into.shape), into.dtype)
        found.write(whole.reshape(-1).view(np.uint8), into.ctypes.data - found.address)
        self._unsynced += into.nbytes
        if self._unsynced >= UNSYNCED_BYTES:
            with self._lock:
                for one in self._segments:
                    one.sync()
                self._unsynced = 0

    def hold(self, flush: Callable[[], None], count: int) -> None:
        """Say that count more bytes are gathered in memory, until flush writes them to an array of this. All that is
        gathered, for whichever array, is written once it is much."""
        self._held[flush] = self._held.get(flush, 0) + count
        self._held_bytes += count
        if self._held_bytes >= HELD_BYTES:
            for one in list(self._held):
                one()

    def release(self, flush: Callable[[], None]) -> None:
        """Say that flush has written all that it had."""
        self._held_bytes -= self._held.pop(flush, 0)

    def _segment_of(self, array: npt.NDArray[Any]) -> _Segment | None:
        """The file that an array lies in; none where it is in memory, or not in one piece."""
        if not array.nbytes or not array.flags.c_contiguous:
            return None
        address = array.ctypes.data
        return next((one for one in reversed(self._segments) if 0 <= address - one.address < one.size), None)

    def copy(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array, where this keeps arrays; itself where that is memory."""
        return self.concatenated([array]) if self.on_disk else array

    def concatenated(self, arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Arrays (rows, ...) of one row shape, one after the other."""
        kind = np.result_type(*arrays)
        whole = self.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), kind)
        at = 0
        for block in (block for array in arrays for block in blocks_of(array)):
            self.write(whole[at : at + len(block)], block)
            at += len(block)
        return whole

    def by_columns(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(columns, rows) of an array (rows, columns), so that a column can be read without the others."""
        return self.transposed(blocks_of(array), array.shape, array.dtype) if self.on_disk else array.T

    def transposed(
        self, blocks: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """(columns, rows) of rows that come in blocks (some rows, columns); shape is that of all of them."""
        turned = self.empty(shape[::-1], dtype)
        at = 0
        for block in blocks:
            for column, values in zip(turned, block.T, strict=True):
                self.write(column[at : at + len(block)], values)
            at += len(block)
        return turned

    def in_order(
        self, blocks: Iterable[npt.NDArray[Any]], order: Indices, row_shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """Rows that come in blocks, one block after the other, in another order: row i is row order[i] of theirs.

        order (rows,) names none of them twice; those that it does not name are left out. They are dealt to buckets that
        memory holds, which are put in order one by one: so each row is written twice, but the disk sees runs of rows
        rather than single ones.
        """
        rows = len(order)
        made = self.empty((rows, *row_shape), dtype)
        size = max(1, BUCKET_BYTES // max(1, made.dtype.itemsize * math.prod(row_shape)))
        bucket_of = np.full(int(order.max(initial=-1)) + 1, -1, np.int32)
        starts = np.arange(0, rows, size)
        for bucket, start in enumerate(starts.tolist()):
            bucket_of[order[start : start + size]] = bucket
        ends, at = starts.copy(), 0
        for block in blocks:
            which = np.full(len(block), -1, np.int32)
            named = bucket_of[at : at + len(block)]
            which[: len(named)] = named
            at += len(block)
            dealt = np.argsort(which, kind="stable")
            found, first, counts = np.unique(which[dealt], return_index=True, return_counts=True)
            for bucket, begin, count in zip(found.tolist(), first.tolist(), counts.tolist(), strict=True):
                if bucket < 0:
                    continue
                self.write(made[ends[bucket] : ends[bucket] + count], block[dealt[begin : begin + count]])
                ends[bucket] += count
        for start in starts.tolist():
            # A bucket has its rows as they came: by their old numbers.
            came = self.read(made[start : start + size])
            ordered = np.empty_like(came)
            ordered[np.argsort(order[start : start + size], kind="stable")] = came
            self.write(made[start : start + size], ordered)
        return made

    def _room(self, size: int) -> tuple[_Segment, int]:
        """Where size bytes can be written."""
        at = -(-self._at // _ALIGNED) * _ALIGNED
        if not self._segments or at + size > self._segments[-1].size:
            made = sum(one.size for one in self._segments)
            self._segments.append(self._mapped(max(size, _SEGMENT, made // _GROWTH)))
            at = 0
        self._at = at + size
        return self._segments[-1], at

    def _mapped(self, length: int) -> _Segment:
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                # All of it now: a disk that is full when a page is written back would kill the process.
                os.posix_fallocate(file.fileno(), 0, length)
                return _Segment(mmap.mmap(file.fileno(), length), os.dup(file.fileno()))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise UserError(
                f"the data is larger than memory, and the disk that {self._folder} is on has no room for it: give that"
                " folder more room, name another one by the environment variable TMPDIR, or raise"
                " spec.head.resources.memory"
            ) from error


MEMORY = Scratch()


def blocks_of(array: npt.NDArray[Any]) -> Iterable[npt.NDArray[Any]]:
    """An array (rows, ...) in blocks of rows."""
    step = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    return (array[start : start + step] for start in range(0, len(array), step))
