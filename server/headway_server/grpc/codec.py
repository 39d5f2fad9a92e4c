"""Requests of the Open Inference Protocol v2 over gRPC as arrays, and arrays as replies. Pure.

A request brings each input either in the list of its `contents` that is made for its datatype, or in
`raw_input_contents`, all inputs in one of the two ways: raw bytes are little-endian and row-major, a BOOL is one byte,
and each element of BYTES is its length as 4 bytes and then the UTF-8 itself. FP16 has no list. Replies are always raw:
what tritonclient reads, and what costs least.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from google.protobuf.message import DecodeError

from headway_server.errors import InvalidRequest, TooLarge
from headway_server.grpc import descriptors
from headway_server.grpc.descriptors import Message
from headway_server.grpc.wire import broken, check_fields
from headway_server.model import Array, TensorInfo, Tensors

FIELDS_BESIDE_TENSORS = 64
"""Model, version, id and parameters of a request: more than any client sends."""
MOST_ID = 256
"""Characters of a request's id."""
MOST_SHOWN = 80
"""Characters of a client's own words in an error."""


@dataclass(frozen=True)
class Datatype:
    """How elements of a datatype are held, and which list of `contents` has room for them (none: raw only)."""

    dtype: np.dtype[Any]
    contents: str | None
    held_as: np.dtype[Any] | None = None
    """What the elements of that list are, where that is wider."""


DATATYPES: Mapping[str, Datatype] = {
    "BOOL": Datatype(np.dtype(np.bool_), "bool_contents"),
    "UINT8": Datatype(np.dtype("u1"), "uint_contents", np.dtype("<u4")),
    "UINT16": Datatype(np.dtype("<u2"), "uint_contents", np.dtype("<u4")),
    "UINT32": Datatype(np.dtype("<u4"), "uint_contents"),
    "UINT64": Datatype(np.dtype("<u8"), "uint64_contents"),
    "INT8": Datatype(np.dtype("i1"), "int_contents", np.dtype("<i4")),
    "INT16": Datatype(np.dtype("<i2"), "int_contents", np.dtype("<i4")),
    "INT32": Datatype(np.dtype("<i4"), "int_contents"),
    "INT64": Datatype(np.dtype("<i8"), "int64_contents"),
    "FP16": Datatype(np.dtype("<f2"), None),
    "FP32": Datatype(np.dtype("<f4"), "fp32_contents"),
    "FP64": Datatype(np.dtype("<f8"), "fp64_contents"),
    "BYTES": Datatype(np.dtype(object), "bytes_contents"),
}
REFUSED_PARAMETERS = {
    "shared_memory_region": "tensors in shared memory are not read here: send them in the request",
    "classification": "this server does not pick the highest values itself: leave the parameter out",
    "sequence_id": "requests are independent of each other here: leave the parameter out",
}
"""Parameters of Triton's extensions that change the answer: to ignore them would be to answer something else."""


class Takes(Protocol):
    """What a codec has to know of a model."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def inputs(self) -> Sequence[TensorInfo]: ...
    @property
    def outputs(self) -> Sequence[TensorInfo]: ...


@dataclass(frozen=True)
class InferRequest:
    """A request that was read."""

    id: str
    feeds: Tensors
    outputs: tuple[str, ...]
    """The names that it asks for, in its order; all of the model's by default."""
    timeout: float | None
    """Seconds after which it does not want the answer any more."""


