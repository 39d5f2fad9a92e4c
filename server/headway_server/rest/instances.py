"""Rows of raw columns by name, `{"instances": [{"age": 41, "town": null}]}`: values as people have them. Pure.

A value becomes what `headway predict` makes of the same value in a file of JSON lines.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from headway_api.bundle import ANOMALY_SCORE, LABEL, PROBABILITIES, VALUE, Input, Output
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.model import DATATYPES, DTYPES, Array, ServedModel
from headway_server.rest.request import Bounds, Document, array_of
from headway_server.transforms import transforms_of

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}([.]\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII)
_WHOLE = re.compile(r"(-?\d+)\.0+", re.ASCII)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_MOST_EXACT = 2.0**53
_SHOWN = 60
Convert = Callable[[Any], float | str]
"""A value of JSON, not null, as the model takes it. Raises ValueError, saying what is allowed."""


class Columns:
    """How the values of a model's columns are read."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._kinds, self._categories = transforms_of(model.info.data)

    def feeds(self, told: Document, bounds: Bounds) -> tuple[dict[str, Array], int]:
        """The tensors for the rows of a request, and how many rows they are. Raises InvalidRequest or TooLarge."""
        rows = told.get("instances")
        if not isinstance(rows, list) or not rows:
            raise InvalidRequest('instances must be a list of rows, each an object like {"column": value}')
        if len(rows) > bounds.rows:
            raise TooLarge(f"instances has {len(rows)} rows, and at most {bounds.rows} are taken at once")
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                raise InvalidRequest(f"instances[{index}] must be an object with the columns of a row by their names")
        feeds = {one.name: self._column(one, rows) for one in self._model.signature.inputs}
        return feeds, self._model.check(feeds)

    def _column(self, told: Input, rows: list[dict[str, Any]]) -> Array:
        name = told.column
        if not any(name in row for row in rows):
            raise InvalidRequest(
                f"instances: no row has the column {name!r}, which the model takes: give it, with null where it has no "
                "value"
            )
        shape = [len(rows), *told.shape]
        convert = self._convert(told)
        values: list[float | str] = []
        for index, row in enumerate(rows):
            cells = _cells(row.get(name), told.shape, f"instances[{index}].{name}")
            values += [_value(one, told, convert, f"instances[{index}].{name}") for one in cells]
        if told.type == "uint8":
            return array_of(values, "UINT8", f"instances: {name}", missing=False).reshape(shape)
        with np.errstate(over="ignore"):
            return np.array(values, dtype=DTYPES[DATATYPES[told.type]]).reshape(shape)

    def _convert(self, told: Input) -> Convert:
        kind = self._kinds.get(told.column)
        if told.type == "string":
            known = self._categories.get(told.column)
            return (lambda value: _category(value, known)) if known is not None else _text
        if told.type == "uint8":
            return _byte
        return {"time": _time, "boolean": _boolean}.get(kind or "", _number)


def predictions(outputs: Mapping[str, Array], model: ServedModel) -> list[dict[str, Any]]:
    """An object for each row: the label and the probabilities of the classes, or values by the names of their targets,
    or the anomaly score and the reconstructed values; of a forecast, `steps`: such an object for each step."""
    told: dict[str, Output] = {one.name: one for one in model.signature.outputs}
    if LABEL in outputs:
        names = told[PROBABILITIES].names
        return [
            {LABEL: label, PROBABILITIES: dict(zip(names, _finite(of_classes), strict=True))}
            for label, of_classes in zip(outputs[LABEL].tolist(), outputs[PROBABILITIES].tolist(), strict=True)
        ]
    rows = _named(outputs[VALUE], told[VALUE]) if VALUE in outputs else [{} for _ in outputs[ANOMALY_SCORE]]
    if ANOMALY_SCORE not in outputs:
        return rows
    scores = _finite(outputs[ANOMALY_SCORE].tolist())
    return [
        {ANOMALY_SCORE: score} | {f"reconstructed.{name}": value for name, value in row.items()}
        for score, row in zip(scores, rows, strict=True)
    ]


def _named(values: Array, told: Output) -> list[dict[str, Any]]:
    names = told.names
    if not names:
        return [{VALUE: _finite(row)} for row in values.tolist()]
    if values.ndim == 2:  # noqa: PLR2004 - rows and targets
        return [dict(zip(names, _finite(row), strict=True)) for row in values.tolist()]
    return [{"steps": [dict(zip(names, _finite(step), strict=True)) for step in row]} for row in values.tolist()]


def _finite(values: Any) -> Any:
    """Numbers as JSON has them: what is not finite is null, as in the lines of `headway predict`."""
    if isinstance(values, list):
        return [_finite(one) for one in values]
    return values if math.isfinite(values) else None


def _cells(value: Any, shape: list[int], where: str) -> list[Any]:
    """The values of one row of a column: lists in lists, by the shape. A whole row may be null."""
    count = math.prod(shape)
    if value is None:
        return [None] * count
    if shape == [1] and not isinstance(value, list):
        return [value]
    cells = [value]
    for size in shape:
        if any(not isinstance(one, list) or len(one) != size for one in cells):
            raise InvalidRequest(f"{where} must be lists of the shape {shape}")
        cells = [inner for one in cells for inner in one]
    return cells


def _value(value: Any, told: Input, convert: Convert, where: str) -> float | str:
    if value is None:
        if told.missing is None and told.type == "uint8":
            raise InvalidRequest(f"{where} is null, and the model was trained without missing values there")
        return "" if told.type == "string" else math.nan
    try:
        return convert(value)
    except ValueError as error:
        shown = repr(value)
        raise InvalidRequest(f"{where} is {shown[:_SHOWN]}, but must be {error}, or null") from error


def _number(value: Any) -> float:
    if type(value) in (int, float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        number = float(value)
        if math.isfinite(number):
            return number
    raise ValueError("a number")


def _byte(value: Any) -> int:
    if type(value) is int:
        return value
    raise ValueError("a whole number from 0 to 255")


def _boolean(value: Any) -> float:
    text = str(_text(value)).lower()
    if text in _TRUE:
        return 1.0
    if text in _FALSE:
        return 0.0
    raise ValueError("true or false")


def _time(value: Any) -> float:
    """Microseconds since 1970, UTC, which a time without a zone is in."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            time = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a time that the calendar has, in ISO 8601") from None
        time = time if time.tzinfo is not None else time.replace(tzinfo=datetime.UTC)
        return float((time - _EPOCH) // _MICROSECOND)
    raise ValueError("a time in ISO 8601, like 2024-05-01 or 2024-05-01T12:30:00Z")


def _text(value: Any) -> str:
    """Numbers and booleans as the names that they are in a column of names: 7.0 is 7."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and abs(value) < _MOST_EXACT and value == math.floor(value):
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("text")


def _category(value: Any, known: frozenset[str]) -> str:
    """Also a text like `7.0` is 7, where that is the category that is known."""
    name = _text(value)
    if name in known:
        return name
    whole = _WHOLE.fullmatch(name)
    return whole[1] if whole is not None and whole[1] in known else name
