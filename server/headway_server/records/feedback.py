"""Labels that come later, for requests by their ids: read, and held against what the model could have said. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import orjson

from headway_api.bundle import ANOMALY_SCORE, LABEL, PROBABILITIES, VALUE, Output
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.model import ServedModel
from headway_server.records.record import moment
from headway_server.rest.request import MOST_ID
from headway_server.tensors import shown

MOST_ENTRIES = 500
"""Of one request."""
MOST_LABELS = 1000
"""Of one entry: those of a request's rows, in their order."""
MOST_BYTES = 1024 * 1024
"""Of the JSON."""
_FIELDS = frozenset({"id", "label"})


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was right for the rows of one request."""

    id: str
    labels: list[Any]
    """One for each row: a class, a number, an object of numbers by targets, or whether it was an anomaly."""


class Labels:
    """Reads labels for one model. Raises InvalidRequest where it is one that no label can be given for."""

    def __init__(self, model: ServedModel) -> None:
        told: dict[str, Output] = {one.name: one for one in model.signature.outputs}
        self._classes = frozenset(told[PROBABILITIES].names) if LABEL in told else None
        self._anomalies = ANOMALY_SCORE in told
        self._targets = told[VALUE].names or [VALUE] if VALUE in told else []
        self._forecast = model.signature.history is not None

    def read(self, data: bytes) -> list[Feedback]:
        """The entries of a body: `{"id": ..., "label": ...}`, or a list of such objects. None counts where one is
        wrong. Raises InvalidRequest or TooLarge, naming it."""
        if self._forecast:
            raise InvalidRequest("labels for forecasts are not taken")
        if len(data) > MOST_BYTES:
            raise TooLarge(f"the JSON has {len(data)} bytes, and at most {MOST_BYTES} are read: send fewer labels")
        try:
            told = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"the body is no JSON: {error}") from error
        if not isinstance(told, list):
            return [self._entry(told, "the body")]
        if not 0 < len(told) <= MOST_ENTRIES:
            raise InvalidRequest(f"the list must have 1 to {MOST_ENTRIES} entries, not {len(told)}")
        return [self._entry(one, f"[{index}]") for index, one in enumerate(told)]

    def _entry(self, told: Any, where: str) -> Feedback:
        if not isinstance(told, dict) or told.keys() != _FIELDS:
            raise InvalidRequest(f'{where} must be an object with the fields "id" and "label", and no other')
        request_id, label = told["id"], told["label"]
        if not isinstance(request_id, str) or not 0 < len(request_id) <= MOST_ID:
            raise InvalidRequest(f"{where}.id must be the id of a request: text of 1 to {MOST_ID} characters")
        if not isinstance(label, list):
            return Feedback(request_id, [self._label(label, f"{where}.label")])
        if not 0 < len(label) <= MOST_LABELS:
            raise InvalidRequest(f"{where}.label must be one label, or a list of 1 to {MOST_LABELS} for rows in order")
        return Feedback(request_id, [self._label(one, f"{where}.label[{index}]") for index, one in enumerate(label)])

    def _label(self, value: Any, where: str) -> Any:
        if self._classes is not None:
            name = _class(value)
            if name not in self._classes:
                some = ", ".join(sorted(self._classes)[:20])
                raise InvalidRequest(f"{where} is {shown(value)}, which is no class of the model; they are: {some}")
            return name
        if self._anomalies:
            if not isinstance(value, bool):
                raise InvalidRequest(f"{where} is {shown(value)}, but must be whether it was an anomaly: true or false")
            return value
        if len(self._targets) == 1 and not isinstance(value, dict):
            value = {self._targets[0]: value}
        if not isinstance(value, dict) or value.keys() != set(self._targets):
            raise InvalidRequest(f"{where} must be an object with a number for each of {', '.join(self._targets[:20])}")
        return {name: _number(one, f"{where}.{name}") for name, one in value.items()}


def line(model: ServedModel, time: float, told: Feedback) -> bytes:
    """An entry as a line of JSON."""
    return orjson.dumps(
        {"kind": "feedback", "time": moment(time), "model": model.name, "id": told.id, "labels": told.labels},
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _class(value: Any) -> str:
    """A class's name as JSON may have it: 7, true and "7" are names of classes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(f"{where} is {shown(value)}, but must be a number")
    return float(value)
