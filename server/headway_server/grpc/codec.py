"""Requests of the Open Inference Protocol v2 over gRPC as arrays, and arrays as replies. Pure.

A request brings each input either in the list of its `contents` that is made for its datatype, or in
`raw_input_contents`, all inputs in one of the two ways. Replies are always raw: what tritonclient reads, and what costs
least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from headway_server.errors import InvalidRequest, TooLarge
from headway_server.grpc import descriptors
from headway_server.grpc.descriptors import Message
from headway_server.grpc.wire import broken, check_fields
from headway_server.model import DTYPES, Array, ServedModel, TensorInfo, Tensors
from headway_server.tensors import from_bytes, shown, to_bytes

FIELDS_BESIDE_TENSORS = 64
"""Model, version, id and parameters of a request: more than any client sends."""
MOST_ID = 256
"""Characters of a request's id."""
CONTENTS = {"FP64": "fp64_contents", "FP32": "fp32_contents", "UINT8": "uint_contents", "BYTES": "bytes_contents"}
"""The list that has room for the elements of a datatype."""
MOST_UINT8 = 255
REFUSED_PARAMETERS = {
    "shared_memory_region": "tensors in shared memory are not read here: send them in the request",
    "classification": "this server does not pick the highest values itself: leave the parameter out",
    "sequence_id": "requests are independent of each other here: leave the parameter out",
}
"""Parameters of Triton's that would change the answer: to ignore them would be to answer something else."""


class InferRequest(NamedTuple):
    """A request that was read."""

    id: str
    feeds: Tensors
    rows: int
    outputs: Sequence[str]
    """The names that it asks for, in its order; all of the model's by default."""
    timeout: float | None
    """Seconds after which it does not want the answer any more."""


class Codec:
    """Reads requests to one model, and writes its replies. most_rows: of one request."""

    def __init__(self, model: ServedModel, most_rows: int) -> None:
        self._model = model
        self._most_rows = most_rows
        self._all_outputs = tuple(model.output_of)
        self._most_fields = 2 * len(model.inputs) + len(model.outputs) + FIELDS_BESIDE_TENSORS

    def parse(self, data: bytes) -> Message:
        """The message in these bytes. Raises InvalidRequest."""
        check_fields(data, self._most_fields)
        return parsed(descriptors.ModelInferRequest, data)

    def read(self, message: Message) -> InferRequest:
        """The request in a message.

        Raises InvalidRequest or TooLarge, naming the tensor, what came, and what is allowed.
        """
        _check_parameters("the request", message.parameters)
        if len(message.id) > MOST_ID:
            raise InvalidRequest(f"id must be text of at most {MOST_ID} characters, not {len(message.id)}")
        raw = message.raw_input_contents
        if raw and len(raw) != len(message.inputs):
            raise InvalidRequest(
                f"raw_input_contents: there are {len(raw)} for {len(message.inputs)} inputs; send one for each input, "
                "in the order of `inputs`, or none and `contents` in each input"
            )
        feeds: dict[str, Array] = {}
        for position, tensor in enumerate(message.inputs):
            info = self._info(tensor, position, feeds)
            where = f"inputs[{position}] ({shown(info.name)})"
            shape = self._shape(tensor, info, where)
            _check_parameters(where, tensor.parameters)
            feeds[info.name] = (
                _raw(tensor, raw[position], shape, info, where) if raw else _listed(tensor, shape, info, where)
            )
        rows = self._model.check(feeds)
        return InferRequest(message.id, feeds, rows, self._asked(message.outputs), _timeout(message.parameters))

    def reply(self, request: InferRequest, outputs: Tensors) -> bytes:
        """A ModelInferResponse, serialized, with what a request asked for of these outputs."""
        model = self._model
        message = descriptors.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
        for name in request.outputs:
            array = outputs[name]
            message.outputs.add(name=name, datatype=model.output_of[name].datatype, shape=array.shape)
            message.raw_output_contents.append(to_bytes(array))
        return bytes(message.SerializeToString())

    def _info(self, tensor: Message, position: int, feeds: Mapping[str, Array]) -> TensorInfo:
        """What the model takes by the name of this tensor."""
        info = self._model.input_of.get(tensor.name)
        if info is None:
            raise InvalidRequest(
                f"inputs[{position}].name: the model {self._model.name} has no input {shown(tensor.name)}"
            )
        if info.name in feeds:
            raise InvalidRequest(f"inputs[{position}].name: {shown(info.name)} is there twice")
        return info

    def _shape(self, tensor: Message, info: TensorInfo, where: str) -> Sequence[int]:
        """Its shape, which is what the model takes, as its datatype is."""
        if tensor.datatype != info.datatype:
            raise InvalidRequest(f"{where}.datatype must be {info.datatype}, not {shown(tensor.datatype)}")
        shape = tensor.shape
        if len(shape) != len(info.shape) or shape[0] < 0 or tuple(shape[1:]) != info.shape[1:]:
            came = shown(list(shape)) if len(shape) <= len(info.shape) + 1 else f"one of {len(shape)} axes"
            raise InvalidRequest(f"{where}.shape must be {list(info.shape)}, -1 being the rows, not {came}")
        if shape[0] > self._most_rows:
            raise TooLarge(f"{where}.shape has {shape[0]} rows, and at most {self._most_rows} are taken at once")
        return tuple(shape)

    def _asked(self, asked: Sequence[Message]) -> Sequence[str]:
        if not asked:
            return self._all_outputs
        names: dict[str, None] = {}
        for index, one in enumerate(asked):
            where = f"outputs[{index}].name"
            if one.name not in self._model.output_of:
                raise InvalidRequest(f"{where}: the model {self._model.name} has no output {shown(one.name)}")
            if one.name in names:
                raise InvalidRequest(f"{where}: {shown(one.name)} is there twice")
            _check_parameters(f"outputs[{index}]", one.parameters)
            names[one.name] = None
        return tuple(names)


