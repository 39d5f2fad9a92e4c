"""Operators of several versions that take turns: one has a rule more, one knows a field, a condition and a cause more.

What a newer version knows is added to what it writes, and taken out of what it reads: its models are the same as ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_operator.engine import kube
from headway_operator.engine.kube import Object, Resource
from headway_operator.training.plan import spec as judge
from sim.fakes.api import clone
from sim.fakes.schema import DEFINITION, Definition

OURS, STRICTER, NEWER = "ours", "stricter", "newer"
FIELD = "fancy"
"""A field of the spec and of the status that only the newer version knows."""
VALUE = "Fancy"
"""A type of condition that only the newer version knows."""


class _Current:
    """Which version's process runs at the moment."""

    version = OURS


def enter(version: str) -> None:
    """From here on a process of a version runs."""
    _Current.version = version


_ours = judge._judged


def _judged(document: Mapping[str, Any]) -> tuple[TrainingJobSpec | None, tuple[str, ...]]:
    """A spec, if it is valid for the version whose process runs; else what is wrong with it."""
    spec, problems = _ours(document)
    if spec is not None and _Current.version == STRICTER and spec.workers.replicas > 1:
        return None, ("spec.workers.replicas: must not be above 1 any more",)
    return spec, problems


judge._judged = _judged


@cache
def newer() -> Definition:
    """The newer version's definition: it is installed before the first process of that version, and stays."""
    made = yaml.load(DEFINITION.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    root = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        root[part]["properties"][FIELD] = {"type": "integer"}
    root["status"]["properties"]["conditions"]["items"]["properties"]["type"]["enum"].append(VALUE)
    return Definition(made)


def as_seen(version: str, resource: Resource, body: Object) -> Object:
    """An object, as a process of a version understands it."""
    kinds = (kube.JOBS, kube.MODEL_DEPLOYMENTS)
    if version != NEWER or resource not in (*kinds, kube.SECRETS) or "metadata" not in body:
        return body
    body = clone(body)
    if resource in kinds:
        for part in ("spec", "status"):
            (body.get(part) or {}).pop(FIELD, None)
        status = body.get("status") or {}
        if "conditions" in status:
            status["conditions"] = [item for item in status["conditions"] if item["type"] != VALUE]
    elif wire.KEY_RUN in (body.get("stringData") or {}):
        run = json.loads(body["stringData"][wire.KEY_RUN])
        run["spec"].pop(FIELD, None)
        body["stringData"][wire.KEY_RUN] = json.dumps(run)
    return body


def as_created(version: str, body: Object) -> Object:
    """An object, as a process of a version creates it."""
    if version != NEWER or wire.KEY_RUN not in (body.get("stringData") or {}):
        return body
    body = clone(body)
    run = json.loads(body["stringData"][wire.KEY_RUN])
    run["spec"][FIELD] = 1
    body["stringData"][wire.KEY_RUN] = json.dumps(run)
    return body


def as_patched(version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
    """A patch of a status, as a process of a version writes it."""
    status = patch.get("status") or {}
    if version != NEWER or "conditions" not in status:
        return patch
    times = [item["lastTransitionTime"] for item in status["conditions"]]
    more = {"type": VALUE, "status": "True", "reason": VALUE, "lastTransitionTime": min(times, default="")}
    return {**patch, "status": {**status, FIELD: 1, "conditions": [*status["conditions"], more]}}
