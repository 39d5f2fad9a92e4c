"""`headway doctor` on a real API server with a real operator: faults that are planted there are found by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.paper import SYSTEM, Paper, why_no_paper
from commands import headway

pytestmark = pytest.mark.cluster
ALWAYS = {("service-monitor", "warn")}
"""There is no Prometheus operator."""
SERVER = "/spec/versions/0/schema/openAPIV3Schema/properties"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with two kwok nodes, the chart's rights and policies, and an operator at work."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("doctor", tmp_path_factory.mktemp("doctor")) as made, made.operator() as operator:
        assert operator.working()
        made.cluster.apply(json.dumps(_deployment()), SYSTEM)
        ready = "{.status.readyReplicas}"
        made.until(
            "a Deployment that is ready",
            lambda: made.cluster.kubectl("get", "deployment", "headway", "-n", SYSTEM, f"-o=jsonpath={ready}") == "1",
        )
        yield made


def _deployment() -> dict[str, Any]:
    """The operator's, on paper: the process that works runs beside the cluster, and holds the Lease of this name."""
    labels = {"app.kubernetes.io/name": "headway", "app.kubernetes.io/component": "operator"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "headway", "namespace": SYSTEM, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "operator", "image": "operator:test"}]},
            },
        },
    }


def doctor(paper: Paper, *words: str, kubeconfig: Path | None = None) -> tuple[int, list[dict[str, str]]]:
    """Exit code and findings."""
    done = headway("doctor", "-o", "json", *words, KUBECONFIG=str(kubeconfig or paper.cluster.kubeconfig))
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def bad(found: list[dict[str, str]]) -> set[tuple[str, str]]:
    """What is wrong, by name."""
    return {(each["check"], each["level"]) for each in found if each["level"] in ("warn", "FAIL")}


def namespace(paper: Paper, name: str) -> str:
    """A new namespace."""
    paper.cluster.kubectl("create", "namespace", name)
    return name


def test_an_installation_without_a_fault_is_seen_whole(paper: Paper) -> None:
    code, found = doctor(paper, "-n", namespace(paper, "sound"))
    assert (code, bad(found)) == (0, ALWAYS)
    assert not [each for each in found if each["level"] == "--"]
    told = {each["check"] for each in found if each["level"] == "ok"}
    assert {"server-version", "crd", "operator", "policies", "rights", "quota", "nodes"} <= told


def test_faults_of_a_namespace_are_found_by_name(paper: Paper) -> None:
    full = namespace(paper, "full")
    paper.cluster.kubectl("create", "quota", "none", "--hard=pods=0", "-n", full)
    assert bad(doctor(paper, "-n", full)[1]) == ALWAYS | {("quota", "FAIL")}

    claims = namespace(paper, "claims")
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "gone"}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {**spec, "resources": {"requests": {"storage": "1Gi"}}},
    }
    paper.cluster.apply(json.dumps(claim), claims)
    assert bad(doctor(paper, "-n", claims)[1]) == ALWAYS | {("claim-no-class", "FAIL")}

    ranges = namespace(paper, "ranges")
    limits = {"limits": [{"type": "Container", "max": {"memory": "256Mi"}}]}
    paper.cluster.apply(
        json.dumps({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": limits}), ranges
    )
    assert bad(doctor(paper, "-n", ranges)[1]) == ALWAYS | {("limit-range", "FAIL")}

    keys = namespace(paper, "keys")
    paper.submit("asks", keys, storage={"uri": "s3://models/x", "secretRef": {"name": "gone"}})
    assert bad(doctor(paper, "-n", keys)[1]) == ALWAYS | {("secret-missing", "FAIL")}
    paper.cluster.kubectl("create", "secret", "generic", "gone", "--from-literal=A=b", "-n", keys)
    assert bad(doctor(paper, "-n", keys)[1]) == ALWAYS


def test_why_a_job_does_not_run_is_said_first(paper: Paper) -> None:
    room = namespace(paper, "room")
    paper.submit("wants", room, workers={"resources": {"cpu": "10m", "memory": "64Mi", "gpu": 64}})

    def queued() -> bool:
        job = paper.cluster.get("tj", "wants", "-n", room)
        return bool(job.get("status", {}).get("phase") == "Queued")

    paper.until("a job that waits", queued)
    code, found = doctor(paper, "wants", "-n", room)
    assert code == 1
    assert found[0]["said"].startswith("job wants waits: ")
    assert "nvidia.com/gpu" in found[0]["said"]
    assert ("gpus-too-many", "FAIL") in bad(found)


def test_somebody_without_rights_is_told_which_and_the_rest_is_not_checked(paper: Paper, tmp_path: Path) -> None:
    poor = namespace(paper, "poor")
    paper.cluster.kubectl("create", "serviceaccount", "ann", "-n", poor)
    config = yaml.safe_load(paper.cluster.kubeconfig.read_text())
    config["users"] = [
        {"name": "ann", "user": {"token": paper.cluster.kubectl("create", "token", "ann", "-n", poor).strip()}}
    ]
    config["contexts"][0]["context"]["user"] = "ann"
    path = tmp_path / "ann.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    code, found = doctor(paper, "-n", poor, kubeconfig=path)
    assert code == 1
    assert bad(found) == {("rights", "FAIL"), ("rights", "warn")}
    assert any(each["said"].startswith("not checked: nodes: ") for each in found)


def test_faults_of_the_installation_are_found_by_name(paper: Paper) -> None:
    place = namespace(paper, "place")
    paper.cluster.kubectl("delete", "validatingadmissionpolicybinding", "headway-trainer")
    assert bad(doctor(paper, "-n", place)[1]) == ALWAYS | {("policy-unbound", "FAIL")}
    remove = [{"op": "remove", "path": f"{SERVER}/status/properties/warnings"}]
    paper.cluster.kubectl("patch", "crd", "trainingjobs.headway.dev", "--type=json", "-p", json.dumps(remove))
    _, found = doctor(paper, "-n", place)
    assert bad(found) == ALWAYS | {("policy-unbound", "FAIL"), ("crd-version", "FAIL")}
    assert "status.warnings" in next(each["said"] for each in found if each["check"] == "crd-version")
    paper.cluster.kubectl("delete", "deployment", "headway", "-n", SYSTEM)
    assert ("operator-missing", "FAIL") in bad(doctor(paper, "-n", place)[1])
