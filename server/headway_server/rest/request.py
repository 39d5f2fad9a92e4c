"""An inference request of the Open Inference Protocol v2 as tensors: JSON, JSON with binary tensors, or raw. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson

from headway_server.errors import InvalidRequest, TooLarge
from headway_server.model import DTYPES, Array, ServedModel, TensorInfo
from headway_server.tensors import from_bytes, shown

MOST_ID, MOST_PARAMETERS, MOST_AXES, MOST_ITEMS = 256, 64, 16, 100_000
_REFUSED = ("shared_memory_region", "classification", "shared_memory_byte_size")
"""Parameters of Triton's that would change the answer, and are not known here."""
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Bounds:
    """How much one request may hold."""

    json_bytes: int = 4 * 1024 * 1024
    """Of JSON, whose objects take some twenty times as much memory: larger requests are binary."""
    containers: int = 262_144
    """Lists and objects of the JSON."""
    rows: int = 65_536
    """Rows."""
    values: int = 4_194_304
    """Values of the answer: rows times what each has of all outputs."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks for."""

    feeds: dict[str, Array]
    rows: int
    id: str | None
    outputs: Mapping[str, bool]
    """The outputs that it wants, in their order, and whether each is to be binary."""
    timeout: float | None = None
    """Seconds after which it does not want them any more."""


def decode(body: bytes, header_length: int | None, model: ServedModel, bounds: Bounds) -> InferRequest:
    """The request in a body. header_length: how many of its bytes are JSON, as the header says; None for all of them.

    Raises InvalidRequest or TooLarge, whose message names the field.
    """
    if header_length is None:
        told, tail = document(body, bounds), memoryview(b"")
    elif header_length == 0:
        return _raw(body, model, bounds)
    elif header_length > len(body):
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {header_length}, but the body has {len(body)} bytes: it is how many "
            "of them are JSON"
        )
    else:
        told, tail = document(memoryview(body)[:header_length], bounds), memoryview(body)[header_length:]
    parameters = _parameters(told, "parameters")
    if parameters.get("explain"):
        raise InvalidRequest(
            f"parameters.explain: effects are told of rows by their columns: POST /v1/models/{model.name}:predict"
        )
    name = request_id(told)
    feeds = _feeds(told, tail, model, bounds)
    return InferRequest(
        feeds,
        model.check(feeds),
        name,
        _outputs(told, model, binary=parameters.get("binary_data_output") is True),
        _timeout(parameters),
    )


def request_id(told: Document) -> str | None:
    """The id that a request gives itself. Raises InvalidRequest."""
    name = told.get("id")
    if name is not None and (not isinstance(name, str) or len(name) > MOST_ID):
        raise InvalidRequest(f"id must be text of at most {MOST_ID} characters")
    return name


def document(text: bytes | memoryview, bounds: Bounds) -> Document:
    """The JSON object of a request. Raises InvalidRequest or TooLarge."""
    if len(text) > bounds.json_bytes:
        raise TooLarge(
            f"the JSON has {len(text)} bytes, and at most {bounds.json_bytes} are read: send binary tensors, or fewer "
            "rows at once"
        )
    data = bytes(text)
    if data.count(b"[") + data.count(b"{") > bounds.containers:
        raise TooLarge(f"the JSON has more than {bounds.containers} lists and objects: send flat data, or fewer rows")
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise InvalidRequest("the body must be a JSON object")
    return told


def _feeds(told: Document, tail: memoryview, model: ServedModel, bounds: Bounds) -> dict[str, Array]:
    tensors = told.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise InvalidRequest("inputs must be a list of tensors, and is missing or empty")
    if len(tensors) > len(model.inputs):
        raise InvalidRequest(f"inputs has {len(tensors)} tensors, but the model takes {len(model.inputs)}")
    feeds: dict[str, Array] = {}
    at = 0
    for index, tensor in enumerate(tensors):
        info = _info(tensor, index, model)
        if info.name in feeds:
            raise InvalidRequest(f"inputs[{index}].name: {shown(info.name)} is there twice")
        where = f"inputs[{index}] ({shown(info.name)})"
        shape = _shape(tensor, info, where, bounds)
        size = _parameters(tensor, where).get("binary_data_size")
        if size is None:
            feeds[info.name] = _from_json(tensor.get("data"), shape, info, where, missing=info.name in model.may_miss)
        else:
            feeds[info.name] = from_bytes(_part(tensor, size, tail, at, where), shape, info, where)
            at += size
    if at != len(tail):
        raise InvalidRequest(f"{len(tail) - at} bytes of the body are left after the last binary tensor")
    return feeds


