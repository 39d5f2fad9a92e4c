"""Routes of gateways before a real API server with the Gateway API's own CRDs, and with the very rights of the chart.

There is no gateway: kwok's pods answer nobody. tests/e2e has one that requests are sent through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.paper import Operator, Paper
from cluster.served_models import SMALL, condition, edit, kinds_came_late, status, with_models
from deployment_documents import DIGEST
from harness import run
from headway_api.rollout_wire import KEY_ROUTE, KEY_VERDICT, Route, Verdict

pytestmark = pytest.mark.cluster

GATEWAY: dict[str, Any] = {
    "parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "web", "port": 8000}],
    "hostnames": ["digits.example.com"],
    "pathPrefix": "/models/digits",
    "split": "gateway",
    "grpc": {"hostnames": ["*.grpc.example.com"]},
}
SPEC: dict[str, Any] = {
    "spec.server": {**SMALL, "grpc": True},
    "spec.rollout": {
        "canary": {"steps": [{"weight": 5, "minSeconds": 600}, {"weight": 50, "minSeconds": 600}], "bakeSeconds": 5},
        "progressDeadlineSeconds": 600,
    },
    "spec.route.gateway": GATEWAY,
}
NAME = "digits-route"
SOON = 5.0
"""Seconds in which all requests are to be back where they are answered."""


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with the kinds, and the operator's rights to routes; the CRDs of routes are not there yet."""
    with with_models("gateway", tmp_path_factory.mktemp("gateway"), "gatewayApi.enabled") as made:
        yield made


FLAGS = ("--server-image", "server:test", "--gateway-api", "--resync-seconds", "2")


@pytest.fixture(scope="module")
def operator(paper: Paper) -> Iterator[Operator]:
    """At work; one that began before there were CRDs of routes has said so, and ended when these came."""

    def told() -> None:
        paper.until("a version answers", lambda: condition(paper, "Ready").get("status") == "True", within=120)
        told = condition(paper, "RouteAccepted")
        assert (told["status"], told["reason"]) == ("False", "NotServed")
        assert "does not serve httproutes and grpcroutes of gateway.networking.k8s.io/v1" in told["message"]

    with kinds_came_late(paper, FLAGS, SPEC, "gateway-crds", told) as made:
        yield made


def spec(paper: Paper, kind: str = "httproute") -> dict[str, Any]:
    """A route's."""
    found = paper.cluster.items(kind)
    return found[0]["spec"] if found else {}


def weights(paper: Paper, kind: str = "httproute") -> dict[str, int]:
    """Where it leads."""
    rules = spec(paper, kind).get("rules") or [{}]
    return {each["name"]: each["weight"] for each in rules[0].get("backendRefs", ())}


def own(paper: Paper, number: int) -> str:
    """The name of a version's objects."""
    uid = paper.cluster.get("md", "digits")["metadata"]["uid"]
    return f"digits-{uid[:5]}-{number}"


def split(paper: Paper, digit: str) -> str:
    """Another version has its first share; the name of its Service."""
    name = own(paper, status(paper)["lastNumber"] + 1)
    edit(paper, {"versions": {"source": {"digest": f"sha256:{digit * 64}"}}})
    paper.until("its share", lambda: weights(paper).get(name) == 5, within=120)
    return name


def say(paper: Paper, verdict: str) -> None:
    """What the judge would write."""
    [config] = [each for each in paper.cluster.items("configmaps") if each["metadata"]["name"].endswith("-judge")]
    route = Route.model_validate_json(config["data"][KEY_ROUTE])
    words = {"uid": route.uid, "rollout": route.candidate, "epoch": route.epoch, "servers": 2, "following": 2}
    word = Verdict(**words, verdict=verdict, reason="ErrorRate", message="so it is")
    patch = {"data": {KEY_VERDICT: word.model_dump_json()}}
    name = config["metadata"]["name"]
    paper.cluster.kubectl("patch", "configmap", name, "--type=merge", "-p", json.dumps(patch))


