"""Requests that come by a real gateway, Traefik, while versions change: who answers, and how soon a bad one does not.

Traefik is built on first use, which takes minutes: hack/cluster.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

import bent_models
from harness import HACK_CLUSTER, Cluster, run
from headway_api.rollout_wire import Verdict

from .conftest import STORAGE, install
from .node import Node
from .rolling import Rolling, served_and_asked
from .test_serving import NAME

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

HOST = "models.example.com"
GATEWAY = {
    "parentRefs": [{"name": "public"}],
    "hostnames": [HOST],
    "pathPrefix": "/digits",
    "split": "gateway",
}
PUBLIC = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "public"},
    "spec": {
        "gatewayClassName": "traefik",
        "listeners": [
            {"name": "web", "port": 8000, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Same"}}}
        ],
    },
}
QUARTER = {
    "canary": {"steps": [{"weight": 25, "minSeconds": 2}], "bakeSeconds": 3},
    "analysis": {"minRequests": 30},
    "approval": "manual",
}
HALF = {"canary": {"steps": [{"weight": 50, "minSeconds": 120}], "bakeSeconds": 3}, "analysis": {"minRequests": 30}}
BACK_SECONDS = 5.0
"""After what the judge has seen, all requests are answered by the version that answered before."""
QUIET_SECONDS = 5.0
"""After the last request the judge has written what was counted of it."""
ROWS = bent_models.MANY
"""A bent model is so to requests of so many."""
TENSOR = {"name": "x", "shape": [ROWS, 1, 8, 8], "datatype": "FP64", "data": [0.0] * 64 * ROWS}
BODY = json.dumps({"inputs": [TENSOR], "outputs": [{"name": "label"}]})


@dataclass
class Client:
    """Asks by the gateway."""

    url: str
    answers: list[tuple[float, int, str]] = field(default_factory=list)
    """When, with which status, by which version."""

    def ask(self, connection: http.client.HTTPConnection) -> tuple[int, str]:
        """One request: the status, and the number of the version that answered."""
        headers = {"Host": HOST, "Content-Type": "application/json"}
        connection.request("POST", f"/digits/v2/models/{NAME}/infer", BODY, headers)
        answer = connection.getresponse()
        answer.read()
        found = answer.status, answer.getheader("headway-version") or ""
        self.answers.append((time.monotonic(), *found))
        return found

    def connection(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)

    def ask_once(self) -> tuple[int, str]:
        """One request on a connection of its own."""
        with closing(self.connection()) as connection:
            return self.ask(connection)

    def ask_many(self, number: int) -> Counter[tuple[int, str]]:
        """So many, one after the other."""
        with closing(self.connection()) as connection:
            return Counter(self.ask(connection) for _ in range(number))

    @contextmanager
    def steadily(self, period: float = 0.02) -> Iterator[None]:
        """Some requests a second meanwhile."""
        over = threading.Event()

        def go_on() -> None:
            with closing(self.connection()) as connection:
                while not over.wait(period):
                    try:
                        self.ask(connection)
                    except (OSError, http.client.HTTPException) as error:
                        self.answers.append((time.monotonic(), 0, repr(error)))
                        connection.close()

        asking = threading.Thread(target=go_on)
        asking.start()
        try:
            yield
        finally:
            over.set()
            asking.join()


@pytest.fixture(scope="module")
def gateway(headway: Cluster) -> Iterator[str]:
    """Traefik's URL; the operator may make routes meanwhile."""
    url = run(HACK_CLUSTER, "gateway", timeout=3600).strip()
    install(headway, *STORAGE, "--set", "gatewayApi.enabled=true")
    yield url
    install(headway, *STORAGE, "--set", "gatewayApi.enabled=false")


@pytest.fixture(scope="module")
def rolling(gateway: str, headway: Cluster, digits: str, node: Node) -> Iterator[Rolling]:
    """The deployment, a client of it within the cluster, and its route."""
    headway.apply(json.dumps(PUBLIC), digits)
    with served_and_asked(headway, digits, node) as made:
        made.patch(route={"gateway": GATEWAY})
        made.wait("the gateway takes it", lambda: made.condition("RouteAccepted").get("status") == "True")
        client = Client(gateway)
        made.wait("an answer by it", lambda: client.ask_once()[0] == 200)
        yield made