def _info(tensor: Any, index: int, model: ServedModel) -> TensorInfo:
    if not isinstance(tensor, dict):
        raise InvalidRequest(f"inputs[{index}] must be an object")
    name = tensor.get("name")
    info = model.input_of.get(name) if isinstance(name, str) else None
    if info is None:
        raise InvalidRequest(f"inputs[{index}].name: the model {model.name} has no input {shown(name)}")
    return info


def _part(tensor: Document, size: Any, tail: memoryview, at: int, where: str) -> memoryview:
    """The bytes of a binary tensor: the next ones of the tail."""
    if "data" in tensor:
        raise InvalidRequest(f"{where} has both data and binary_data_size: leave one of them out")
    if type(size) is not int or not 0 <= size <= len(tail) - at:
        raise InvalidRequest(
            f"{where}.parameters.binary_data_size is {shown(size)}, but {len(tail) - at} bytes of the body are left "
            "for it after the JSON, whose length Inference-Header-Content-Length says"
        )
    return tail[at : at + size]


def _shape(tensor: Document, info: TensorInfo, where: str, bounds: Bounds) -> list[int]:
    datatype = tensor.get("datatype")
    if datatype != info.datatype:
        raise InvalidRequest(f"{where}.datatype must be {info.datatype}, not {shown(datatype)}")
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > MOST_AXES
        or not shape
        or {*map(type, shape)} != {int}
        or tuple(shape[1:]) != info.shape[1:]
        or shape[0] < 0
    ):
        raise InvalidRequest(f"{where}.shape must be {list(info.shape)}, -1 being the rows, not {shown(shape)}")
    if shape[0] > bounds.rows:
        raise TooLarge(f"{where}.shape has {shape[0]} rows, and at most {bounds.rows} are taken at once")
    return shape


def _from_json(data: Any, shape: list[int], info: TensorInfo, where: str, *, missing: bool) -> Array:
    """An array of flat or nested lists."""
    if not isinstance(data, list):
        raise InvalidRequest(f"{where}.data must be a list of values")
    if data and isinstance(data[0], list):
        data = _flat(data, shape, where)
    if len(data) != math.prod(shape):
        raise InvalidRequest(f"{where}.data has {len(data)} values, but its shape {shape} asks for {math.prod(shape)}")
    return array_of(data, info.datatype, where, missing=missing).reshape(shape)


def _flat(data: list[Any], shape: list[int], where: str) -> list[Any]:
    """The values of nested lists, each axis of the length that the shape tells."""
    sizes = iter(shape)
    if len(data) != next(sizes, None):
        raise InvalidRequest(f"{where}.data has {len(data)} rows, but its shape is {shape}")
    for size in sizes:
        if {*map(type, data)} - {list} or {*map(len, data)} - {size}:
            raise InvalidRequest(f"{where}.data is nested in another way than its shape {shape}")
        data = list(chain.from_iterable(data))
    return data


def array_of(values: list[Any], datatype: str, where: str, *, missing: bool) -> Array:
    """Values of JSON as an array (values,). missing: whether null is a value that is not there. Raises InvalidRequest.

    The types are looked at first: numpy would make numbers of text, and one long text would lengthen all of them.
    """
    kinds = {*map(type, values)}
    if missing and type(None) in kinds:
        kinds.discard(type(None))
        if datatype == "BYTES":
            values = ["" if one is None else one for one in values]
    if datatype == "BYTES":
        if kinds - {str}:
            raise InvalidRequest(f"{where}: {_odd(values, (str,))} is no text, which BYTES are in JSON")
        return np.array(values, dtype=object)
    if datatype == "UINT8":
        if kinds - {int} or (values and not 0 <= min(values) <= max(values) <= 255):  # noqa: PLR2004 - of a byte
            raise InvalidRequest(f"{where}: UINT8 are whole numbers from 0 to 255")
        return np.array(values, dtype=np.uint8)
    if kinds - {int, float}:
        null = "; null is not allowed here" if type(None) in kinds else ""
        allowed = (int, float, type(None)) if missing else (int, float)
        raise InvalidRequest(f"{where}: {_odd(values, allowed)} is no number, which {datatype} are{null}")
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=DTYPES[datatype])
    if np.isinf(array).any():
        raise InvalidRequest(f"{where}: a number is too large for {datatype}")
    return array


