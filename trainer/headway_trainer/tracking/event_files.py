"""TensorBoard's event files: records of its `Event` messages, of which scalars need six fields. Pure.

tensorboardX, which Ray Tune brings, has these messages, too, but imports torch with them: two seconds of processor and
200 MB in a driver that needs none of it. Formats: tensorflow/core/util/event.proto, framework/summary.proto and
lib/io/record_writer.h; https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

_VERSION = b"brain.Event:2"
_POLYNOMIAL = 0x82F63B78
"""CRC-32C (Castagnoli), reflected."""
_MASK = 0xA282EAD8
"""A checksum of what holds checksums is weak, so these are changed before they are written."""
_SEVEN_BITS = 0x7F
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY = b"\x09", b"\x10", b"\x1a", b"\x2a"
_VALUE, _TAG, _SIMPLE_VALUE = b"\x0a", b"\x0a", b"\x15"
"""Fields with the kinds of their values: doubles, varints, what has a length, and floats."""


def version(at: float) -> bytes:
    """The first record of a file. at: seconds since 1970, as of all records."""
    return _record(_WALL_TIME + struct.pack("<d", at) + _sized(_FILE_VERSION, _VERSION))


def scalars(at: float, step: int, values: Mapping[str, float]) -> bytes:
    """A record with numbers by their names at a step, which is not negative."""
    told = b"".join(
        _sized(_VALUE, _sized(_TAG, name.encode()) + _SIMPLE_VALUE + _float(value)) for name, value in values.items()
    )
    count = _STEP + _varint(step) if step else b""
    return _record(_WALL_TIME + struct.pack("<d", at) + count + _sized(_SUMMARY, told))


def _sized(field: bytes, data: bytes) -> bytes:
    return field + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > _SEVEN_BITS:
        made.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _float(value: float) -> bytes:
    """The nearest number of 32 bits; one that is too large is infinite."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + _checksum(length) + message + _checksum(message)


def _table() -> tuple[int, ...]:
    made = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        made.append(value)
    return tuple(made)


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
    return struct.pack("<I", masked)