@pytest.mark.usefixtures("operator")
class TestRoutes:
    def test_what_is_made_is_what_the_api_server_takes_and_nothing_is_written_twice(self, paper: Paper) -> None:
        paper.until("both routes", lambda: weights(paper) and weights(paper, "grpcroute"))
        assert spec(paper)["hostnames"] == ["digits.example.com"]
        assert spec(paper)["parentRefs"] == [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", **GATEWAY["parentRefs"][0]}
        ]
        assert (weights(paper), weights(paper, "grpcroute")) == ({"digits": 1}, {"digits": 1})
        assert spec(paper, "grpcroute")["hostnames"] == ["*.grpc.example.com"]
        paper.until("it is told", lambda: condition(paper, "RouteAccepted").get("reason") == "Unheard")
        generation = paper.cluster.get("httproute", NAME)["metadata"]["generation"]
        edit(paper, {"replicas": 3})
        paper.until("three", lambda: status(paper)["summary"]["ready"] == "3/3")
        assert paper.cluster.get("httproute", NAME)["metadata"]["generation"] == generation

    def test_what_a_gateway_says_of_it_is_told_and_what_others_meddle_with_is_put_right(self, paper: Paper) -> None:
        said = [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind, status, reason in (("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs"))
        ]
        for kind in ("httproute", "grpcroute"):
            refs = spec(paper, kind)["parentRefs"]
            parents = [{"parentRef": ref, "controllerName": "example.com/gateway", "conditions": said} for ref in refs]
            patch = json.dumps({"status": {"parents": parents}})
            paper.cluster.kubectl("patch", kind, NAME, "--subresource=status", "--type=merge", "-p", patch)
        paper.until("accepted", lambda: condition(paper, "RouteAccepted").get("status") == "True")
        rules = [{"backendRefs": [{"name": "payments", "port": 80}]}]
        paper.cluster.kubectl("patch", "httproute", NAME, "--type=merge", "-p", json.dumps({"spec": {"rules": rules}}))
        paper.until("put right", lambda: weights(paper) == {"digits": 1})
        paper.cluster.kubectl("delete", "grpcroute", NAME)
        paper.until("made again", lambda: weights(paper, "grpcroute") == {"digits": 1})

    def test_a_canary_has_weights_that_go_when_its_pods_go_and_come_back_with_them(self, paper: Paper) -> None:
        name = split(paper, "2")
        assert weights(paper) == {"digits": 95, name: 5}
        paper.until("gRPC, too", lambda: weights(paper, "grpcroute") == {"digits": 95, name: 5})
        # Nobody is ready, as no pod of it may be scheduled.
        for node in paper.cluster.items("nodes"):
            paper.cluster.kubectl("cordon", node["metadata"]["name"])
        version = name.rpartition("-")[2]
        paper.cluster.kubectl("delete", "pods", "-l", f"headway.dev/version={version}", "--grace-period=0", "--force")
        paper.until("no requests for nobody", lambda: weights(paper) == {"digits": 1}, within=SOON * 3)
        for node in paper.cluster.items("nodes"):
            paper.cluster.kubectl("uncordon", node["metadata"]["name"])
        paper.until("its share again", lambda: weights(paper) == {"digits": 95, name: 5}, within=120)

    def test_what_the_judge_finds_to_fail_has_no_weight_within_seconds(self, paper: Paper) -> None:
        say(paper, "fail")
        paper.until("all is taken back", lambda: weights(paper) == {"digits": 1}, within=SOON)
        paper.until("by gRPC, too", lambda: weights(paper, "grpcroute") == {"digits": 1}, within=SOON)
        assert condition(paper, "RolledBack")["reason"] == "ErrorRate"

    def test_without_a_gateway_in_the_spec_there_are_no_routes(self, paper: Paper) -> None:
        edit(paper, {"route": None, "versions": {"source": {"digest": DIGEST}}})
        paper.until("none", lambda: not paper.cluster.items("httproutes,grpcroutes"))
        assert not condition(paper, "RouteAccepted")

    def test_the_operators_token_makes_no_other_routes(self, paper: Paper) -> None:
        meta = paper.cluster.get("md", "digits")["metadata"]
        owner = {
            "apiVersion": "headway.dev/v1alpha1", "kind": "ModelDeployment", "name": "digits", "uid": meta["uid"],
            "controller": True,
        }  # fmt: skip
        labels = {"app.kubernetes.io/managed-by": "headway", "headway.dev/deployment-uid": meta["uid"]}
        copies = [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "thief", "port": 80}}}]
        attacks: list[tuple[dict[str, Any], list[dict[str, Any]], str]] = [
            ({}, [{"backendRefs": [{"name": "payments", "port": 80}]}], "lead to their owner's Services"),
            ({}, [{"backendRefs": [{"name": "digits", "namespace": "kube-system", "port": 80}]}], "their owner's"),
            ({}, [{"backendRefs": [{"name": "digits", "port": 80}], "filters": copies}], "or copies of them"),
            ({"name": "digits-other"}, [{"backendRefs": [{"name": "digits", "port": 80}]}], "only routes of a Model"),
            # Two policies refuse this, and the API server names either.
            ({"ownerReferences": []}, [{"backendRefs": [{"name": "digits", "port": 80}]}], "the operator creates"),
        ]
        for changes, rules, words in attacks:
            body = {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "HTTPRoute",
                "metadata": {"name": NAME, "labels": labels, "ownerReferences": [owner], **changes},
                "spec": {"parentRefs": [{"name": "public"}], "rules": rules},
            }
            said = run(
                *("kubectl", "create", "-f", "-"), stdin=json.dumps(body), check=False, KUBECONFIG=str(paper.kubeconfig)
            )
            assert words in said, (changes, said)
