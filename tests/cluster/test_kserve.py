"""Versions by KServe before a real API server with KServe's own CRD, and with the very rights of the chart.

KServe's controller is not there: the test does what it does (as of 0.17: `createRawDefaultDeployment` and
`PropagateRawStatus`), and kwok's pods answer nobody.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.paper import Operator, Paper
from cluster.served_models import SMALL, condition, edit, kinds_came_late, status, with_models
from harness import run
from headway_operator.serving.render.kserve import CONTAINER

pytestmark = pytest.mark.cluster

SPEC: dict[str, Any] = {
    "spec.server": {**SMALL, "grpc": True, "backend": "kserve"},
    "spec.rollout": {"blueGreen": {"bakeSeconds": 5}, "progressDeadlineSeconds": 600},
}
EXTENSION = ("minReplicas", "maxReplicas", "labels", "deploymentStrategy")
"""What of a predictor is no part of its pod."""
FLAGS = ("--server-image", "server:test", "--kserve", "--resync-seconds", "2")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with the kinds, and the operator's rights to InferenceServices; their CRD is not there yet."""
    with with_models("kserve", tmp_path_factory.mktemp("kserve"), "kserve.enabled") as made:
        yield made


@pytest.fixture(scope="module")
def operator(paper: Paper) -> Iterator[Operator]:
    """At work; one that began before there was KServe's CRD has said so, and ended when that came."""

    def told() -> None:
        paper.until("it is told", lambda: condition(paper, "Progressing").get("reason") == "NotServed")
        assert "does not serve inferenceservices" in condition(paper, "Progressing")["message"]
        assert status(paper)["versions"] == []

    with kinds_came_late(paper, FLAGS, SPEC, "kserve-crd", told) as made:
        yield made


def services(paper: Paper) -> dict[int, dict[str, Any]]:
    """The InferenceServices, by the numbers of their versions."""
    return {int(each["metadata"]["name"].rpartition("-")[2]): each for each in paper.cluster.items("isvc")}


def reconcile(paper: Paper, number: int) -> None:
    """What KServe does about one: a Deployment with its pod, labels, strategy and number of pods."""
    service = services(paper)[number]
    meta, predictor = service["metadata"], service["spec"]["predictor"]
    name = f"{meta['name']}-predictor"
    owner = {key: service[key] for key in ("apiVersion", "kind")}
    owner |= {"name": meta["name"], "uid": meta["uid"], "controller": True}
    labels = {**meta["labels"], **predictor["labels"], "app": f"isvc.{name}"}
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "replicas": predictor["minReplicas"],
            "strategy": predictor["deploymentStrategy"],
            "template": {
                "metadata": {"labels": labels},
                "spec": {key: value for key, value in predictor.items() if key not in EXTENSION},
            },
        },
    }
    paper.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
    wanted = predictor["minReplicas"]
    paper.until(
        "its pods", lambda: paper.cluster.get("deployment", name).get("status", {}).get("readyReplicas") == wanted
    )


