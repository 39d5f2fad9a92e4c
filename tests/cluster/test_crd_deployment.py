"""ModelDeployments before a real API server: what it takes, what it refuses and in which words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from cluster.objects import Objects
from deployment_documents import DEPLOYMENT, GOOD, deployment
from deployment_mistakes import MISTAKES, Mistake
from harness import ROOT, Cluster
from headway_api.crd import MODEL_DEPLOYMENT, file_name
from headway_api.validate import problems_of

pytestmark = pytest.mark.cluster

NAMESPACE = "crd-md-test"
BAD = json.dumps(deployment({"spec.replicas": -1}))


@pytest.fixture(scope="module")
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    """A cluster that knows the kind, and a namespace."""
    made = Cluster(kubeconfig)
    made.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds" / file_name(MODEL_DEPLOYMENT)))
    made.kubectl("create", "namespace", NAMESPACE)
    made.wait(
        "the API server judges by the new schema",
        lambda: "spec.replicas" in made.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=BAD, check=False),
    )
    yield made
    made.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def deployments(cluster: Cluster) -> Iterator[Objects]:
    """Those of the namespace, none at first and none afterwards."""
    made = Objects(cluster.kubeconfig, NAMESPACE, MODEL_DEPLOYMENT.plural)
    yield made
    for name in made.names():
        made.delete(name)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_refused_with_the_field_in_the_message(deployments: Objects, mistake: Mistake) -> None:
    refusal = deployments.refusal(mistake.document)
    assert refusal is not None
    assert mistake.field in refusal, refusal


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_a_valid_one_is_taken_and_still_valid_with_its_defaults(deployments: Objects, changes: dict[str, Any]) -> None:
    stored = deployments.create(deployment(changes))
    assert problems_of(stored) == []
    assert stored["spec"]["rollout"]["progressDeadlineSeconds"] in (120, 600)


def test_the_defaults_of_the_api_server_are_those_of_the_models(deployments: Objects) -> None:
    least = {**DEPLOYMENT, "spec": {"versions": {"source": DEPLOYMENT["spec"]["versions"]["source"]}}}
    model = MODEL_DEPLOYMENT.model.model_validate(least).model_dump(mode="json", exclude_none=True)["spec"]
    assert model["versions"].pop("retry") == [], "a list that is empty is absent"
    assert deployments.create(json.loads(json.dumps(least)))["spec"] == model


def test_the_examples_are_taken(cluster: Cluster) -> None:
    for example in sorted((ROOT / "examples/serving").glob("*.yaml")):
        said = cluster.kubectl("apply", "--validate=strict", "--dry-run=server", "-n", NAMESPACE, "-f", str(example))
        assert "created" in said


def test_kubectl_scale_sets_the_replicas_and_an_autoscaler_finds_the_pods(
    cluster: Cluster, deployments: Objects
) -> None:
    deployments.create(deployment())
    cluster.kubectl("scale", "md/digits", "-n", NAMESPACE, "--replicas=5")
    assert deployments.get("digits")["spec"]["replicas"] == 5
    deployments.say("digits", {"replicas": 2, "selector": "headway.dev/version=3"})
    path = f"/apis/headway.dev/v1alpha1/namespaces/{NAMESPACE}/modeldeployments/digits/scale"
    assert json.loads(cluster.kubectl("get", "--raw", path))["status"] == {
        "replicas": 2,
        "selector": "headway.dev/version=3",
    }


def test_kubectl_get_tells_of_champion_and_candidate(cluster: Cluster, deployments: Objects) -> None:
    deployments.create(deployment())
    status = {"phase": "Progressing", "champion": "digits-1", "candidate": "digits-2"}
    deployments.say("digits", {**status, "summary": {"ready": "2/2", "weight": "0%"}})
    heading, row = cluster.kubectl("get", "md", "-n", NAMESPACE).splitlines()
    assert heading.split() == ["NAME", "PHASE", "VERSION", "READY", "CANDIDATE", "WEIGHT", "AGE"]
    assert row.split()[:-1] == ["digits", "Progressing", "digits-1", "2/2", "digits-2", "0%"]


def test_a_status_beyond_its_bounds_is_refused(deployments: Objects) -> None:
    deployments.create(deployment())
    with pytest.raises(ApiException, match="phase"):
        deployments.say("digits", {"phase": "Watching"})


def test_the_schema_holds_what_the_api_server_understands_of_it(cluster: Cluster) -> None:
    ours = yaml.safe_load((ROOT / "crds" / file_name(MODEL_DEPLOYMENT)).read_text())
    theirs = cluster.get("crd", "modeldeployments.headway.dev")
    assert theirs["spec"]["versions"][0]["schema"] == ours["spec"]["versions"][0]["schema"]
    conditions = {each["type"]: each["status"] for each in theirs["status"]["conditions"]}
    assert "NonStructuralSchema" not in conditions
