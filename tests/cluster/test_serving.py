"""ModelDeployments before a real API server, scheduler and controllers, with kwok for the nodes and their pods.

The operator has the very rights that the chart gives it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.paper import Operator, Paper
from cluster.served_models import SMALL, SPEC, condition, edit, status, with_models
from deployment_documents import DIGEST, deployment
from headway_cli.cluster.kubectl import Target
from headway_cli.ui.asking import Asked, Site
from headway_cli.ui.pages import deployments as pages

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with the kinds, the operator's rights, and a volume with models."""
    with with_models("serving", tmp_path_factory.mktemp("serving")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(paper: Paper) -> Iterator[Operator]:
    """The operator, at work."""
    with paper.operator("--server-image", "server:test") as made:
        yield made


def answering(paper: Paper) -> list[str]:
    """The pods that clients of the Service reach."""
    slices = paper.cluster.items("endpointslices", "-l", "kubernetes.io/service-name=digits")
    return [
        str(endpoint["targetRef"]["name"])
        for found in slices
        for endpoint in found.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
    ]


def job_of_champion(paper: Paper) -> str | None:
    """The job that has made what answers."""
    said = status(paper)
    return next((each.get("job") for each in said.get("versions", ()) if each["name"] == said.get("champion")), None)


def shown(paper: Paper) -> Mapping[str, Any]:
    """What the page of the deployment has."""
    site = Site(Target(kubeconfig=str(paper.cluster.kubeconfig)), context="paper", namespace="default")
    page = pages.deployment(Asked(site, datetime.now(UTC), names={"namespace": "default", "name": "digits"}))
    return page.data


def delete(paper: Paper) -> None:
    """The deployment goes, with all that it has."""
    paper.cluster.kubectl("delete", "md", "digits")
    left = "deployments,services,networkpolicies,poddisruptionbudgets"
    selector = "app.kubernetes.io/component=model-server"
    paper.until("nothing left", lambda: not paper.cluster.items(left, "-l", selector), within=120)


def test_versions_come_answer_and_are_taken_back(paper: Paper, operator: Operator) -> None:
    paper.cluster.apply(json.dumps(deployment(SPEC)))
    paper.until("the first version answers", lambda: status(paper).get("phase") == "Ready", within=120)
    paper.until("both pods behind the Service", lambda: len(answering(paper)) == 2)
    said = status(paper)
    assert (said["champion"], said["summary"]["ready"], said["observedGeneration"]) == ("digits-1", "2/2", 1)
    row = paper.cluster.kubectl("get", "md", "digits").splitlines()[1].split()
    assert row[:4] == ["digits", "Ready", "digits-1", "2/2"]
    first = set(answering(paper))

    # A second one that no node has room for.
    large = {**SMALL, "resources": {"cpu": "4000", "memory": "16Mi"}}
    edit(paper, {"server": large, "rollout": {"progressDeadlineSeconds": 10}})
    paper.until("the second is on its way", lambda: status(paper).get("candidate") == "digits-2")

    def rejected() -> bool:
        assert set(answering(paper)) == first, "clients reach the pods that they reached before"
        return condition(paper, "RolledBack").get("status") == "True"

    paper.until("the second is rejected", rejected, within=90)
    why = condition(paper, "RolledBack")
    assert why["reason"] == "NotReady"
    assert "0 of 2 pods are ready" in why["message"]
    assert "Insufficient cpu" in why["message"]
    paper.until("its objects are gone", lambda: len(paper.cluster.items("deployments")) == 1)
    assert set(answering(paper)) == first
    assert {"VersionBegun", "Promoted", "RolledBack"} <= set(paper.events("digits"))

    # A third one that is good.
    good = {"server": SMALL, "versions": {"source": {"digest": f"sha256:{'3' * 64}"}}}
    edit(paper, {**good, "rollout": {"progressDeadlineSeconds": 30}})
    paper.until("the third answers", lambda: status(paper).get("champion") == "digits-3", within=120)
    paper.until("its pods behind the Service", lambda: len(set(answering(paper)) - first) == 2)
    paper.until("the old pods are gone", lambda: len(paper.cluster.items("deployments")) == 1)
    assert operator.metric('headway_rollouts_ended_total{outcome="Promoted"}') == 2
    assert operator.metric('headway_rollouts_ended_total{outcome="NotReady"}') == 1
    assert operator.metric('headway_deployments{phase="Ready"}') == 1

    # What the page of `headway ui` says of all that.
    told = shown(paper)
    assert told["sentence"].startswith("digits-3 answers, with 2/2 pods ready")
    assert [(each.name, each.percent) for each in told["shares"]] == [("digits-3", 100)]
    (second,) = told["rejected"]
    assert (second.name, second.reason) == ("digits-2", "NotReady")
    assert "Insufficient cpu" in second.message
    assert {"VersionBegun", "Promoted", "RolledBack"} <= {each.what for each in told["events"]}
    assert {each.name: each.badge for each in told["conditions"]}["Ready"] == "good"

    # Scaled by the scale subresource; put right where somebody has meddled.
    paper.cluster.kubectl("scale", "md/digits", "--replicas=3")
    paper.until("three pods behind the Service", lambda: len(answering(paper)) == 3)
    paper.cluster.kubectl("patch", "service", "digits", "--type=merge", "-p", '{"spec":{"selector":{"a":"b"}}}')
    paper.until("the Service leads to the pods again", lambda: len(answering(paper)) == 3)

    delete(paper)
    assert operator.get("/healthz") == "ok"
    assert operator.metric('headway_reconciles_total{result="bug"}') == 0
    denied = [line for line in operator.lines() if "denied request" in json.dumps(line)]
    assert denied == [], "the chart's policies let through all that the operator does"


def test_an_operator_that_is_killed_in_the_middle_goes_on_where_it_was(paper: Paper, operator: Operator) -> None:
    operator.kill()
    with paper.operator("--server-image", "server:test") as another:
        paper.cluster.apply(json.dumps(deployment(SPEC)))
        paper.until("the first version begins", lambda: status(paper).get("lastNumber") == 1, every=0.02)
        another.kill()
    with paper.operator("--server-image", "server:test") as last:
        paper.until("it answers", lambda: status(paper).get("champion") == "digits-1", within=120)
        paper.until("pods behind the Service", lambda: len(answering(paper)) == 2)
        assert status(paper)["lastNumber"] == 1
        assert status(paper)["versions"][0]["source"]["digest"] == DIGEST
        assert last.metric('headway_reconciles_total{result="bug"}') == 0
        delete(paper)


@pytest.fixture
def another(paper: Paper) -> Iterator[Operator]:
    """Another operator than the one that the tests before have ended."""
    with paper.operator("--server-image", "server:test") as made:
        yield made


def test_what_jobs_publish_is_served_in_turn_whatever_becomes_of_the_jobs(paper: Paper, another: Operator) -> None:
    storage = {"persistentVolumeClaim": {"name": "models", "path": "runs"}}
    publishing: dict[str, Any] = {"publish": {"deployment": "digits"}, "storage": storage}
    paper.cluster.apply(json.dumps(deployment({**SPEC, "spec.versions": {}})))
    paper.until("it waits", lambda: condition(paper, "Progressing").get("reason") == "WaitingForPublish")
    assert "spec.publish.deployment digits" in condition(paper, "Ready")["message"]

    # Two models that are not good enough, and one that is.
    paper.submit("sunday", **publishing)
    paper.phase("sunday", "Running")
    paper.end_driver("sunday", "Failed", code=65, cause="GateFailed", message="f1 is 0.1", bundle=f"sha256:{'0' * 64}")
    bundle = paper.phase("sunday", "Failed")["result"]["bundle"]
    path = f"runs/default/sunday-{paper.uid('sunday')[:8]}"
    assert bundle == {"digest": f"sha256:{'0' * 64}", "persistentVolumeClaim": {"name": "models", "path": path}}
    paper.submit("monday", **publishing)
    paper.phase("monday", "Running")
    paper.end_driver("monday", "Succeeded", bundle=DIGEST)
    offered = next(each for each in paper.phase("monday", "Succeeded")["conditions"] if each["type"] == "Published")
    assert (offered["status"], offered["reason"]) == ("True", "Offered")
    paper.until("what monday published answers", lambda: status(paper).get("champion") == "digits-1", within=120)
    version = status(paper)["versions"][0]
    assert (version["job"], version["source"]["digest"]) == ("monday", DIGEST)

    # One that is deleted as soon as it has ended.
    paper.submit("tuesday", **publishing, ttlSecondsAfterFinished=0)
    paper.phase("tuesday", "Running")
    paper.end_driver("tuesday", "Succeeded", bundle=f"sha256:{'2' * 64}")
    paper.until("tuesday is gone", lambda: "tuesday" not in paper.statuses())
    paper.until("what tuesday published answers", lambda: status(paper).get("champion") == "digits-2", within=120)
    assert [each["job"] for each in status(paper)["versions"]] == ["monday", "tuesday"]
    assert status(paper)["published"]["job"] == "tuesday"

    # Another process of the operator, and no job any more.
    paper.cluster.kubectl("delete", "tj", "--all")
    another.kill()
    with paper.operator("--server-image", "server:test"):
        edit(paper, {"replicas": 1})
        paper.until("it is at work", lambda: status(paper).get("summary", {}).get("ready") == "1/1", within=60)
        assert (status(paper)["champion"], status(paper)["lastNumber"]) == ("digits-2", 2)
        edit(paper, {"versions": {"source": bundle}})
        paper.until("a model by hand goes before", lambda: status(paper).get("champion") == "digits-3", within=120)
        edit(paper, {"versions": {"source": None}})
        # Of the version before, or of a new one, whichever there is time for.
        paper.until("and no more", lambda: job_of_champion(paper) == "tuesday", within=120)
        delete(paper)


def test_an_autoscaler_sets_the_number_of_pods_of_the_version_that_answers(paper: Paper) -> None:
    # There are no metrics here: what an autoscaler does without them is to keep within its limits.
    with paper.operator("--server-image", "server:test") as operator:
        paper.cluster.apply(json.dumps(deployment({**SPEC, "spec.autoscaling": {"min": 3, "max": 5}})))
        paper.until("three pods by its least", lambda: len(answering(paper)) == 3, within=120)
        [autoscaler] = paper.cluster.items("hpa")
        assert autoscaler["spec"]["scaleTargetRef"]["kind"] == "ModelDeployment"

        def able() -> bool:
            found = paper.cluster.items("hpa")[0].get("status", {}).get("conditions", [])
            return any(each["type"] == "AbleToScale" and each["status"] == "True" for each in found)

        paper.until("the deployment's scale is understood", able)

        edit(paper, {"autoscaling": {"min": 1, "max": 2}})
        paper.until("two pods by its most", lambda: len(answering(paper)) == 2, within=120)
        paper.cluster.kubectl("scale", "md/digits", "--replicas=1")
        paper.until("one pod by hand", lambda: len(answering(paper)) == 1, within=120)

        edit(paper, {"autoscaling": None})
        paper.until("it is gone", lambda: not paper.cluster.items("hpa"))
        paper.cluster.kubectl("scale", "md/digits", "--replicas=4")
        paper.until("four pods, which nobody holds back", lambda: len(answering(paper)) == 4, within=120)
        denied = [line for line in operator.lines() if "denied request" in json.dumps(line)]
        assert denied == [], "the chart's policies let through all that the operator does"
        assert operator.metric('headway_reconciles_total{result="bug"}') == 0
    paper.cluster.kubectl("delete", "md", "digits")
