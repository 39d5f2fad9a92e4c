"""A second kind, as small as one can be: a Tiny says a text, and owns one ConfigMap that repeats it.

What it takes to reconcile another kind is here; watches, queue, comparison, retries and metrics are the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.keys import Ref, controller_of, version_of
from headway_operator.engine.kinds import Child, Measures, Owner, Referrer, View
from headway_operator.engine.kube import Object, Resource
from headway_operator.engine.steps import Decision, Delete, Ensure, Notice, Stage, StatusWrite

TINIES = Resource("tiny.headway.dev", "v1", "tinies", "Tiny")
LABELS = "app.kubernetes.io/managed-by=headway"
CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{TINIES.plural}.{TINIES.group}"},
    "spec": {
        "group": TINIES.group,
        "scope": "Namespaced",
        "names": {"kind": TINIES.kind, "plural": TINIES.plural},
        "versions": [
            {
                "name": TINIES.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"text": {"type": "string"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@dataclass(frozen=True, slots=True)
class Copy:
    """The ConfigMap of a Tiny."""

    name: str
    uid: str
    owner_uid: str
    version: int
    text: str | None
    """From its annotations: when it is made, only its metadata comes back."""


def read(body: Object, _: Copy | None, __: float) -> Copy | None:
    """A Tiny's ConfigMap, known by its name."""
    meta, controller = body["metadata"], controller_of(body)
    if controller is None or meta["name"] != f"{controller.key.name}-copy":
        return None
    return Copy(
        meta["name"], meta["uid"], controller.uid, version_of(body), (meta.get("annotations") or {}).get("text")
    )


class NoMeasures:
    """Nothing is measured."""

    def decided(self, course: Any, _: View, __: Decision) -> Any:
        """Nothing."""
        return course

    def wrote(self, course: Any, _: View, __: Decision) -> Any:
        """Nothing."""
        return course

    def deleted(self, view: View) -> None:
        """Nothing."""

    def awaits(self, _: Any) -> bool:
        """Nothing."""
        return False


class Tinies:
    """The kind."""

    name = TINIES.kind
    resource = TINIES
    children: tuple[Child, ...] = (Child(kube.CONFIG_MAPS, LABELS, read),)
    makes: tuple[Resource, ...] = ()
    shares: tuple[Resource, ...] = ()
    expires = False
    changes: tuple[Resource, ...] = ()
    lists: tuple[Resource, ...] = ()
    referrers: tuple[Referrer, ...] = ()
    busy_with = kube.CONFIG_MAPS
    measures: Measures = NoMeasures()

    def selector(self, _: Owner) -> str:
        """What all copies have in common; others are told apart by their owners."""
        return LABELS

    def flags(self, _: Mapping[str, Any]) -> frozenset[str]:
        """None."""
        return frozenset()

    def plan(self, view: View) -> Decision:
        """The ConfigMap says what the Tiny says, and the status that it does."""
        owner, copies = view.owner, view.children[kube.CONFIG_MAPS]
        text = str((owner.spec.value() or {}).get("text"))
        wrong = [copy for copy in copies if copy.text != text]
        if wrong:
            deletes = tuple(Delete(Ref(kube.CONFIG_MAPS, copy.name), copy.uid) for copy in wrong)
            return Decision(stages=(Stage(deletes),), wake=view.now)
        if not copies:
            return Decision(
                stages=(Stage((Ensure(kube.CONFIG_MAPS, config_map(owner, text), must=True),)),), wake=view.now
            )
        status = {"phase": "Ready", "text": text, "conditions": []}
        write = StatusWrite(status, lambda: status, "Ready") if owner.status.value() != status else None
        return Decision(status=write, notices=(Notice("Ready", f"it says {text}"),) if write else ())


def config_map(owner: Owner, text: str) -> Object:
    """The ConfigMap of a Tiny."""
    key = owner.key
    reference = {"apiVersion": TINIES.api_version, "kind": key.kind, "name": key.name, "uid": owner.uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{key.name}-copy",
            "namespace": key.namespace,
            "labels": dict([LABELS.split("=")]),
            "annotations": {"text": text},
            "ownerReferences": [{**reference, "controller": True}],
        },
        "data": {"text": text},
    }
