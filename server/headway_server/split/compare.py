"""Whether two versions answer alike. Pure.

Where an answer has texts, which are the labels of a classification, these alone decide: probabilities of a model that
was trained anew always differ. Else numbers decide: they are alike where they differ by no more than the tolerance,
relatively to the larger of the two. A request is answered alike where all its rows are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from headway_server.errors import InvalidRequest
from headway_server.model import DTYPES, Array, TensorInfo
from headway_server.tensors import from_bytes

MOST_BYTES = 256 * 1024
"""Of an answer that is compared: a longer one would keep the event loop for long."""


@dataclass(frozen=True)
class Seen:
    """What an answer says."""

    labels: list[Any]
    numbers: Array
    """All numbers in one axis; what is null in JSON is NaN."""


def alike(one: Seen, other: Seen, tolerance: float) -> bool:
    """Whether two answers to a request are."""
    if one.labels or other.labels:
        return one.labels == other.labels
    a, b = one.numbers, other.numbers
    if a.shape != b.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))
    return bool(np.all(near | (a == b) | (np.isnan(a) & np.isnan(b))))


def of_json(body: bytes, header_length: int | None) -> Seen:
    """What an answer by REST says: tensors of `infer`, or the objects of `:predict`. Raises ValueError."""
    told = orjson.loads(body if header_length is None else body[:header_length])
    if not isinstance(told, dict):
        raise ValueError("an answer is a JSON object")
    if "outputs" not in told:
        return _sorted(_leaves(told.get("predictions")))
    tail = memoryview(b"") if header_length is None else memoryview(body)[header_length:]
    return of_tensors(_tensors(told["outputs"], tail))


def of_tensors(tensors: Mapping[str, Array]) -> Seen:
    """What outputs say, by their names."""
    labels: list[Any] = []
    numbers: list[Array] = []
    for name in sorted(tensors):
        array = tensors[name].ravel()
        if array.dtype == object:
            labels += array.tolist()
        else:
            numbers.append(array.astype(np.float64))
    return Seen(labels, np.concatenate(numbers) if numbers else np.zeros(0))


def tensor(name: str, datatype: str, shape: list[int], data: memoryview) -> Array:
    """A binary output. Raises ValueError."""
    if datatype not in DTYPES or any(size < 0 for size in shape):
        raise ValueError(f"an output of {datatype[:20]} cannot be read")
    try:
        return from_bytes(data, shape, TensorInfo(name, datatype, tuple(shape)), name)
    except InvalidRequest as error:
        raise ValueError(str(error)) from error


def _tensors(outputs: Any, tail: memoryview) -> dict[str, Array]:
    found: dict[str, Array] = {}
    at = 0
    for one in outputs if isinstance(outputs, list) else []:
        try:
            name, datatype, shape = str(one["name"]), str(one["datatype"]), [int(size) for size in one["shape"]]
            size = one["parameters"]["binary_data_size"] if "data" not in one else None
        except (KeyError, TypeError) as error:
            raise ValueError("an output has a name, a datatype, a shape and data") from error
        if size is None:
            seen = _sorted(_leaves(one["data"]))
            found[name] = np.array(seen.labels, dtype=object) if datatype == "BYTES" else seen.numbers
        else:
            if type(size) is not int or not 0 <= size <= len(tail) - at:
                raise ValueError("an output goes beyond the end of the answer")
            found[name] = tensor(name, datatype, shape, tail[at : at + size])
            at += size
    return found


def _sorted(leaves: Iterator[Any]) -> Seen:
    labels: list[Any] = []
    numbers: list[float] = []
    for leaf in leaves:
        if isinstance(leaf, str | bool):
            labels.append(leaf)
        else:
            numbers.append(math.nan if leaf is None else float(leaf))
    return Seen(labels, np.array(numbers, np.float64))


def _leaves(value: Any) -> Iterator[Any]:
    """The values in lists and objects, in an order that does not depend on that of names; without recursion."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack += [one[name] for name in sorted(one, reverse=True)]
        elif isinstance(one, list):
            stack += reversed(one)
        else:
            yield one
