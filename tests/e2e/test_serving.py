"""A trained model is served by real pods: versions come, answer and are taken back, and no request fails.

A client in the cluster sends requests at a steady rate all the while: each on a connection of its own, or on one that
it keeps.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_digits

from harness import PATIENCE, ROOT, Cluster, NotYetError

from .node import Node

pytestmark = pytest.mark.e2e

NAME = "digits"
COMPONENT = "app.kubernetes.io/component=model-server"
WRONG = f"sha256:{'0' * 64}"
PERIOD = 0.1
"""Seconds between the requests of each of the client's two loops."""

CLIENT = """
import http.client, json, sys, threading, time

wanted, period, body = json.loads(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
lock = threading.Lock()
told = {"sent": 0, "failed": 0, "problems": [], "wrong": 0, "last": ""}


def ask(connection):
    connection.request("POST", "/v2/models/digits/infer", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise ValueError(f"{answer.status}: {text[:200]}")
    return json.loads(text)


def steadily(kept):
    due, connection = time.monotonic(), http.client.HTTPConnection("digits", timeout=5)
    answered = False  # it counts from its first answer on
    while True:
        due += period
        time.sleep(max(0, due - time.monotonic()))
        problem, said = "", {}
        try:
            said = ask(connection)
        except Exception as error:
            problem = f"{time.time():.2f} kept={kept} {error!r}"
        if problem or not kept:
            connection.close()
        answered = answered or not problem
        with lock:
            if not answered:
                continue
            told["sent"] += 1
            if problem:
                told["failed"] += 1
                told["problems"] = [*told["problems"][-4:], problem[:200]]
                continue
            told["wrong"] += said["outputs"][0]["data"] != wanted
            told["last"] = said["model_version"]


for kept in (True, False):
    threading.Thread(target=steadily, args=(kept,), daemon=True).start()
while True:
    time.sleep(0.5)
    with lock:
        print(json.dumps(told), flush=True)
"""


ENDED = ("Succeeded", "Failed")
BY_GRPC = """
import json, struct, sys
import grpc
from headway_server.grpc import descriptors

row = json.loads(sys.argv[1])
message = descriptors.ModelInferRequest(model_name="digits")
message.inputs.add(name="x", datatype="FP64", shape=[1, 1, 8, 8])
message.outputs.add(name="label")
message.raw_input_contents.append(struct.pack("<64d", *row))
channel = grpc.insecure_channel("digits:9000")
ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
answer = descriptors.ModelInferResponse.FromString(ask(message.SerializeToString(), timeout=60, wait_for_ready=True))
print(answer.model_name, answer.raw_output_contents[0][4:].decode())
"""


def client_pod(image: str, rows: list[list[list[float]]], labels: list[str], period: float = PERIOD) -> dict[str, Any]:
    """A pod of the restricted standard that asks for the labels of images for ever."""
    tensor = {"name": "x", "shape": [len(rows), 1, 8, 8], "datatype": "FP64", "data": rows}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "label"}]})
    container = {
        "name": "main",
        "image": image,
        "command": ["python", "-c", CLIENT, json.dumps(labels), str(period), body],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}


