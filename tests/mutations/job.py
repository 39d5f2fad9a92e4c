"""A job without a mistake, and how one is put into it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from dotted import place

BASE: dict[str, Any] = {
    "apiVersion": "headway.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "mutant", "labels": {"team": "vision"}},
    "spec": {
        "image": "example.com/trainer:1",
        "data": {"source": {"builtin": {"name": "digits"}}, "split": {"train": 0.7, "validation": 0.2, "test": 0.1}},
        "model": {"name": "mlp", "options": {"hidden": [32], "dropout": 0.1}},
        "training": {
            "epochs": 2,
            "batchSize": 32,
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.8},
            "schedule": {"name": "cosine", "warmupSteps": 10},
            "clip": {"norm": 1.0},
            "earlyStopping": {"patience": 3},
            "checkpoint": {"everySteps": 100},
        },
        "evaluation": {"metrics": ["accuracy", "f1"]},
        "head": {"resources": {"cpu": "500m", "memory": "2Gi"}},
        "workers": {"replicas": 2, "resources": {"cpu": 1, "memory": "4Gi", "gpu": 0}},
        "storage": {"persistentVolumeClaim": {"name": "models", "path": "runs"}},
        "retry": {"userError": 1},
        "seed": 7,
    },
}
"""A job without a mistake."""

USER_CODE: dict[str, Any] = {
    "code": {"git": {"url": "https://example.com/team/code.git", "revision": "main", "path": "src"}},
    "training": {"entrypoint": "train:main", "arguments": {"lr": 0.1}},
    "evaluation": {},
}
"""Sections of a spec that runs the user's own code, to be laid over BASE's."""

MEGABYTE = "x" * 1_000_000
Rows = list[tuple[str, dict[str, Any], str]]
"""Of each mistake its name, the changes of the job, and the field that the message has to name."""


class _Absent:
    """Takes a field away."""


ABSENT = _Absent()


def changed(changes: Mapping[str, Any], spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """BASE with other values at some dotted paths, after whole sections of the spec were replaced."""
    document = copy.deepcopy(BASE)
    document["spec"].update(copy.deepcopy(dict(spec or {})))
    for path, value in changes.items():
        node, last = place(document, path)
        if value is ABSENT:
            del node[last]
        else:
            node[last] = value
    return document
