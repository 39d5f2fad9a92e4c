"""A cluster without a fault as its API server tells of it, for tests of `headway doctor` to plant faults in."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from fake_kubectl import FakeKubectl, recorded
from harness import ROOT
from headway_cli.cluster.doctor.facts import RIGHTS
from headway_cli.cluster.doctor.gather import paths
from headway_cli.cluster.kubectl import Call, Kubectl, Target

NOW = datetime(2026, 11, 29, 19, 0, tzinfo=UTC)
NAMESPACE = "default"
LEASE = "lease headway-system/headway"
Answers = dict[str, Any]
Error = str
"""In place of an answer: what kubectl says to standard error."""
_LABELS = {"app.kubernetes.io/name": "headway", "app.kubernetes.io/version": "0.1.0"}


def healthy() -> Answers:
    """What each question is answered with: an object, or a list of them."""
    return copy.deepcopy(_HEALTHY)


def job(**spec: Any) -> dict[str, Any]:
    """A job that runs, with changes of its spec."""
    found = recorded("running")
    found["spec"] |= spec
    return found


def waiting(reason: str, message: str, **spec: Any) -> dict[str, Any]:
    """A job whose pods are not scheduled."""
    found = job(**spec)
    found["status"]["phase"] = "Queued"
    found["status"]["conditions"] = [
        {"type": "Accepted", "status": "True", "reason": "Valid", "message": "the spec is valid"},
        {"type": "Scheduled", "status": "False", "reason": reason, "message": message},
        {"type": "Running", "status": "False", "reason": "Queued", "message": message},
    ]
    return found


def pod_that_waits(reason: str, message: str) -> dict[str, Any]:
    """The job's head pod, whose container has not started."""
    found = next(iter(recorded("pods")["items"]))
    state = {"waiting": {"reason": reason, "message": message}}
    found["status"] = {"phase": "Pending", "containerStatuses": [{"name": "main", "image": "tr:1", "state": state}]}
    return dict(found)


def claim(phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    """A claim of a volume, six minutes old."""
    created = "2026-11-29T18:54:00Z"
    return {
        "metadata": {"name": "models", "creationTimestamp": created},
        "spec": {"accessModes": ["ReadWriteMany"], **spec},
        "status": {"phase": phase},
    }


def node(name: str = "node-1", taints: Sequence[dict[str, str]] = (), gpus: str = "0") -> dict[str, Any]:
    """A node that is ready."""
    return {
        "metadata": {"name": name},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": gpus},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": _LABELS}, **more}


def _crd(kind: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / f"crds/headway.dev_{kind}.yaml").read_text())
    return dict(found)


_HEALTHY: Answers = {
    "version": {"serverVersion": {"major": "1", "minor": "32+"}},
    "rights": [
        {
            "spec": {"resourceAttributes": {"verb": right.verb, "group": right.group, "resource": resource}
                     | ({"subresource": sub} if sub else {})},
            "status": {"allowed": True},
        }
        for right in RIGHTS
        for resource, _, sub in [right.resource.partition("/")]
    ],
    "customresourcedefinition trainingjobs.headway.dev": _crd("trainingjobs"),
    "customresourcedefinition modeldeployments.headway.dev": _crd("modeldeployments"),
    "trainingjobs.headway.dev": [job()],
    "deployments": [
        {
            "metadata": {"name": "headway", "namespace": "headway-system", "labels": _LABELS},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "operator", "env": []}]}}},
            "status": {"readyReplicas": 2},
        }
    ],
    LEASE: {"spec": {"holderIdentity": "headway-6c9", "renewTime": "2026-11-29T18:59:57Z", "leaseDurationSeconds": 9}},
    "operator pods": [],
    "servicemonitors": [_named("headway")],
    "validatingadmissionpolicies": [_named("headway-trainer"), _named("headway-operator-pods")],
    "validatingadmissionpolicybindings": [
        _named(each, spec={"policyName": each}) for each in ("headway-trainer", "headway-operator-pods")
    ],
    "namespace": _named(NAMESPACE, status={"phase": "Active"}),
    "resourcequotas": [],
    "limitranges": [],
    "persistentvolumeclaims": [claim("Bound", storageClassName="nfs")],
    "pods": recorded("pods")["items"],
    "events": [],
    "storageclasses": [{"metadata": {"name": "nfs"}, "provisioner": "nfs.io", "volumeBindingMode": "Immediate"}],
    "nodes": [node()],
    "all pods": [],
    "secrets": "",
}  # fmt: skip


class Answer:
    """A call that has its answer."""

    def __init__(self, said: str, error: str = "") -> None:
        self._said, self._error = said, error

    def answer(self) -> tuple[int, bytes, str]:
        """As a Call's."""
        return (1 if self._error else 0), self._said.encode(), self._error

    def close(self) -> None:
        """There is nothing to end."""


class Doctored(Kubectl):
    """A kubectl that is no process, for tables of many faults."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(Target(namespace=NAMESPACE))
        self.asked: list[tuple[str, ...]] = []
        self._answers = answers
        self._paths = {f"--raw={path}": what for what, path in paths(NAMESPACE, None).items()}

    def start(self, *words: str, stdin: str | None = None, seconds: float = 60.0) -> Call:  # noqa: ARG002 - as Kubectl's
        """The answer to a question."""
        self.asked.append(words)
        found = self._answers[self._what(words)]
        if isinstance(found, str) and words[:2] != ("get", "secrets"):
            return Answer("", found)  # type: ignore[return-value]  # all of a Call that is used
        return Answer(as_text(found))  # type: ignore[return-value]  # as above

    def _what(self, words: tuple[str, ...]) -> str:
        if words[0] != "get":
            return {"version": "version", "create": "rights"}[words[0]]
        if words[1] == "secrets":
            return "secrets"
        return self._paths.get(words[1]) or LEASE


def as_text(found: Any) -> str:
    """What kubectl prints of an answer."""
    if isinstance(found, list):
        return json.dumps({"kind": "ThingList", "apiVersion": "v1", "metadata": {}, "items": found})
    return found if isinstance(found, str) else json.dumps(found)


def on_path(kubectl: FakeKubectl, answers: Answers) -> None:
    """Have the program kubectl say the same. An answer that is a text is an error, but for Secrets' names."""
    raw = {what: ("get", f"--raw={path}") for what, path in paths(NAMESPACE, None).items()}
    words = {
        **raw,
        "version": ("version",),
        "rights": ("create",),
        LEASE: ("get", "/leases/headway"),
        "secrets": ("get", "secrets", "--output=name"),
    }
    for what, answer in answers.items():
        if isinstance(answer, str) and what != "secrets":
            kubectl.fails(answer, *words[what])
        else:
            kubectl.says(as_text(answer), *words[what])
