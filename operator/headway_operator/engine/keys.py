"""The names by which the engine knows objects: the key of what is reconciled, and the reference of anything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from headway_operator.engine.kube import Resource


class Key(NamedTuple):
    """An object that is reconciled: what the queue, the store and the memory go by."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    def fields(self) -> dict[str, str]:
        """For `extra` of a log call."""
        return {"kind": self.kind, "object": f"{self.namespace}/{self.name}"}


class Ref(NamedTuple):
    """An object of a key's namespace."""

    resource: Resource
    name: str


class Controller(NamedTuple):
    """What an object says of the object that controls it."""

    key: Key
    uid: str


def controller_of(body: Mapping[str, Any]) -> Controller | None:
    """The controller ownerReference of an object; None if it has none, or one of no shape."""
    meta = body.get("metadata") or {}
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") is True:
            kind, name, uid = owner.get("kind"), owner.get("name"), owner.get("uid")
            if isinstance(kind, str) and isinstance(name, str) and isinstance(uid, str):
                return Controller(Key(kind, meta.get("namespace") or "", name), uid)
    return None


def version_of(body: Mapping[str, Any]) -> int:
    """The resourceVersion: a number that grows within a kind, which Kubernetes promises since 1.35 and always kept."""
    return number(str(body["metadata"].get("resourceVersion") or "0"))


_NUMBER = re.compile("0|[1-9][0-9]{0,17}", re.ASCII)
"""What fits 64 bits, as Kubernetes and Headway write it."""


def number(text: object, otherwise: int = 0) -> int:
    """A number from a label, an annotation or a version; the other one where anything else stands there."""
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else otherwise
