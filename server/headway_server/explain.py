"""How much each column of a row moves what the model says of it: by ablation, one column at a time. Pure.

A column is given the value that is usual in the training rows (the median, or the most frequent value, of
reference.json; no text for a text), and the others are left as they are. The effect is what the model says of the row
less what it says then: of the class that it takes for the likeliest, the probability; of a target, the value; or the
anomaly score. This is occlusion with a fixed baseline (M. Robnik-Sikonja and I. Kononenko, Explaining Classifications
for Individual Instances, 2008; M. Zeiler and R. Fergus, 2014, of images). Effects do not add up to anything, and of
columns that say the same each may have an effect of nearly 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headway_api.bundle import ANOMALY_SCORE, LABEL, PROBABILITIES, VALUE
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.model import Array, ServedModel, Tensors
from headway_server.transforms import transforms_of
from headway_server.typical import TEXTS, typical_rows

MOST_COLUMNS = 100
MOST_ROWS = 4096
"""Rows that the model is run on for one request: those that came, once more for each column."""
Effects = dict[str, Any]


class Explainer:
    """Explains the answers of one model."""

    def __init__(self, model: ServedModel) -> None:
        self._signature = model.signature
        self._columns = [one.column for one in model.signature.inputs]
        self._problem = _problem(model)
        if self._problem is None:
            kinds, _ = transforms_of(model.info.data)
            self._usual = dict(typical_rows(model, 1)[0])
            for one in model.signature.inputs:
                if kinds.get(one.column) in TEXTS:
                    self._usual[one.name] = np.full((1, *one.shape), "", dtype=object)

    def widened(self, feeds: Tensors, rows: int) -> dict[str, Array]:
        """These rows, and behind them the same once more for each column, with its usual value.

        Raises InvalidRequest where the model cannot be explained, and TooLarge.
        """
        if self._problem is not None:
            raise InvalidRequest(f"explain: {self._problem}")
        count = len(self._columns)
        if rows * (count + 1) > MOST_ROWS:
            raise TooLarge(
                f"explain: {rows} rows of {count} columns are {rows * (count + 1)} rows for the model, and at most "
                f"{MOST_ROWS} are run for one request: send fewer rows"
            )
        wide: dict[str, Array] = {}
        for index, (name, array) in enumerate((one.name, feeds[one.name]) for one in self._signature.inputs):
            wide[name] = np.concatenate([array] * (count + 1))
            start = (index + 1) * rows
            wide[name][start : start + rows] = self._usual[name]
        return wide

    def effects(self, outputs: Tensors, rows: int) -> list[Effects]:
        """Of each row, by columns; of several targets, by these first. outputs: for widened rows."""
        if LABEL in outputs:
            names = next(one.names for one in self._signature.outputs if one.name == PROBABILITIES)
            chosen = [names.index(label) for label in outputs[LABEL][:rows].tolist()]
            scores = _by_column(outputs[PROBABILITIES], rows)
            return [self._row(scores[:, row, chosen[row]]) for row in range(rows)]
        if ANOMALY_SCORE in outputs:
            return [self._row(each) for each in _by_column(outputs[ANOMALY_SCORE], rows).T]
        targets = next(one.names for one in self._signature.outputs if one.name == VALUE)
        values = _by_column(outputs[VALUE], rows)
        if len(targets) == 1:
            return [self._row(values[:, row, 0]) for row in range(rows)]
        return [{name: self._row(values[:, row, at]) for at, name in enumerate(targets)} for row in range(rows)]

    def _row(self, scores: Array) -> dict[str, float | None]:
        """scores: as it is, and without each column."""
        effects = scores[0] - scores[1:]
        return {
            name: float(effect) if np.isfinite(effect) else None
            for name, effect in zip(self._columns, effects, strict=True)
        }


def first(outputs: Tensors, rows: int) -> dict[str, Array]:
    """The outputs of the rows that came."""
    return {name: array[:rows] for name, array in outputs.items()}


def asked(told: Mapping[str, Any]) -> bool:
    """Whether a request asks for effects: `parameters.explain`. Raises InvalidRequest."""
    parameters = told.get("parameters")
    wanted = parameters.get("explain", False) if isinstance(parameters, dict) else False
    if not isinstance(wanted, bool):
        raise InvalidRequest("parameters.explain must be true or false")
    return wanted


def _by_column(array: Array, rows: int) -> Array:
    """(columns + 1, rows, ...), in 64 bits: differences of 32 are too coarse."""
    return array.astype(np.float64).reshape(-1, rows, *array.shape[1:])


def _problem(model: ServedModel) -> str | None:
    """Why the model's answers cannot be explained."""
    data = model.info.data
    chain = data.get("transforms") if isinstance(data, dict) else None
    inputs = model.signature.inputs
    if not isinstance(chain, dict) or chain.get("kind") != "table":
        return f"the model {model.name} takes no table, so it has no columns whose effects could be told"
    if model.signature.history is not None:
        return "forecasts are not explained: a column of theirs is a whole series"
    if model.reference is None:
        return "the folder of the model has no reference.json, which tells what is usual in each column"
    if len(inputs) > MOST_COLUMNS:
        return f"the model {model.name} has {len(inputs)} columns, and at most {MOST_COLUMNS} are looked at"
    return None