@dataclass(frozen=True)
class Served:
    """The ModelDeployment `digits`, its objects, and a client of it."""

    cluster: Cluster
    namespace: str
    path: str
    """The model's folder on the claim."""
    digest: str

    def kubectl(self, *words: str, check: bool = True) -> str:
        """In the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, check=check)

    def items(self, *words: str) -> list[dict[str, Any]]:
        """In the namespace."""
        return self.cluster.items("-n", self.namespace, *words)

    def in_client(self, script: str) -> str:
        """What a shell script prints in the client's pod, which has the claim in /models."""
        return self.kubectl("exec", "client", "--", "sh", "-c", script)

    def status(self) -> dict[str, Any]:
        """What is said of the deployment."""
        found: dict[str, Any] = self.cluster.get("md", NAME, "-n", self.namespace).get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """One of its conditions."""
        return next((each for each in self.status().get("conditions", ()) if each["type"] == kind), {})

    def wait(self, what: str, check: Callable[[], Any], within: float = PATIENCE) -> None:
        """Until it is so; else an error with all there is to know."""
        try:
            self.cluster.wait(what, check, within)
        except NotYetError as error:
            more = [
                self.kubectl("get", "md", NAME, "-o", "yaml", check=False),
                self.kubectl("describe", "pods", "-l", COMPONENT, check=False),
                self.kubectl("logs", "-l", COMPONENT, "--all-containers", "--prefix", "--tail=30", check=False),
            ]
            raise NotYetError("\n".join([str(error), *more])) from None

    def apply(self, path: str, digest: str) -> None:
        """Apply the deployment, with a model."""
        self._apply({"source": {"persistentVolumeClaim": {"name": "models", "path": path}, "digest": digest}})

    def apply_without_a_model(self) -> None:
        """Apply the deployment so that it takes what jobs publish."""
        self._apply({})

    def _apply(self, versions: dict[str, Any]) -> None:
        spec = {
            "versions": versions,
            "server": {
                "resources": {"cpu": "200m", "memory": "512Mi"},
                "drainSeconds": 10,
                # A job trains on the same node meanwhile: it is not about what happens where there is too much to do.
                "limits": {"queueMilliseconds": 4000},
                "grpc": True,
                "records": {"sample": 1, "persistentVolumeClaim": {"name": "models", "path": "kept/here"}},
            },
            "rollout": {"blueGreen": {"bakeSeconds": 3}},
            "replicas": 2,
        }
        metadata = {"name": NAME}
        document = {"apiVersion": "headway.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
        self.cluster.apply(json.dumps(document), self.namespace)

    def pods(self, version: str | None = None) -> set[str]:
        """The names of the server pods that there are."""
        labels = COMPONENT if version is None else f"{COMPONENT},headway.dev/version={version.rpartition('-')[2]}"
        return {pod["metadata"]["name"] for pod in self.items("pods", "-l", labels)}

    def answering(self) -> set[str]:
        """The pods that the clients' Service sends requests to."""
        slices = self.items("endpointslices", "-l", f"kubernetes.io/service-name={NAME}")
        ends = [end for found in slices for end in found.get("endpoints") or () if end["conditions"].get("ready")]
        return {end["targetRef"]["name"] for end in ends}

    def counted(self) -> dict[str, Any]:
        """What the client has counted: requests sent, failed and with wrong labels; the last problems and version."""
        lines = self.kubectl("logs", "client", "--tail=1").splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {"sent": 0}
        return found

    @contextmanager
    def no_request_fails(self, at_least: int) -> Iterator[None]:
        """All requests that are sent meanwhile, and there are so many, are answered with the right labels."""
        before = self.counted()
        yield
        self.wait("later requests", lambda: self.counted()["sent"] > before["sent"] + at_least)
        after = self.counted()
        assert after["failed"] == before["failed"], after["problems"]
        assert after["wrong"] == 0


@pytest.fixture(scope="module")
def served(headway: Cluster, digits: str) -> Iterator[Served]:
    """The model of examples/digits.yaml, served in a namespace of the restricted standard, and a client."""
    level = "pod-security.kubernetes.io/enforce"
    headway.kubectl("label", "namespace", digits, f"{level}=restricted")
    data = load_digits()
    # The sixth is a 5 that looks like a 9, also to people.
    chosen = [index for index in range(11) if index != 5]
    rows, labels = data.images[chosen, None].tolist(), [str(label) for label in data.target[chosen]]
    headway.apply(json.dumps(client_pod(headway.images["operator"], rows, labels)), digits)
    headway.kubectl("wait", "-n", digits, "--for=condition=Ready", "pod/client", "--timeout=120s")
    made = Served(headway, digits, "", "")
    found = made.in_client("cd /models && sha256sum */digits-*/model.json").split()
    made = Served(headway, digits, found[1].removesuffix("/model.json"), f"sha256:{found[0]}")
    try:
        made.apply(made.path, made.digest)
        made.wait("the model answers", lambda: made.status().get("phase") == "Ready")
        made.wait("an answer", lambda: made.counted().get("last"))
        yield made
    finally:
        made.kubectl("delete", "md", NAME, "--ignore-not-found")
        made.kubectl("delete", "pod", "client", "--wait=false")
        headway.kubectl("label", "namespace", digits, f"{level}-")


def test_a_trained_model_answers_through_its_service_from_a_folder_that_it_only_reads(served: Served) -> None:
    said = served.status()
    assert (said["champion"], said["summary"]["ready"]) == ("digits-1", "2/2")
    with served.no_request_fails(at_least=20):
        assert len(served.answering()) == 2
    pod = served.items("pods", "-l", COMPONENT)[0]
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]
    refused = served.kubectl("exec", name, "-c", "server", "--", "touch", "/mnt/headway/model/mine", check=False)
    assert "Read-only file system" in refused
    metrics = served.in_client(
        f"python -c 'import urllib.request as u; print(u.urlopen(\"http://{address}:8081/metrics\").read().decode())'"
    )
    assert "headway_server_" in metrics
    service = served.cluster.get("service", NAME, "-n", served.namespace)
    assert [port["port"] for port in service["spec"]["ports"]] == [80, 9000], "health and metrics are not for clients"


