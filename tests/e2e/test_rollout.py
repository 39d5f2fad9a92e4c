"""New versions take their share of real requests in steps, or are given back by themselves; and no request fails.

A client in the cluster sends a hundred requests a second all the while. Bad models fail, are slow or answer wrong by
their own graph (`bent_models`): nothing of Headway knows of it but by its requests.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

import bent_models
from harness import Cluster

from .node import Node
from .test_serving import COMPONENT, NAME, WRONG, Served, client_pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PERIOD = 0.02
"""Seconds between the requests of each of the client's two loops."""
STEPS = [{"weight": weight, "minSeconds": 2} for weight in (5, 25, 50)]
CANARY = {"canary": {"steps": STEPS, "bakeSeconds": 3}, "analysis": {"minRequests": 30}}
LOOK_SECONDS = 0.2


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
        return name, bent_models.copy(self.folder / self.path, self.folder / name, bend)

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
        """Wait until a version answers, and nothing goes on any more."""
        self.wait(f"{version} answers", lambda: self.status().get("champion") == version)
        self.wait("all is well", lambda: self.status()["phase"] == "Ready" and not self.status().get("rollout"))

    def taken_back(self, version: str) -> dict[str, Any]:
        """Wait until a version is rejected; what the status says of it then."""
        self.wait(f"{version} is rejected", lambda: self.version(version).get("state") == "Rejected")
        return self.version(version)


@pytest.fixture(scope="module")
def rolling(headway: Cluster, digits: str, node: Node) -> Iterator[Rolling]:
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
        made.kubectl("delete", "pod", "client", "--wait=false")


def test_a_better_model_takes_its_share_in_steps_and_then_all(
    rolling: Rolling, measured: Callable[[str, float], None]
) -> None:
    name, before = rolling.next_name(), rolling.status()["champion"]
    model = rolling.model("better")
    with rolling.no_request_fails(at_least=1000), rolling.watched(name) as seen:
        rolling.roll(model)
        rolling.promoted(name)
        measured("canary 5/25/50: applied -> the only version", seen.now())
    assert seen.steps() == [0, 5, 25, 50, 100]
    assert rolling.counted()["last"] == name.rpartition("-")[2]
    rolling.wait("the old pods are gone", lambda: not rolling.pods(before))
    assert not rolling.items("deployments", "-l", COMPONENT, "--field-selector", f"metadata.name={judge(rolling)}")


def judge(rolling: Rolling) -> str:
    """The name of the judge's objects."""
    uid = rolling.cluster.get("md", NAME, "-n", rolling.namespace)["metadata"]["uid"]
    return f"{NAME}-{uid[:5]}-judge"


def check_taken_back(
    rolling: Rolling, measured: Callable[[str, float], None], kind: str, bend: bent_models.Bend, **rollout: Any
) -> dict[str, Any]:
    """A bad model is applied, and taken back by itself while no request fails; what the status says of it."""
    name, before = rolling.next_name(), rolling.status()["champion"]
    model = rolling.model(kind, bend)
    with rolling.no_request_fails(at_least=300), rolling.watched(name) as seen:
        rolling.roll(model, rollout or None)
        said = rolling.taken_back(name)
    assert seen.failed is not None, "it was the judge that found it"
    assert seen.rejected is not None
    measured(f"{kind}: share of the requests -> the judge's verdict", seen.failed - first_share(seen))
    measured(f"{kind}: verdict -> servers told that it gets nothing", (seen.returned or seen.rejected) - seen.failed)
    assert (seen.returned or seen.rejected) - seen.failed < 5
    assert 100 not in seen.steps()
    assert rolling.condition("RolledBack")["status"] == "True"
    assert rolling.status()["champion"] == before
    rolling.wait("its pods are gone", lambda: not rolling.pods(name))
    return said


def first_share(seen: Seen) -> float:
    """When the version first got a share; for shadow, when it was applied."""
    return next((when for when, weight in seen.weights if weight), 0.0)


def test_a_model_of_which_answers_fail_is_taken_back_with_the_numbers(
    rolling: Rolling, measured: Callable[[str, float], None]
) -> None:
    said = check_taken_back(rolling, measured, "failing", bent_models.failing(0.4))
    assert said["reason"] == "ErrorRate"
    assert "requests" in said["message"]


