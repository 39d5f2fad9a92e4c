"""What the bytes of texts tell of them without a pattern, in some passes over all of them at once. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

_AFTER_ZERO = np.zeros(256, np.bool_)
_AFTER_ZERO[list(b"0123456789xX")] = True
_ZERO, _PLUS, _POINT = b"0+."


class TextBytes:
    """Texts (rows,) of which none is null or empty."""

    def __init__(self, values: pa.Array) -> None:
        _, offsets, data = values.buffers()
        ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
        self._data = np.frombuffer(data, np.uint8)
        self._ends = ends
        self._starts, self._lengths = ends[:-1], np.diff(ends)
        self._first = self._data[self._starts]

    @property
    def leading_zeros(self) -> int:
        """How many begin with a zero before another digit, or as hexadecimal numbers do."""
        zero = (self._first == _ZERO) & (self._lengths > 1)
        return int(np.count_nonzero(_AFTER_ZERO[self._data[self._starts[zero] + 1]]))

    @property
    def longest(self) -> int:
        """The bytes of the longest one."""
        return int(self._lengths.max())

    @property
    def has_point(self) -> bool:
        """Whether there is a point in any of them."""
        return bool((self._data[self._ends[0] : self._ends[-1]] == _POINT).any())

    @property
    def has_plus(self) -> bool:
        """Whether any begins with a plus sign."""
        return bool((self._first == _PLUS).any())
