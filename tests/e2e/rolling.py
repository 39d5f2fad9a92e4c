"""A deployment with a client of a hundred requests a second, and what its versions are seen to go through."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

import bent_models
from harness import Cluster

from .node import Node
from .test_serving import NAME, Served, client_pod

PERIOD = 0.02
"""Seconds between the requests of each of the client's two loops."""
STEPS = [{"weight": weight, "minSeconds": 2} for weight in (5, 25, 50)]
CANARY = {"canary": {"steps": STEPS, "bakeSeconds": 3}, "analysis": {"minRequests": 30}}
LOOK_SECONDS = 0.2
_copies = itertools.count(1)


@dataclass
class Seen:
    """What a rollout was seen to go through, with the seconds since its version was applied."""

    began: float = field(default_factory=time.monotonic)
    weights: list[tuple[float, int]] = field(default_factory=list)
    """The candidate's, whenever it was another."""
    failed: float | None = None
    """When the judge's verdict was first seen to be `fail`."""
    returned: float | None = None
    """When servers were first seen to be told that the candidate gets nothing any more."""
    rejected: float | None = None
    """When the status was first seen to say that the version is rejected."""

    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def steps(self) -> list[int]:
        """The weights, one after the other."""
        return [weight for _, weight in self.weights]


@dataclass(frozen=True)
class Rolling(Served):
    """The deployment, and the folders of its claim as this machine reaches them."""

    folder: Path = Path()

    def model(self, name: str, bend: bent_models.Bend | None = None) -> tuple[str, str]:
        """A copy of the model, bent or not: its path on the claim and its digest."""
        path = f"{name}-{next(_copies)}"
        return path, bent_models.copy(self.folder / self.path, self.folder / path, bend)

    def roll(self, model: tuple[str, str], rollout: dict[str, Any] | None = None, **versions: Any) -> None:
        """Apply another version."""
        path, digest = model
        source = {"persistentVolumeClaim": {"name": "models", "path": path}, "digest": digest}
        spec = {
            "versions": {"source": source, **versions},
            "server": {"resources": {"cpu": "200m", "memory": "256Mi"}, "drainSeconds": 5},
            "rollout": {"progressDeadlineSeconds": 120, **(CANARY if rollout is None else rollout)},
            "replicas": 2,
        }
        metadata = {"name": NAME}
        document = {"apiVersion": "headway.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
        self.cluster.apply(json.dumps(document), self.namespace)

    def patch(self, **spec: Any) -> None:
        """Change the spec, as a person does."""
        self.kubectl("patch", "md", NAME, "--type=merge", "-p", json.dumps({"spec": spec}))

    def version(self, name: str) -> dict[str, Any]:
        """What the status says of a version."""
        return next((each for each in self.status().get("versions", ()) if each["name"] == name), {})

    def next_name(self) -> str:
        """What the next version will be called."""
        return f"{NAME}-{self.status()['lastNumber'] + 1}"

    @contextmanager
    def watched(self, version: str) -> Iterator[Seen]:
        """What a version goes through meanwhile."""
        seen, over = Seen(), threading.Event()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                self._look(version, seen)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()
        self._look(version, seen)

    def _look(self, version: str, seen: Seen) -> None:
        """One call shows all as it is at one time."""
        there = self.items("modeldeployments,configmaps")
        now = seen.now()
        [status] = [each.get("status", {}) for each in there if each["kind"] == "ModelDeployment"]
        found: dict[str, Any] = next((each for each in status["versions"] if each["name"] == version), {})
        rollout = status.get("rollout") or {}
        weight = rollout.get("weight", 0) if rollout.get("version") == version else found.get("weight", 0)
        if not seen.weights or seen.weights[-1][1] != weight:
            seen.weights.append((now, weight))
        if found.get("state") == "Rejected" and seen.rejected is None:
            seen.rejected = now
        number = int(version.rpartition("-")[2])
        for config in there:
            data = {key: json.loads(text) for key, text in config.get("data", {}).items() if text.startswith("{")}
            verdict, route = data.get("verdict.json", {}), data.get("route.json", {})
            if verdict.get("rollout") == number and verdict.get("verdict") == "fail" and seen.failed is None:
                seen.failed = now
            gone = route.get("candidate") != number or route.get("share") == 0
            if seen.failed is not None and gone and seen.returned is None:
                seen.returned = now

    def promoted(self, version: str) -> None:
        """Wait until a version answers, and nothing goes on any more. One that is rejected is not waited for."""

        def answers() -> bool:
            said = self.version(version)
            assert said.get("state") != "Rejected", said
            return bool(self.status().get("champion") == version)

        self.wait(f"{version} answers", answers)
        self.wait("all is well", lambda: self.status()["phase"] == "Ready" and not self.status().get("rollout"))

    def taken_back(self, version: str) -> dict[str, Any]:
        """Wait until a version is rejected; what the status says of it then."""
        self.wait(f"{version} is rejected", lambda: self.version(version).get("state") == "Rejected")
        return self.version(version)


@contextmanager
def served_and_asked(headway: Cluster, digits: str, node: Node) -> Iterator[Rolling]:
    """The model of examples/digits.yaml, served by two pods, and a client of a hundred requests a second."""
    data = load_digits()
    chosen = [index for index in range(bent_models.MANY + 1) if index != 5]
    rows, labels = data.images[chosen, None].tolist(), [str(label) for label in data.target[chosen]]
    folder = node.volume(digits)
    [info] = folder.glob("*/digits-*/model.json")
    path = str(info.parent.relative_to(folder))
    made = Rolling(headway, digits, path, "", folder)
    headway.apply(json.dumps(client_pod(headway.images["operator"], rows, labels, PERIOD)), digits)
    headway.kubectl("wait", "-n", digits, "--for=condition=Ready", "pod/client", "--timeout=120s")
    try:
        made.roll(made.model("first"))
        made.wait("the model answers", lambda: made.status().get("phase") == "Ready")
        made.wait("an answer", lambda: made.counted().get("last"))
        yield made
    finally:
        made.kubectl("delete", "md", NAME, "--ignore-not-found")
        made.kubectl("delete", "pod", "client")


def judge(rolling: Rolling) -> str:
    """The name of the judge's objects."""
    uid = rolling.cluster.get("md", NAME, "-n", rolling.namespace)["metadata"]["uid"]
    return f"{NAME}-{uid[:5]}-judge"