def test_a_slow_model_is_taken_back_with_the_numbers(rolling: Rolling, measured: Callable[[str, float], None]) -> None:
    said = check_taken_back(rolling, measured, "slow", bent_models.slow(600))
    assert said["reason"] == "Latency"


def test_a_model_with_other_labels_is_found_by_copies_of_requests_and_no_client_sees_one(
    rolling: Rolling, measured: Callable[[str, float], None]
) -> None:
    shadow = {"shadow": {"sample": 0.5, "minSeconds": 5}}
    analysis = {"minRequests": 100, "agreement": {"min": 0.9}}
    said = check_taken_back(rolling, measured, "wrong", bent_models.upside_down, **shadow, analysis=analysis)
    assert said["reason"] == "Agreement"


def test_a_version_that_does_not_start_gets_no_request(rolling: Rolling) -> None:
    name = rolling.next_name()
    path, _ = rolling.model("broken")
    with rolling.no_request_fails(at_least=100), rolling.watched(name) as seen:
        rolling.roll((path, WRONG))
        said = rolling.taken_back(name)
    assert said["reason"] == "Crash"
    assert seen.steps() == [0]


def test_people_approve_abort_and_pin_versions(rolling: Rolling) -> None:
    before, manual = rolling.status()["champion"], {**CANARY, "approval": "manual"}
    with rolling.no_request_fails(at_least=300):
        name = rolling.next_name()
        rolling.roll(rolling.model("approved"), manual)
        rolling.wait("it waits", lambda: rolling.condition("Progressing").get("reason") == "AwaitingApproval")
        assert rolling.status()["champion"] == before
        rolling.patch(versions={"approve": name})
        rolling.wait("it answers", lambda: rolling.status().get("champion") == name)

        rolling.patch(versions={"pin": before})
        rolling.wait("the pinned one answers", lambda: rolling.status().get("champion") == before)
        rolling.patch(versions={"pin": None})
        rolling.wait("all is well", lambda: rolling.status()["phase"] == "Ready")

        name = rolling.next_name()
        rolling.roll(rolling.model("aborted"), manual)
        rolling.wait("it has a share", lambda: rolling.status().get("rollout", {}).get("weight", 0) > 0)
        rolling.patch(versions={"abort": name})
        assert rolling.taken_back(name)["reason"] == "Aborted"
        rolling.wait("its pods are gone", lambda: not rolling.pods(name))


def test_a_rollout_goes_on_though_judge_operator_and_servers_are_killed(rolling: Rolling) -> None:
    before, name = rolling.status()["champion"], rolling.next_name()
    steps = [{"weight": weight, "minSeconds": 5} for weight in (10, 30, 50)]
    rollout = {"canary": {"steps": steps, "bakeSeconds": 3}, "analysis": {"minRequests": 50}}

    def kill(*words: str) -> None:
        rolling.cluster.kubectl("delete", "pod", *words, "--grace-period=1", "--wait=false")

    with rolling.no_request_fails(at_least=1000), rolling.watched(name) as seen:
        rolling.roll(rolling.model("survivor"), rollout)
        rolling.wait("it has a share", lambda: 10 in seen.steps())
        kill("-n", rolling.namespace, "-l", "app.kubernetes.io/component=rollout-judge")
        rolling.wait("it has more", lambda: 30 in seen.steps())
        kill("-n", "headway-system", "-l", "app.kubernetes.io/component=operator")
        kill("-n", rolling.namespace, min(rolling.pods(name)))
        rolling.kubectl("delete", "pod", min(rolling.pods(before)), "--wait=false")
        rolling.promoted(name)
    assert seen.steps()[-1] == 100
    assert 0 not in seen.steps()[1:], "nothing was taken back"


def test_a_deleted_deployment_leaves_nothing_of_a_rollout(rolling: Rolling) -> None:
    rolling.kubectl("delete", "md", NAME, "--timeout=60s")
    kinds = "deployments,replicasets,pods,services,endpointslices,configmaps,secrets,networkpolicies"
    rolling.wait("nothing is left", lambda: not rolling.items(kinds, "-l", "headway.dev/deployment"))