class Codec:
    """Reads requests to one model, and writes its replies. most_rows: of one request."""

    def __init__(self, model: Takes, most_rows: int) -> None:
        self._model = model
        self._most_rows = most_rows
        self._inputs = {one.name: one for one in model.inputs}
        self._outputs = {one.name: one for one in model.outputs}
        self._most_fields = 2 * len(self._inputs) + len(self._outputs) + FIELDS_BESIDE_TENSORS

    def parse(self, data: bytes) -> Message:
        """The message in these bytes. Raises InvalidRequest."""
        check_fields(data, self._most_fields)
        return parsed(descriptors.ModelInferRequest, data)

    def read(self, message: Message) -> InferRequest:
        """The request in a message: every array has the datatype and the shape that the model takes.

        Raises InvalidRequest or TooLarge, naming the tensor, what came, and what is allowed. That all inputs are there,
        with the same number of rows, is for the model's `check` to say.
        """
        _check_parameters("the request", message.parameters)
        if len(message.id) > MOST_ID:
            raise InvalidRequest(f"id has {len(message.id)} characters, and at most {MOST_ID} are taken")
        raw = message.raw_input_contents
        if raw and len(raw) != len(message.inputs):
            raise InvalidRequest(
                f"raw_input_contents: there are {len(raw)} for {len(message.inputs)} inputs; send one for each input, "
                "in the order of `inputs`, or none and `contents` in each input"
            )
        feeds: dict[str, Array] = {}
        for position, tensor in enumerate(message.inputs):
            told = self._told(tensor, feeds)
            feeds[told.name] = _raw(tensor, told, raw[position]) if raw else _listed(tensor, told)
        return InferRequest(message.id, feeds, self._asked(message.outputs), _timeout(message.parameters))

    def reply(self, request: InferRequest, outputs: Tensors) -> bytes:
        """A ModelInferResponse, serialized, with what a request asked for of these outputs."""
        message = descriptors.ModelInferResponse(
            model_name=self._model.name, model_version=self._model.version, id=request.id
        )
        for name in request.outputs:
            array = outputs[name]
            message.outputs.add(name=name, datatype=self._outputs[name].datatype, shape=array.shape)
            message.raw_output_contents.append(raw_bytes(array, self._outputs[name].datatype))
        return bytes(message.SerializeToString())

    def _told(self, tensor: Message, feeds: Mapping[str, Array]) -> TensorInfo:
        """What the model takes by the name of this tensor, whose datatype and shape are so."""
        told = self._inputs.get(tensor.name)
        if told is None:
            raise InvalidRequest(f"inputs: the model {self._model.name} has no input {shown(tensor.name)}")
        if told.name in feeds:
            raise InvalidRequest(f"inputs: {told.name!r} is there twice; send it once")
        if tensor.datatype != told.datatype:
            raise InvalidRequest(f"inputs: {told.name!r} must be {told.datatype}, not {shown(tensor.datatype)}")
        shape = tensor.shape
        if len(shape) != len(told.shape) or shape[0] < 1 or list(shape[1:]) != list(told.shape[1:]):
            raise InvalidRequest(
                f"inputs: {told.name!r} must have the shape {list(told.shape)}, -1 being the rows, at least 1, not "
                f"{_shown_shape(shape)}"
            )
        if shape[0] > self._most_rows:
            raise TooLarge(
                f"inputs: {told.name!r} has {shape[0]} rows, and at most {self._most_rows} are taken at once"
            )
        _check_parameters(f"inputs: {told.name!r}", tensor.parameters)
        return told

    def _asked(self, asked: Sequence[Message]) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for one in asked:
            if one.name not in self._outputs:
                raise InvalidRequest(
                    f"outputs: the model {self._model.name} has no output {shown(one.name)}; it gives "
                    f"{', '.join(self._outputs)}"
                )
            if one.name in names:
                raise InvalidRequest(f"outputs: {one.name!r} is asked for twice; ask once")
            _check_parameters(f"outputs: {one.name!r}", one.parameters)
            names[one.name] = None
        return tuple(names or self._outputs)


def parsed(kind: Any, data: bytes) -> Message:
    """A message of a class that `descriptors` makes. Raises InvalidRequest."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise broken() from error


def shown(text: str) -> str:
    """A client's own words, in quotes, for an error: not all of them where they are many."""
    return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "...")


def raw_bytes(array: Array, datatype: str) -> bytes:
    """An array as `raw_output_contents` has it: little-endian, row-major; text with the length before each element."""
    if datatype != "BYTES":
        return array.astype(DATATYPES[datatype].dtype, copy=False).tobytes()
    parts: list[bytes] = []
    for text in array.ravel().tolist():
        encoded = text.encode()
        parts += (struct.pack("<I", len(encoded)), encoded)
    return b"".join(parts)


