"""Tensors as the protocols' bytes, and the words of clients in errors. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from headway_server.errors import InvalidRequest
from headway_server.model import DTYPES, Array, TensorInfo

_SHOWN = 80
_LENGTH_BYTES = 4


def from_bytes(data: memoryview, shape: Sequence[int], info: TensorInfo, where: str) -> Array:
    """A binary tensor. Raises InvalidRequest."""
    count = math.prod(shape)
    if info.datatype == "BYTES":
        return np.array(list(_texts(data, count, where)), dtype=object).reshape(shape)
    dtype = DTYPES[info.datatype]
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(
            f"{where} has {len(data)} bytes, but {info.datatype} of the shape {list(shape)} are "
            f"{count * dtype.itemsize}"
        )
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _texts(data: memoryview, count: int, where: str) -> Iterator[str]:
    """The elements of BYTES: each its length, little-endian in four bytes, and so many bytes."""
    at = 0
    for index in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if at > len(data) or start > len(data):
            raise InvalidRequest(f"{where}: its element {index} goes beyond the end of the tensor")
        try:
            yield str(data[start:at], "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{where}: its element {index} is no UTF-8") from error
    if at != len(data):
        raise InvalidRequest(f"{where}: {len(data) - at} bytes are left after its {count} elements")


def to_bytes(array: Array) -> bytes:
    """The binary form of a tensor: little-endian, row-major; each text its length in four bytes, and its UTF-8."""
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    texts = [one.encode() for one in array.ravel().tolist()]
    return b"".join(part for one in texts for part in (len(one).to_bytes(4, "little"), one))


def shown(value: Any) -> str:
    """A value for a message: short, on one line."""
    text = repr(value[:_SHOWN] if isinstance(value, str | list) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
