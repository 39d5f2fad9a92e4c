"""An answer of the Open Inference Protocol v2 from tensors: JSON, with binary tensors behind it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from headway_server.errors import NotFinite
from headway_server.model import Array, ServedModel
from headway_server.rest.request import InferRequest
from headway_server.tensors import to_bytes

_JSON = "application/json"
_BINARY = "application/octet-stream"


class Answer(NamedTuple):
    """A body with what its headers say of it."""

    body: bytes
    content_type: str = _JSON
    header_length: int | None = None
    """How many bytes of it are JSON, where there are others behind them."""
    status: int = 200
    version: bytes = b""
    """Of the model that gave it; empty: this server's."""
    more: tuple[tuple[bytes, bytes], ...] = ()
    """Further headers."""


def encode(request: InferRequest, outputs: Mapping[str, Array], model: ServedModel) -> Answer:
    """The outputs that the request asks for. Raises NotFinite for numbers that JSON does not have."""
    tensors: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, binary in request.outputs.items():
        array = outputs[name]
        told: dict[str, Any] = {"name": name, "datatype": model.output_of[name].datatype, "shape": array.shape}
        if binary:
            data = to_bytes(array)
            raw.append(data)
            told["parameters"] = {"binary_data_size": len(data)}
        else:
            told["data"] = _values(array, name)
        tensors.append(told)
    said: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request.id is not None:
        said["id"] = request.id
    said["outputs"] = tensors
    text = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    return Answer(b"".join((text, *raw)), _BINARY, len(text)) if raw else Answer(text)


def _values(array: Array, name: str) -> Any:
    """The values, flat, as orjson takes them."""
    if array.dtype == object:
        return array.ravel().tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFinite(
            f"the output {name!r} has numbers that are not finite, which JSON has not: ask for binary tensors, with "
            "the parameter binary_data_output"
        )
    # orjson reads memory: a part of a batch is a view of it.
    return np.ascontiguousarray(array).ravel()