def say(paper: Paper, number: int, word: str, reason: str) -> None:
    """KServe's word of one."""
    ready = {"type": "PredictorReady", "status": word, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = json.dumps({"status": {"conditions": [ready]}})
    name = services(paper)[number]["metadata"]["name"]
    paper.cluster.kubectl("patch", "isvc", name, "--subresource=status", "--type=merge", "-p", patch)


@pytest.mark.usefixtures("operator")
class TestInferenceServices:
    def test_what_is_made_is_what_kserves_schema_takes_and_the_version_answers_once_kserve_says_so(
        self, paper: Paper
    ) -> None:
        paper.until("the first", lambda: services(paper))
        [(number, service)] = services(paper).items()
        assert [each["name"] for each in service["spec"]["predictor"]["containers"]] == [CONTAINER]
        [owner] = service["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("ModelDeployment", "digits", True)
        reconcile(paper, number)
        say(paper, number, "Unknown", "NewReplicaSetCreated")
        paper.until("two pods", lambda: "2 of 2 pods are ready" in condition(paper, "Progressing")["message"])
        assert "KServe says NewReplicaSetCreated" in condition(paper, "Progressing")["message"]
        assert not status(paper).get("champion"), "KServe does not call it ready"
        say(paper, number, "True", "NewReplicaSetAvailable")
        paper.until("it answers", lambda: status(paper).get("champion") == "digits-1", within=30)
        selector = paper.cluster.get("service", "digits")["spec"]["selector"]
        words = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = paper.cluster.items("pods", "-l", words)
        assert [each["metadata"]["name"].split("-predictor-")[0] for each in pods] == [service["metadata"]["name"]] * 2

    def test_it_is_scaled_in_place_and_written_no_more_often_than_needed(self, paper: Paper) -> None:
        before = services(paper)[1]["metadata"]["generation"]
        paper.cluster.kubectl("scale", "md/digits", "--replicas=3")
        paper.until("three", lambda: services(paper)[1]["spec"]["predictor"]["minReplicas"] == 3)
        reconcile(paper, 1)
        paper.until("all are ready", lambda: status(paper)["summary"]["ready"] == "3/3", within=30)
        assert services(paper)[1]["metadata"]["generation"] == before + 1

    def test_another_version_takes_over_and_the_old_one_goes_with_all_that_kserve_made_of_it(
        self, paper: Paper
    ) -> None:
        edit(paper, {"versions": {"source": {"digest": f"sha256:{'2' * 64}"}}})
        paper.until("the second", lambda: 2 in services(paper))
        reconcile(paper, 2)
        say(paper, 2, "True", "NewReplicaSetAvailable")
        paper.until("it answers", lambda: status(paper).get("champion") == "digits-2", within=30)
        paper.until("the old one goes", lambda: list(services(paper)) == [2], within=30)

    def test_the_operators_token_makes_and_changes_no_other_inference_services(self, paper: Paper) -> None:
        model = paper.cluster.get("md", "digits")["metadata"]
        good = services(paper)[2]
        meta = {key: good["metadata"][key] for key in ("labels", "annotations", "ownerReferences")}
        name = f"digits-{model['uid'][:5]}-9"
        token = {"serviceAccountName": "admin"}
        host = {"volumes": [{"name": "model", "hostPath": {"path": "/"}}]}
        fetched = [{"name": CONTAINER, "env": [{"name": "STORAGE_URI", "value": "s3://thief"}]}]
        attacks: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            ({}, token, "no account's token"),
            ({}, host, "no volume but models"),
            ({}, {"securityContext": {}}, "restricted Pod Security"),
            ({}, {"containers": fetched}, "KServe fetches nothing"),
            ({}, {"model": {"modelFormat": {"name": "onnx"}}}, "KServe fetches nothing"),
            ({}, {"labels": {"headway.dev/deployment-uid": "another"}}, "for the pods of their owner"),
            # Two policies refuse this, and the API server names either.
            ({"ownerReferences": []}, {}, "the operator creates"),
            ({"name": "other-1"}, {}, "with its name"),
        ]
        for changes, predictor, words in attacks:
            spec = {"predictor": {**copy.deepcopy(good["spec"]["predictor"]), **predictor}}
            body = {
                **{key: good[key] for key in ("apiVersion", "kind")},
                "metadata": {"name": name, **meta, **changes},
                "spec": spec,
            }
            assert words in self.refusal(paper, "create", "-f", "-", stdin=json.dumps(body)), (changes, predictor)
        [server] = good["spec"]["predictor"]["containers"]
        changed: list[dict[str, Any]] = [
            {"spec": {"predictor": {"containers": [{**server, "image": "thief:1"}]}}},
            {"spec": {"predictor": {"labels": {"headway.dev/version": "1"}}}},
            {"metadata": {"annotations": {"serving.kserve.io/deploymentMode": "Serverless"}}},
            {"metadata": {"annotations": {"example.com/another": "1"}}},
            {"metadata": {"labels": {"headway.dev/version": "1"}}},
        ]
        for change in changed:
            patch = ("patch", "isvc", good["metadata"]["name"], "--type=merge", "-p", json.dumps(change))
            assert "only the number of its replicas" in self.refusal(paper, *patch), change
        # As KServe's webhook changes what the operator writes.
        newer = {"metadata": {"annotations": {"serving.kserve.io/deploymentMode": "Standard"}}}
        patch = ("patch", "isvc", good["metadata"]["name"], "--type=merge", "-p", json.dumps(newer))
        assert "patched" in self.refusal(paper, *patch)

    @staticmethod
    def refusal(paper: Paper, *words: str, stdin: str | None = None) -> str:
        """What the API server says to the operator's token."""
        return run("kubectl", *words, stdin=stdin, check=False, KUBECONFIG=str(paper.kubeconfig))

    def test_all_goes_with_the_deployment(self, paper: Paper) -> None:
        paper.cluster.kubectl("delete", "md", "digits")
        paper.until(
            "nothing is left",
            lambda: not paper.cluster.items("isvc,deployments,services", "-l", "headway.dev/deployment=digits"),
        )