def _raw(tensor: Message, told: TensorInfo, data: bytes) -> Array:
    if tensor.HasField("contents"):
        raise InvalidRequest(
            f"inputs: {told.name!r} has `contents` although the request has raw_input_contents: send one of the two"
        )
    shape = list(tensor.shape)
    count = math.prod(shape)
    if told.datatype == "BYTES":
        return _texts(told.name, data, count).reshape(shape)
    dtype = DATATYPES[told.datatype].dtype
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(
            f"inputs: {told.name!r} of shape {shape} and datatype {told.datatype} is {count * dtype.itemsize} bytes "
            f"long, but {len(data)} came in raw_input_contents"
        )
    if told.datatype == "BOOL":
        # Any other byte than 0 and 1 is no value of numpy's.
        return np.not_equal(np.frombuffer(data, np.uint8), 0).reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


def _texts(name: str, data: bytes, count: int) -> Array:
    """The elements of BYTES: 4 bytes of length, then UTF-8, `count` times and no more."""
    if len(data) < 4 * count:
        raise _wrong_length(name, count)
    texts = np.empty(count, object)
    at, end = 0, len(data)
    for index in range(count):
        start = at + 4
        if start > end:
            raise _wrong_length(name, count)
        at = start + int.from_bytes(data[at:start], "little")
        if at > end:
            raise _wrong_length(name, count)
        texts[index] = _decoded(name, index, data[start:at])
    if at != end:
        raise _wrong_length(name, count)
    return texts


def _listed(tensor: Message, told: TensorInfo) -> Array:
    """The elements in the one list of `contents` that has room for the datatype."""
    datatype = DATATYPES[told.datatype]
    if datatype.contents is None:
        raise InvalidRequest(
            f"inputs: {told.name!r} is {told.datatype}, which has no list in `contents`: send raw_input_contents"
        )
    odd = [field.name for field, _ in tensor.contents.ListFields() if field.name != datatype.contents]
    if odd:
        raise InvalidRequest(
            f"inputs: {told.name!r} is {told.datatype}, whose values go into contents.{datatype.contents}, but there "
            f"are some in contents.{odd[0]}"
        )
    values = getattr(tensor.contents, datatype.contents)
    shape = list(tensor.shape)
    if len(values) != math.prod(shape):
        raise InvalidRequest(
            f"inputs: {told.name!r} of shape {shape} has {math.prod(shape)} elements, but {len(values)} came in "
            f"contents.{datatype.contents}"
        )
    if told.datatype == "BYTES":
        texts = np.empty(len(values), object)
        for index, value in enumerate(values):
            texts[index] = _decoded(told.name, index, value)
        return texts.reshape(shape)
    return _narrowed(told, np.array(values, datatype.held_as or datatype.dtype)).reshape(shape)


def _narrowed(told: TensorInfo, values: Array) -> Array:
    """Elements of a list that has room for larger ones; numpy would wrap them silently."""
    dtype = DATATYPES[told.datatype].dtype
    if values.dtype == dtype:
        return values
    limits = np.iinfo(dtype)
    if ((values < limits.min) | (values > limits.max)).any():
        raise InvalidRequest(
            f"inputs: {told.name!r} is {told.datatype}, whose values are {limits.min} to {limits.max}, and there is "
            "one beyond that"
        )
    return values.astype(dtype)


def _decoded(name: str, index: int, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"inputs: element {index} of {name!r} is not UTF-8: {error.reason}") from error


def _wrong_length(name: str, count: int) -> InvalidRequest:
    return InvalidRequest(
        f"inputs: {name!r} must be {count} elements in raw_input_contents, each 4 bytes of length (little-endian) and "
        "then as many bytes of UTF-8, and nothing after them"
    )


def _check_parameters(where: str, parameters: Mapping[str, Message]) -> None:
    for name, problem in REFUSED_PARAMETERS.items():
        if name in parameters:
            raise InvalidRequest(f"{where} has the parameter {name!r}: {problem}")


def _timeout(parameters: Mapping[str, Message]) -> float | None:
    """Triton's parameter `timeout`: microseconds; 0 for none."""
    if "timeout" not in parameters:
        return None
    kind = parameters["timeout"].WhichOneof("parameter_choice")
    told = getattr(parameters["timeout"], kind) if kind in ("int64_param", "uint64_param") else -1
    if told < 0:
        raise InvalidRequest("parameters: timeout must be a whole number of microseconds, in int64_param")
    return told / 1e6 or None


def _shown_shape(shape: Sequence[int]) -> str:
    most = 8
    return str(list(shape[:most])) if len(shape) <= most else f"one of {len(shape)} dimensions"
