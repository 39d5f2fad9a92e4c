"""Rows like those that a model was trained on, made of what reference.json tells of each column by itself. Pure.

They are no rows of the data: a bundle has none. Their values are usual ones, so that a run takes the time that it will
take, and a row of the medians and the most frequent values is what others are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from headway_api.bundle import Input
from headway_api.training_rows import Numbers, Reference, Values
from headway_server.model import DATATYPES, DTYPES, Array, ServedModel, Tensors
from headway_server.transforms import transforms_of

_QUANTILES = ("0.5", "0.25", "0.75", "0.05", "0.95")
"""Which number each row in turn has; the first is the middle."""
_WORDS = 20
"""Of a text, of which only the words are known."""
_BYTE = 255
TEXTS = ("text", "tokens")
"""Kinds of columns of which the words are described."""
_BOOLEANS = frozenset({"true", "false"})
Described = Mapping[str, Numbers | Values]


def typical_rows(model: ServedModel, most: int) -> list[Tensors]:
    """Some rows, one each, at most so many and at least one: the first has medians and the most frequent values. Of
    what nothing is known it has zeros and empty texts."""
    reference = model.reference or Reference(rows=0, seen=0, features=[], target=[])
    described = {one.name: one for one in reference.features}
    kinds, _ = transforms_of(model.info.data)
    inputs = model.signature.inputs
    if len(inputs) == 1 and inputs[0].column not in described:
        # An array: its features have names of their own, in the order of its places.
        described = {f"{inputs[0].column}[{index}]": one for index, one in enumerate(reference.features)}
    count = min(max(1, most), len(_QUANTILES)) if described else 1
    return [
        {one.name: _value(one, described, turn, whole=kinds.get(one.column) in TEXTS) for one in inputs}
        for turn in range(count)
    ]


def _value(told: Input, described: Described, turn: int, *, whole: bool) -> Array:
    """One row of an input. whole: whether it is a text, of which the words are described."""
    shape = (1, *told.shape)
    if told.type == "string":
        return np.full(shape, _text(described.get(told.column), turn, whole=whole), dtype=object)
    values = _numbers(told, described, turn)
    if told.type == "uint8":
        values = np.clip(np.rint(values), 0, _BYTE)
    return np.broadcast_to(values, shape).astype(DTYPES[DATATYPES[told.type]])


def _numbers(told: Input, described: Described, turn: int) -> Array:
    """What fills the shape of a row: one number for all, one for each place, or one for each channel."""
    own = described.get(told.column)
    if own is not None:
        return np.array(_number(own, turn))
    size = math.prod(told.shape)
    places = [described.get(f"{told.column}[{index}]") for index in range(size)]
    found = [0.0 if one is None else _number(one, turn) for one in places]
    if len(told.shape) == 3:  # noqa: PLR2004 - channels, height and width: what is described is the channels
        return np.array(found[: told.shape[0]]).reshape(told.shape[0], 1, 1)
    return np.array(found).reshape(told.shape)


def _number(told: Numbers | Values, turn: int) -> float:
    if isinstance(told, Numbers):
        return told.quantiles.get(_QUANTILES[turn], 0.0)
    values = list(told.counts)
    chosen = values[turn % len(values)] if values else ""
    return float(chosen == "true") if chosen in _BOOLEANS else 0.0


def _text(told: Numbers | Values | None, turn: int, *, whole: bool) -> str:
    values = list(told.counts) if isinstance(told, Values) else []
    if whole:
        return " ".join(values[:_WORDS])
    return values[turn % len(values)] if values else ""