def test_grpc_is_answered_through_the_service(served: Served) -> None:
    assert served.status()["endpoint"]["grpc"] == f"{NAME}.{served.namespace}.svc:9000"
    image, row = served.cluster.images["server"], load_digits().images[0].ravel().tolist()
    pod = client_pod(image, [], [])
    [container] = pod["spec"]["containers"]
    container["command"] = ["python", "-c", BY_GRPC, json.dumps(row)]
    pod["metadata"]["name"] = "by-grpc"
    served.cluster.apply(json.dumps(pod), served.namespace)
    served.wait(
        "an answer", lambda: served.cluster.get("pod", "by-grpc", "-n", served.namespace)["status"]["phase"] in ENDED
    )
    said = served.kubectl("logs", "by-grpc")
    served.kubectl("delete", "pod", "by-grpc", "--wait=false")
    assert said.split() == ["digits", "0"], said


def test_records_and_labels_lie_in_a_folder_of_the_claim_of_which_servers_see_nothing_else(served: Served) -> None:
    label = json.dumps({"id": "mine", "label": "0"})
    url = f"http://{NAME}/v2/models/{NAME}/feedback"
    ask = f'import sys, urllib.request as u; print(u.urlopen("{url}", sys.argv[1].encode()).status)'
    assert served.in_client(f"python -c '{ask}' '{label}'").split() == ["202"]

    def kept() -> list[dict[str, Any]]:
        lines = served.in_client("zcat /models/kept/here/digits-records/*.jsonl.gz || true").splitlines()
        return [json.loads(line) for line in lines]

    served.wait("a label", lambda: any(one["kind"] == "feedback" for one in kept()))
    request = next(one for one in kept() if one["kind"] == "request")
    assert (request["digest"], request["version"], "inputs" in request) == (served.digest, "1", False)
    assert request["predictions"][0]["label"] == "0"
    pod = served.items("pods", "-l", COMPONENT)[0]["metadata"]["name"]
    seen = served.kubectl("exec", pod, "-c", "server", "--", "ls", "/mnt/headway/records").split()
    assert seen
    assert all(name.endswith(".jsonl.gz") for name in seen)


def test_a_version_with_another_digest_is_taken_back_and_no_request_fails(served: Served) -> None:
    before, answering = served.status()["champion"], served.answering()
    with served.no_request_fails(at_least=100):
        served.apply(served.path, WRONG)
        served.wait("it is taken back", lambda: served.condition("RolledBack").get("status") == "True")
        assert served.answering() == answering
    told = served.condition("RolledBack")
    assert told["reason"] == "Crash"
    assert f"has the digest {served.digest}, and spec.versions.source.digest asks for {WRONG}" in told["message"]
    assert served.status()["champion"] == before
    served.wait("its pods are gone", lambda: served.pods() == answering)
    served.apply(served.path, served.digest)


@pytest.mark.long  # the next test does the same with what a job publishes
def test_another_model_takes_the_place_of_the_first_and_no_request_fails(served: Served) -> None:
    before = served.status()["champion"]
    served.in_client(f"cp -r /models/{served.path} /models/another")
    with served.no_request_fails(at_least=100):
        served.apply("another", served.digest)
        served.wait("it answers", lambda: served.status().get("champion") != before)
        served.wait("the old pods are gone", lambda: not served.pods(before))
        served.wait("all is well", lambda: served.status()["phase"] == "Ready")
    said = served.status()
    assert served.counted()["last"] == said["champion"].rpartition("-")[2]
    assert served.condition("RolledBack").get("status") != "True"


