"""New versions take their share of real requests in steps, or are given back by themselves; and no request fails.

A client in the cluster sends a hundred requests a second all the while. Bad models fail, are slow or answer wrong by
their own graph (`bent_models`): nothing of Headway knows of it but by its requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bent_models
from harness import Cluster

from .node import Node
from .rolling import CANARY, Rolling, Seen, judge, served_and_asked
from .test_serving import COMPONENT, NAME, WRONG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rolling(headway: Cluster, digits: str, node: Node) -> Iterator[Rolling]:
    """The deployment and its client."""
    with served_and_asked(headway, digits, node) as made:
        yield made


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


@pytest.mark.long  # test_serving.py does the same without a canary
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
