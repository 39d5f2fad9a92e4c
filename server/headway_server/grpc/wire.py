"""How many fields a message has, before any of them is made.

A protobuf runtime makes an object for each field of a message, however short: 16 MiB of empty tensors become 700 MiB of
memory and two seconds of the event loop. What the model takes says how many there can be, and counting to that costs
less than a microsecond a field.
"""

from __future__ import annotations

from headway_server.errors import InvalidRequest

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
_MOST_VARINT_BITS = 64


def check_fields(data: bytes, most: int) -> None:
    """Raise InvalidRequest where a message has more fields at its top than `most`, or is no message."""
    at, end, found = 0, len(data), 0
    while at < end:
        found += 1
        if found > most:
            raise InvalidRequest(
                f"the message has more than {most} fields (names, inputs, outputs, raw contents and parameters), which "
                "is more than any request to this model needs"
            )
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == BYTES:
            length, at = _varint(data, at)
            at += length
        elif kind == VARINT:
            _, at = _varint(data, at)
        elif kind == FIXED_64:
            at += 8
        elif kind == FIXED_32:
            at += 4
        else:  # groups, which proto3 does not have
            raise broken()


def broken() -> InvalidRequest:
    """The error for bytes that are no message of the protocol."""
    return InvalidRequest(
        "the message cannot be read: send an inference.ModelInferRequest of the Open Inference Protocol v2, with UTF-8 "
        "in its names"
    )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift >= _MOST_VARINT_BITS:
            raise broken()
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, at
        shift += 7
