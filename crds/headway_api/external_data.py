"""Whether an ONNX model keeps tensors in other files than its own. Pure, and without the package onnx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_TENSOR = "TensorProto"
_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
}
"""The messages in which tensors are, by the numbers of the fields that hold them: onnx.proto, IR version 13."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _64_BITS, _BYTES, _32_BITS = 0, 1, 2, 5
_WIDTHS = {_64_BITS: 8, _32_BITS: 4}
_PATH_KEY = b"location"
"""Names the file in TensorProto.external_data; no tensor is elsewhere without it."""
_LONGEST_VARINT = 10


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of a serialized ModelProto lies in another file, in its graph, subgraphs or functions.

    Raises ValueError where it is no message of protobuf.
    """
    if _PATH_KEY not in model:
        return False
    # Subgraphs hold subgraphs: no recursion, as a file of a stranger says how deep they are.
    waiting = [("ModelProto", memoryview(model))]
    while waiting:
        kind, message = waiting.pop()
        for number, content in _fields(message):
            if kind == _TENSOR and number in (_EXTERNAL_DATA, _DATA_LOCATION):
                if number == _EXTERNAL_DATA or content:
                    return True
            elif not isinstance(content, int) and (inner := _MESSAGES.get(kind, {}).get(number)):
                waiting.append((inner, content))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The number and content of each field: the value of a varint, the bytes of all others."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, at = _varint(message, at)
        elif wire_type in _WIDTHS:
            length = _WIDTHS[wire_type]
        else:
            raise ValueError(f"a field of wire type {wire_type}")
        if at + length > len(message):
            raise ValueError("a field that goes beyond the end")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A varint, and where what follows it begins."""
    value = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no high bit
            return value, at + place + 1
    raise ValueError("a varint without an end")
