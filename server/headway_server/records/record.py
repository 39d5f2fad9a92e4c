"""One record: what is taken of an answered request at once, and the line of JSON that it becomes later. Pure."""

from __future__ import annotations

import datetime
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from headway_api.bundle import ANOMALY_SCORE, LABEL, VALUE
from headway_server.model import Array, ServedModel, Tensors
from headway_server.rest.instances import predictions

Payloads = Literal["none", "inputs", "all"]
MOST_ROWS = 100
"""Rows of a request that are kept: its first ones."""
MOST_RECORD_BYTES = 256 * 1024
"""Of a record's tensors. Of a request with longer rows fewer are kept, or none."""
MIB = 1024 * 1024
_SPACE = 2**32


@dataclass(frozen=True)
class RecordSettings:
    """What is kept of requests, and where."""

    sample: float = 0.1
    """The share of requests of which a record is kept; which they are follows from their ids."""
    payloads: Payloads = "none"
    """Beside the prediction: nothing, the columns, or these and all outputs."""
    mask: tuple[str, ...] = ()
    """Columns that are never kept."""
    folder: str | None = None
    """Where files are written; standard output if None."""
    max_bytes: int = 1024 * MIB
    """Of all files in the folder, about: the oldest go."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is kept of one request until it is written: copies, which hold nothing else in memory."""

    time: float
    protocol: str
    id: str
    seconds: float
    rows: int
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    size: int
    """Bytes that it holds, about."""


def sampled(request_id: str, share: float) -> bool:
    """Whether a request is one of the sample: the same for the same id, wherever it is asked."""
    return zlib.crc32(request_id.encode("utf-8", "surrogatepass")) < share * _SPACE


def take(
    model: ServedModel, settings: RecordSettings, feeds: Tensors, outputs: Tensors, told: tuple[float, str, str, float]
) -> Taken:
    """Copies of what is to be kept. told: time, protocol, id, seconds."""
    rows = len(next(iter(outputs.values())))
    kept, size = _bounded({name: outputs[name] for name in _wanted(settings, outputs)}, rows)
    columns, more = _bounded({} if settings.payloads == "none" else _columns(model, settings, feeds), rows)
    time, protocol, request_id, seconds = told
    return Taken(time, protocol, request_id, seconds, rows, columns, kept, 512 + size + more)


def line(model: ServedModel, settings: RecordSettings, taken: Taken) -> bytes:
    """The record as a line of JSON. Numbers that are not finite are null."""
    told: dict[str, Any] = {
        "kind": "request",
        "time": moment(taken.time),
        "model": model.name,
        "version": model.version,
        "digest": model.bundle_digest,
        "id": taken.id,
        "protocol": taken.protocol,
        "seconds": taken.seconds,
        "rows": taken.rows,
        "predictions": _predictions(model, settings, taken.outputs),
    }
    if settings.payloads != "none":
        told["inputs"] = _rows_of(taken.inputs)
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def moment(time: float) -> str:
    """Seconds since 1970 as RFC 3339, UTC."""
    return datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def size_of(array: Array) -> int:
    """Bytes of its contents, about."""
    texts = sum(49 + 4 * len(text) for text in array.ravel().tolist()) if array.dtype == object else 0
    return int(array.nbytes) + texts


def _wanted(settings: RecordSettings, outputs: Tensors) -> list[str]:
    """The outputs that are kept. A reconstruction tells what its inputs were."""
    if LABEL in outputs and settings.payloads != "all":
        return [LABEL]
    if ANOMALY_SCORE in outputs and (settings.payloads != "all" or settings.mask):
        return [ANOMALY_SCORE]
    return list(outputs)


def _bounded(arrays: Mapping[str, Array], rows: int) -> tuple[dict[str, Array], int]:
    """Copies of the first rows, and their bytes: of as many rows as there is room for by their mean; none where those
    have still not."""
    most = min(rows, MOST_ROWS)
    size = _size(arrays, most)
    if size > MOST_RECORD_BYTES:
        most = most * MOST_RECORD_BYTES // size
        size = _size(arrays, most)
    if size > MOST_RECORD_BYTES:
        most = size = 0
    return {name: array[:most].copy() for name, array in arrays.items()}, size


def _size(arrays: Mapping[str, Array], rows: int) -> int:
    return sum(size_of(array[:rows]) for array in arrays.values())


def _columns(model: ServedModel, settings: RecordSettings, feeds: Tensors) -> dict[str, Array]:
    return {one.column: feeds[one.name] for one in model.signature.inputs if one.column not in settings.mask}


def _predictions(model: ServedModel, settings: RecordSettings, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """An object for each row that is kept, as `:predict` answers; without payloads the label, value or score alone."""
    if LABEL in outputs and settings.payloads != "all":
        return [{LABEL: label} for label in outputs[LABEL].tolist()]
    if VALUE not in outputs and ANOMALY_SCORE in outputs:
        return [{ANOMALY_SCORE: score} for score in outputs[ANOMALY_SCORE].tolist()]
    return predictions(outputs, model)


def _rows_of(columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Rows by the names of their columns, as the model takes their values."""
    lists: dict[str, Sequence[Any]] = {
        name: (array.reshape(-1) if array.shape[1:] == (1,) else array).tolist() for name, array in columns.items()
    }
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