def _raw(body: bytes, model: ServedModel, bounds: Bounds) -> InferRequest:
    """A body that is the model's only input, and nothing else: as many rows as it has bytes for. BYTES are one text."""
    if len(model.inputs) != 1:
        raise InvalidRequest(
            f"Inference-Header-Content-Length is 0, so the body is one tensor, but the model takes {len(model.inputs)}"
        )
    info = model.inputs[0]
    sizes = info.shape[1:]
    if info.datatype == "BYTES":
        if math.prod(sizes) != 1:
            raise InvalidRequest(f"a raw request can be one text, but {info.name!r} takes {math.prod(sizes)} a row")
        try:
            feeds: dict[str, Array] = {info.name: np.array([str(body, "utf-8")], dtype=object).reshape(1, *sizes)}
        except UnicodeDecodeError as error:
            raise InvalidRequest("the body is no UTF-8") from error
    else:
        row = DTYPES[info.datatype].itemsize * math.prod(sizes)
        rows = len(body) // max(1, row)
        if rows > bounds.rows:
            raise TooLarge(f"the body has {rows} rows, and at most {bounds.rows} are taken at once")
        if rows * row != len(body):
            raise InvalidRequest(f"the body has {len(body)} bytes, but a row of {info.name!r} has {row}")
        feeds = {info.name: from_bytes(memoryview(body), [rows, *sizes], info, "the body")}
    return InferRequest(feeds, model.check(feeds), None, dict.fromkeys((one.name for one in model.outputs), True))


def _outputs(told: Document, model: ServedModel, *, binary: bool) -> Mapping[str, bool]:
    asked = told.get("outputs")
    if asked is None or asked == []:
        return model.all_binary if binary else model.all_json
    if not isinstance(asked, list):
        raise InvalidRequest("outputs must be a list of objects")
    found: dict[str, bool] = {}
    for index, one in enumerate(asked[: len(model.outputs) + 1]):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or name not in model.all_json:
            raise InvalidRequest(f"outputs[{index}].name: the model {model.name} has no output {shown(name)}")
        if name in found:
            raise InvalidRequest(f"outputs[{index}].name: {shown(name)} is there twice")
        own = _parameters(one, f"outputs[{index}]").get("binary_data", binary)
        if not isinstance(own, bool):
            raise InvalidRequest(f"outputs[{index}].parameters.binary_data must be true or false")
        found[name] = own
    return found


def _parameters(told: Document, where: str) -> Document:
    parameters = told.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict) or len(parameters) > MOST_PARAMETERS:
        raise InvalidRequest(f"{where}: parameters must be an object with at most {MOST_PARAMETERS} of them")
    for name, value in parameters.items():
        if value is not None and not isinstance(value, str | int | float):
            raise InvalidRequest(f"{where}: the parameter {shown(name)} must be text, a number, true or false")
        if name in _REFUSED:
            raise InvalidRequest(f"{where}: the parameter {name} is not known here: leave it out")
    return parameters


def _timeout(parameters: Document) -> float | None:
    """Triton's parameter `timeout`: microseconds."""
    told = parameters.get("timeout")
    if told is None:
        return None
    if type(told) is not int or told < 0:
        raise InvalidRequest("parameters.timeout must be a whole number of microseconds")
    return told / 1e6 if told else None


def _odd(values: list[Any], allowed: tuple[type, ...]) -> str:
    return shown(next(one for one in values if type(one) not in allowed))