def test_what_a_job_publishes_takes_the_place_of_the_one_before_and_no_request_fails(served: Served) -> None:
    trained = served.cluster.get("tj", "digits", "-n", served.namespace)["status"]["result"]["bundle"]
    assert trained["digest"] == served.digest, "so much a job tells that publishes to nobody"
    assert trained["persistentVolumeClaim"] == {"name": "models", "path": served.path}
    before = served.status()["champion"]
    job = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())
    job["metadata"]["name"] = "monday"
    job["spec"] |= {"publish": {"deployment": NAME}, "ttlSecondsAfterFinished": 0}
    with served.no_request_fails(at_least=100):
        served.apply_without_a_model()
        served.cluster.apply(json.dumps(job), served.namespace)
        served.wait("it has ended, and is gone", lambda: len(served.items("tj")) == 1, within=400)
        served.wait("its model answers", lambda: served.status().get("champion") not in (None, before))
        served.wait("the old pods are gone", lambda: not served.pods(before))
    said = served.status()
    version = next(each for each in said["versions"] if each["name"] == said["champion"])
    assert (version["job"], said["published"]["job"]) == ("monday", "monday")
    assert served.condition("RolledBack").get("status") != "True"
    assert served.counted()["last"] == str(version["number"])
    path = version["source"]["persistentVolumeClaim"]["path"]
    assert version["source"]["digest"].endswith(served.in_client(f"sha256sum < /models/{path}/model.json").split()[0])


def test_pods_are_added_and_replaced_and_no_request_fails(served: Served) -> None:
    with served.no_request_fails(at_least=100):
        served.kubectl("scale", f"md/{NAME}", "--replicas=3")
        served.wait("three pods answer", lambda: len(served.answering()) == 3)
        served.kubectl("scale", f"md/{NAME}", "--replicas=2")
        served.wait("two pods answer", lambda: len(served.answering()) == 2)
        killed = min(served.answering())
        served.kubectl("delete", "pod", killed)
        served.wait("another in its place", lambda: len(served.answering() - {killed}) == 2)
        served.wait("all is well", lambda: served.status()["phase"] == "Ready")