def parsed(kind: Any, data: bytes) -> Message:
    """A message of a class that `descriptors` makes. Raises InvalidRequest."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise broken() from error


def _raw(tensor: Message, data: bytes, shape: Sequence[int], info: TensorInfo, where: str) -> Array:
    if tensor.HasField("contents"):
        raise InvalidRequest(f"{where} has contents, and the request has raw_input_contents: send one of the two")
    return from_bytes(memoryview(data), shape, info, f"the raw contents of {where}")


def _listed(tensor: Message, shape: Sequence[int], info: TensorInfo, where: str) -> Array:
    """The elements in the one list of `contents` that has room for the datatype."""
    contents, name = tensor.contents, CONTENTS[info.datatype]
    for field, _ in contents.ListFields():
        if field.name != name:
            raise InvalidRequest(
                f"{where}.contents has {field.name}, but the elements of {info.datatype} are {name} there, or in "
                "raw_input_contents of the request"
            )
    values = getattr(contents, name)
    if len(values) != math.prod(shape):
        raise InvalidRequest(
            f"{where}.contents.{name} has {len(values)} values, but its shape {list(shape)} asks for {math.prod(shape)}"
        )
    if info.datatype == "BYTES":
        texts = [_text(one, index, where) for index, one in enumerate(values)]
        return np.array(texts, dtype=object).reshape(shape)
    # protobuf gives the array at once, of the list's own type: numpy would make it narrower without a word.
    array = np.array(values)
    if info.datatype == "UINT8" and array.max(initial=0) > MOST_UINT8:
        raise InvalidRequest(f"{where}: UINT8 are whole numbers from 0 to 255")
    return array.astype(DTYPES[info.datatype], copy=False).reshape(shape)


def _text(data: bytes, index: int, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{where}: its element {index} is no UTF-8") from error


def _check_parameters(where: str, parameters: Mapping[str, Message]) -> None:
    if not parameters:
        return
    for name, problem in REFUSED_PARAMETERS.items():
        if name in parameters:
            raise InvalidRequest(f"{where} has the parameter {name}: {problem}")


def _timeout(parameters: Mapping[str, Message]) -> float | None:
    """Triton's parameter `timeout`: microseconds; 0 for none."""
    if not parameters or "timeout" not in parameters:
        return None
    kind = parameters["timeout"].WhichOneof("parameter_choice")
    told = getattr(parameters["timeout"], kind) if kind in ("int64_param", "uint64_param") else -1
    if told < 0:
        raise InvalidRequest("parameters.timeout must be a whole number of microseconds, in int64_param")
    return told / 1e6 or None
