"""Specs without a fault, and how a contradiction is put into one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from dotted import place

TABLE: dict[str, Any] = {
    "data": {"source": {"uri": "s3://lake/churn/*.parquet"}, "target": "churned"},
    "model": {"name": "mlp"},
    "training": {"epochs": 2},
}
CSV: dict[str, Any] = {**TABLE, "data": {"source": {"uri": "churn.csv"}, "target": "churned"}}
DIGITS: dict[str, Any] = {**TABLE, "data": {"source": {"builtin": {"name": "digits"}}}}
IRIS: dict[str, Any] = {**TABLE, "data": {"source": {"builtin": {"name": "iris"}}}}
DIABETES: dict[str, Any] = {**TABLE, "data": {"source": {"builtin": {"name": "diabetes"}}}}
IMAGES: dict[str, Any] = {**TABLE, "data": {"source": {"uri": "s3://lake/cats", "format": "imageFolder"}}}
LABELLED: dict[str, Any] = {
    **TABLE,
    "data": {"source": {"uri": "s3://lake/cats", "labels": {"file": "labels.csv"}}, "target": "species"},
}
ARRAYS: dict[str, Any] = {**TABLE, "data": {"source": {"uri": "s3://lake/waves.npz"}}}
PARTS: dict[str, Any] = {
    **TABLE,
    "data": {
        "source": {"parts": {"train": "a/train.csv", "validation": "a/val.csv", "test": "a/test.csv"}},
        "target": "churned",
    },
}
FOREST: dict[str, Any] = {**TABLE, "model": {"name": "randomForest"}, "training": {}}
SALES: dict[str, Any] = {
    **TABLE,
    "data": {
        "source": {"uri": "sales.csv"},
        "target": "sold",
        "task": "forecasting",
        "forecast": {"history": 28, "horizon": 7},
        "columns": {"day": {"role": "time"}, "store": {"role": "group"}},
    },
}
UNLABELLED: dict[str, Any] = {
    **TABLE,
    "data": {"source": {"uri": "churn.csv"}, "task": "reconstruction"},
    "model": {"name": "autoencoder"},
}
OWN_LOOP: dict[str, Any] = {"training": {"entrypoint": "train:main"}}
OWN_TUNER: dict[str, Any] = {"tuning": {"entrypoint": "search:main"}}


@dataclass(frozen=True)
class Contradiction:
    """A spec with one contradiction."""

    spec: dict[str, Any]
    field: str
    """Where it is told, below `spec.`."""
    words: tuple[str, ...]
    """What the message says among other things: the value, and what is allowed."""

    def __str__(self) -> str:
        return f"{self.field}: {self.words[0]}"


def made(base: dict[str, Any], changes: dict[str, Any], field: str, *words: str) -> Contradiction:
    """The base with other values at some paths, whose parts are divided by `/`."""
    spec = copy.deepcopy(base)
    for path, value in changes.items():
        node, last = place(spec, path, "/")
        node[last] = value
    return Contradiction(spec, field, words)


def column(base: dict[str, Any], name: str, said: dict[str, str], place: str, *words: str) -> Contradiction:
    """The base with one word on a column."""
    return made(base, {"data/columns": {name: said}}, f"data.columns.{name}.{place}", *words)


def gate(base: dict[str, Any], gate: dict[str, Any], place: str, *words: str) -> Contradiction:
    """The base with one gate."""
    gates = {"evaluation/gates": [{"name": "quality", **gate}]}
    return made(base, gates, f"evaluation.gates[0].{place}", *words)


ALL_TO_TRAINING = {"train": 1, "validation": 0, "test": 0}
NO_TEST = {"train": 0.8, "validation": 0.2, "test": 0}
NO_VALIDATION = {"train": 0.8, "validation": 0, "test": 0.2}
IN_PARTS = {"parts": {"train": "a.csv", "test": "b.csv"}}
STOP = "training/earlyStopping"
"""The path of a section, for changes."""