def test_a_server_that_is_killed_starts_again_and_answers(served: Served, node: Node) -> None:
    # Those that were scaled down and deleted before may still be draining.
    stay = [pod for pod in served.items("pods", "-l", COMPONENT) if "deletionTimestamp" not in pod["metadata"]]
    [victim, other] = sorted(stay, key=lambda pod: str(pod["metadata"]["name"]))
    [process] = [pid for pid in node.processes(victim) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(process, signal.SIGKILL)
    name = victim["metadata"]["name"]

    def started_again() -> bool:
        [container] = served.cluster.get("pod", name, "-n", served.namespace)["status"]["containerStatuses"]
        return bool(container["restartCount"] == 1 and container["ready"])

    served.wait("its container runs again", started_again)
    served.wait("both answer", lambda: served.answering() == {name, other["metadata"]["name"]})
    with served.no_request_fails(at_least=20):
        served.wait("all is well", lambda: served.status()["phase"] == "Ready")


@pytest.mark.long
def test_the_number_of_pods_follows_the_requests_in_flight_and_no_request_fails(served: Served) -> None:
    """Each of the client's two loops has one request in flight all the time, as each waits for 300 ms."""

    def edit(**spec: Any) -> None:
        served.kubectl("patch", "md", NAME, "--type=merge", "-p", json.dumps({"spec": spec}))

    def scaling() -> dict[str, Any]:
        found: dict[str, Any] = served.status().get("autoscaling", {})
        return found

    before = served.status()["champion"]
    with served.no_request_fails(at_least=50):
        edit(
            server={"batching": {"maxDelayMilliseconds": 300}},
            autoscaling={"max": 3, "targetInFlight": 1, "scaleDownSeconds": 10},
        )
        served.wait("servers that take their time", lambda: served.status().get("champion") != before)
        served.wait("two are in flight", lambda: 1.5 < scaling().get("inFlight", 0) < 2.2, within=120)
        served.wait("two pods answer", lambda: len(served.answering()) == 2)
        served.wait("it is said so", lambda: served.condition("Scaling").get("status") == "True")
        edit(autoscaling={"targetInFlight": 4})
        served.wait("one pod is enough", lambda: len(served.answering()) == 1, within=120)
        edit(autoscaling={"targetInFlight": 1})
        served.wait("two pods are needed", lambda: len(served.answering()) == 2, within=120)
        judge = "app.kubernetes.io/component=rollout-judge"
        served.kubectl("delete", "pod", "-l", judge, "--grace-period=0", "--force")
        edit(autoscaling={"targetInFlight": 4})
        served.wait("another judge tells of them", lambda: len(served.answering()) == 1, within=180)
    events = served.kubectl("get", "events", "--field-selector", f"involvedObject.name={NAME}")
    assert "ScaledUp" in events
    assert "ScaledDown" in events
    edit(autoscaling=None)

    def judges() -> list[str]:
        found = [each["metadata"]["name"] for each in served.items("deployments")]
        return [name for name in found if name.endswith("-judge")]

    served.wait("no judge is left", lambda: not judges())


@pytest.mark.long
def test_the_number_of_pods_follows_the_requests_to_none_and_back_and_no_request_fails(served: Served) -> None:
    """A client that asks each 25 s finds no pod each time, and gets its answer."""
    scaling = {"min": 0, "max": 2, "targetInFlight": 4, "idleSeconds": 10, "scaleDownSeconds": 0}
    patch = {"server": {"grpc": False, "batching": None}, "autoscaling": scaling, "replicas": 1}
    before = served.status()["champion"]
    served.kubectl("patch", "md", NAME, "--type=merge", "-p", json.dumps({"spec": patch}))
    served.wait("a version without gRPC", lambda: served.status().get("champion") != before, within=120)
    served.wait("the old pods are gone", lambda: not served.pods(before), within=120)
    image = served.cluster.images["operator"]
    rows, labels = load_digits().images[:1, None].tolist(), [str(load_digits().target[0])]
    served.kubectl("delete", "pod", "client", "--wait=true")

    def asked() -> tuple[float, str]:
        pod = client_pod(image, [], [])
        tensor = {"name": "x", "shape": [1, 1, 8, 8], "datatype": "FP64", "data": rows}
        body = json.dumps({"inputs": [tensor], "outputs": [{"name": "label"}]})
        [container] = pod["spec"]["containers"]
        script = (
            "import json, sys, time, urllib.request as u; start = time.monotonic();"
            "said = json.load(u.urlopen('http://digits/v2/models/digits/infer', sys.argv[1].encode(), timeout=60));"
            "print(time.monotonic() - start, said['outputs'][0]['data'][0])"
        )
        container["command"] = ["python", "-c", script, body]
        pod["metadata"]["name"] = "once"
        served.cluster.apply(json.dumps(pod), served.namespace)
        served.wait(
            "an answer", lambda: served.cluster.get("pod", "once", "-n", served.namespace)["status"]["phase"] in ENDED
        )
        said = served.kubectl("logs", "once").split()
        served.kubectl("delete", "pod", "once", "--wait=true")
        assert said[1:] == labels, said
        return float(said[0]), said[1]

    for _ in range(2):
        served.wait("no pod is left", lambda: not served.pods(), within=180)
        assert served.condition("Ready")["reason"] == "ScaledToZero"
        seconds, _ = asked()
        print(f"from nothing to an answer: {seconds:.2f} s")
        assert seconds < 60
        served.wait("a pod answers", lambda: len(served.answering() & served.pods()) == 1)
    data = load_digits()
    served.cluster.apply(json.dumps(client_pod(image, data.images[:1, None].tolist(), labels)), served.namespace)
    served.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
    served.kubectl("patch", "md", NAME, "--type=merge", "-p", json.dumps({"spec": {"autoscaling": None}}))
    served.wait("an answer", lambda: served.counted().get("last"))


def test_a_deleted_deployment_leaves_nothing_but_the_model(served: Served) -> None:
    served.kubectl("delete", "md", NAME, "--timeout=60s")
    kinds = "deployments,replicasets,pods,services,endpointslices,networkpolicies,poddisruptionbudgets"
    served.wait("nothing is left", lambda: not served.items(kinds, "-l", "headway.dev/deployment"))
    assert served.digest.endswith(served.in_client(f"sha256sum < /models/{served.path}/model.json").split()[0])
