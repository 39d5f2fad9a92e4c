"""Which way to a tracker NetworkPolicies leave open: those of the chart and of a job, and those that the page about
trackers gives to who closes namespaces. The clusters of the tests enforce none, so they are read here."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headway_cli.cluster.waiting_pods import labels
from headway_cli.main import main
from markdown_blocks import ROOT, blocks
from network_policies import Pod, Policy, lets_through

from .conftest import NAMESPACE, Chart

FILES = {block.file: block.text for block in blocks(ROOT / "docs/how-to/track-experiments.md") if block.file}
MLFLOW = Pod("ml", {"app": "mlflow"})
PORT = 5000
TEAM = "team-a"


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """All objects of the page's job."""
    words = ["render", "-", "--all", "-n", TEAM, "--image", "trainer:1", "--storage", "s3://models"]
    done = CliRunner().invoke(main, words, input=FILES["tracked.yaml"])
    assert done.exit_code == 0, done.output
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@pytest.fixture(scope="module")
def of_job(rendered: list[dict[str, Any]]) -> list[Policy]:
    found = [each for each in rendered if each["kind"] == "NetworkPolicy"]
    assert len(found) == 1
    return found


@pytest.fixture(scope="module")
def pods(rendered: list[dict[str, Any]]) -> dict[str, Pod]:
    """The head, a worker, and the pod of `headway track tj/NAME`."""
    found = [each["metadata"]["labels"] for each in rendered if each["kind"] == "Pod"]
    made = {each["headway.dev/role"]: Pod(TEAM, each) for each in found}
    return made | {"track": Pod(TEAM, labels("headway-track"))}


def operator(chart: Chart, **values: Any) -> tuple[Pod, list[Policy]]:
    """The operator's pod, and the chart's policies."""
    manifests = chart.render(values)
    template = manifests.one("Deployment")["spec"]["template"]
    return Pod(NAMESPACE, template["metadata"]["labels"]), manifests.kind("NetworkPolicy")


def test_nothing_of_headway_closes_the_way_of_a_jobs_pods_to_a_tracker(
    chart: Chart, of_job: list[Policy], pods: dict[str, Pod]
) -> None:
    tenant, policies = operator(chart, networkPolicy={"enabled": True})
    assert len(policies) == 1
    for pod in pods.values():
        assert lets_through([*policies, *of_job], pod, MLFLOW, PORT)
    # The chart's is about the operator, which asks no tracker, and closes its way.
    assert not lets_through(policies, tenant, MLFLOW, PORT)
    assert not lets_through([*policies, *of_job], MLFLOW, pods["head"], 6379), "and nobody else gets into a job's pods"


def test_a_chart_with_default_values_brings_no_policy_at_all(chart: Chart) -> None:
    assert operator(chart)[1] == []


def closed(namespace: str, way: str) -> Policy:
    """What closes a namespace: all its pods, one way."""
    return {
        "metadata": {"name": "closed", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": [way]},
    }


def test_where_namespaces_are_closed_the_pages_policies_open_them_for_headways_pods_alone(
    of_job: list[Policy], pods: dict[str, Pod]
) -> None:
    (out,) = yaml.safe_load_all(FILES["to-mlflow.yaml"])
    (into,) = yaml.safe_load_all(FILES["from-jobs.yaml"])
    assert (out["metadata"]["namespace"], into["metadata"]["namespace"]) == (TEAM, MLFLOW.namespace)
    shut = [*of_job, closed(TEAM, "Egress"), closed("ml", "Ingress")]
    stranger = Pod(TEAM, {"app": "web"})
    for pod in pods.values():
        assert not lets_through([*shut, into], pod, MLFLOW, PORT)
        assert not lets_through([*shut, out], pod, MLFLOW, PORT)
        assert lets_through([*shut, out, into], pod, MLFLOW, PORT)
        assert not lets_through([*shut, out, into], pod, MLFLOW, 22)
        assert not lets_through([*shut, out, into], pod, Pod("kube-system", {"app": "mlflow"}), PORT)
    assert not lets_through([*shut, out, into], stranger, MLFLOW, PORT)
    ports = [port for rule in out["spec"]["egress"] if "to" not in rule for port in rule["ports"]]
    assert {(each["port"], each["protocol"]) for each in ports} == {(53, "UDP"), (53, "TCP")}, "names are found"