def verdict(rolling: Rolling) -> Verdict:
    """The judge's newest word."""
    texts = [each.get("data", {}).get("verdict.json") for each in rolling.items("configmaps")]
    [text] = [text for text in texts if text]
    return Verdict.model_validate_json(text)


def test_a_version_gets_its_share_by_the_gateway_and_the_judge_counts_each_of_these_requests_and_no_other(
    rolling: Rolling, gateway: str
) -> None:
    name, before = rolling.next_name(), rolling.status()["champion"].rpartition("-")[2]
    number, client = name.rpartition("-")[2], Client(gateway)
    with rolling.no_request_fails(at_least=100):
        with client.steadily():
            rolling.roll(rolling.model("better"), QUARTER)
            rolling.wait("it waits", lambda: rolling.condition("Progressing").get("reason") == "AwaitingApproval")
        time.sleep(QUIET_SECONDS)
        told = verdict(rolling)
        got = client.ask_many(600)
        time.sleep(QUIET_SECONDS)
        new = verdict(rolling)
        assert set(got) == {(200, before), (200, number)}
        assert abs(got[200, number] - 150) <= 4.5 * (600 * 0.25 * 0.75) ** 0.5, "a quarter"
        # The client within the cluster goes on all the while, by the Service, and is counted for nobody.
        assert new.stable_requests - told.stable_requests == got[200, before]
        assert new.candidate_requests - told.candidate_requests == got[200, number]
        with client.steadily():
            rolling.patch(versions={"approve": name})
            rolling.promoted(name)
    assert client.ask_many(50) == {(200, number): 50}
    assert {status for _, status, _ in client.answers} == {200}, "no request failed"


def test_a_version_that_fails_is_out_of_the_way_of_the_gateways_requests_within_seconds(
    rolling: Rolling, gateway: str
) -> None:
    name, before = rolling.next_name(), rolling.status()["champion"]
    number, client = name.rpartition("-")[2], Client(gateway)
    model = rolling.model("failing", bent_models.failing(0.4))
    with client.steadily(), rolling.watched(name) as seen:
        rolling.roll(model, HALF)
        assert rolling.taken_back(name)["reason"] == "ErrorRate"
        time.sleep(2 * BACK_SECONDS)
    assert seen.failed is not None, "it was the judge that found it"
    theirs = [when - seen.began for when, _, version in client.answers if version == number]
    assert len(theirs) >= 10
    assert max(theirs) - seen.failed < BACK_SECONDS
    assert {status for _, status, _ in client.answers} <= {200, 500}, "no gateway leads where nobody is"
    assert rolling.status()["champion"] == before
    assert client.ask_many(100) == {(200, before.rpartition("-")[2]): 100}


def test_pods_that_vanish_in_a_step_take_their_weight_with_them(rolling: Rolling, gateway: str) -> None:
    name, before = rolling.next_name(), rolling.status()["champion"].rpartition("-")[2]
    client = Client(gateway)
    rolling.roll(rolling.model("vanishing"), HALF)
    rolling.wait("its share", lambda: rolling.version(name).get("weight") == 50)
    number = name.rpartition("-")[2]
    rolling.cluster.wait("an answer of it", lambda: client.ask_once() == (200, number), every=0.05)
    # No pod of it can come back.
    rolling.kubectl("cordon", rolling.items("nodes")[0]["metadata"]["name"])
    try:
        rolling.kubectl("delete", "pods", "-l", f"headway.dev/version={number}", "--grace-period=1", "--wait=false")
        time.sleep(2 * BACK_SECONDS)
        assert client.ask_many(100) == {(200, before): 100}
    finally:
        rolling.kubectl("uncordon", rolling.items("nodes")[0]["metadata"]["name"])
    rolling.cluster.wait("it is back", lambda: client.ask_once() == (200, number), every=0.05)
    rolling.patch(versions={"abort": name})
    rolling.taken_back(name)
