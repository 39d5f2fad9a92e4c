"""The chart before a real API server: taken as it is, upgraded, removed with the jobs kept, installed again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import HACK_CLUSTER, ROOT, Cluster, run

pytestmark = pytest.mark.cluster

CHART = ROOT / "charts/headway"
SYSTEM = "chart-system"
JOBS = "chart-jobs"
OPERATOR = f"system:serviceaccount:{SYSTEM}:headway"

EVERYTHING: dict[str, Any] = {
    "operator": {
        "replicas": 3,
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "podLabels": {"team": "ml"},
        "podAnnotations": {"note": "x"},
    },
    "imagePullSecrets": [{"name": "pull"}],
    "defaultStorage": {"persistentVolumeClaim": {"name": "models", "create": {"namespaces": [JOBS]}}},
    "networkPolicy": {"enabled": True},
}


@pytest.fixture(scope="module")
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    """A cluster, a namespace for the release and one for jobs; both, and the release, gone afterwards."""
    made = Cluster(kubeconfig, run(HACK_CLUSTER, "which", "helm", timeout=600).strip())
    for namespace in (SYSTEM, JOBS):
        made.kubectl("create", "namespace", namespace)
    # The operator's pods have to come up to the strictest standard.
    made.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    yield made
    for release in ("headway", "second"):
        made.helm("uninstall", release, "--namespace", SYSTEM, "--ignore-not-found")
    made.kubectl("delete", "namespace", SYSTEM, JOBS, "--wait=false")


def install(cluster: Cluster, *words: str, chart: Path = CHART, release: str = "headway", check: bool = True) -> str:
    """Installs or upgrades; Helm's words. Other tests may have applied the CRDs without Helm: they are taken over."""
    return cluster.helm("upgrade", "--install", release, str(chart), "--namespace", SYSTEM, *words, check=check)


@pytest.fixture
def installed(cluster: Cluster) -> Cluster:
    """The chart installed with default values."""
    install(cluster, "--take-ownership")
    cluster.kubectl("wait", "--for=condition=Established", "crd/trainingjobs.headway.dev", "--timeout=120s")
    return cluster


def apply_job(cluster: Cluster) -> None:
    """The example as a job of the test, suspended: no operator of another test may start it."""
    job = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())
    job["spec"]["suspend"] = True
    cluster.wait(
        "the API server takes jobs (it says 429 for a moment after a CRD has come)",
        lambda: "digits" in cluster.kubectl("apply", "-n", JOBS, "-f", "-", stdin=json.dumps(job), check=False),
    )


@pytest.mark.parametrize(
    "values", [{}, EVERYTHING, {"watchNamespaces": [JOBS]}], ids=["default", "everything", "narrow"]
)
def test_the_api_server_takes_each_object_strictly(installed: Cluster, tmp_path: Path, values: dict[str, Any]) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    rendered = installed.helm("template", "headway", str(CHART), "--namespace", SYSTEM, "--kube-version", "1.37.0",
                            "--values", str(file))  # fmt: skip
    strictly = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]
    said = installed.kubectl("apply", *strictly, "-f", "-", stdin=rendered)
    kinds = [found["kind"] for found in yaml.safe_load_all(rendered) if found]
    assert len(said.splitlines()) == len(kinds)


def test_every_pod_meets_the_restricted_standard(installed: Cluster) -> None:
    rendered = installed.helm("template", "headway", str(CHART), "--namespace", SYSTEM, "--kube-version", "1.37.0")
    objects = [found for found in yaml.safe_load_all(rendered) if found]
    template = next(found for found in objects if found["kind"] == "Deployment")["spec"]["template"]
    test = next(found for found in objects if found["kind"] == "Pod")
    create = ["create", "--dry-run=server", "-n", SYSTEM, "-f", "-"]
    for spec in (template["spec"], test["spec"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": spec}
        assert "created" in installed.kubectl(*create, stdin=json.dumps(pod))
        pod["spec"] = {**spec, "securityContext": {}}
        assert 'violates PodSecurity "restricted' in installed.kubectl(*create, stdin=json.dumps(pod), check=False)


def test_the_policy_compiles_and_types_fit(installed: Cluster) -> None:
    def checked() -> dict[str, Any] | None:
        status: dict[str, Any] = installed.get("validatingadmissionpolicy", "headway-trainer").get("status", {})
        return (status.get("typeChecking") is not None and status) or None

    status = installed.wait("the policy's types checked", checked)
    assert status["typeChecking"].get("expressionWarnings", []) == []


def test_the_operator_may_bind_the_trainers_role_and_no_other(installed: Cluster) -> None:
    bind = ["create", "rolebinding", "headway-trainer", "-n", JOBS, f"--serviceaccount={JOBS}:headway-trainer",
            "--dry-run=server", "--as", OPERATOR]  # fmt: skip
    assert "created" in installed.kubectl(*bind, "--clusterrole=headway-trainer")
    # Kubernetes lets everybody bind rights that they have; these have more than the operator.
    for other in ("edit", "cluster-admin"):
        assert "forbidden" in installed.kubectl(*bind, f"--clusterrole={other}", check=False), other


MAY = ["create pods", "delete secrets", "patch trainingjobs.headway.dev/status"]
MAY_NOT = [
    "patch trainingjobs.headway.dev",
    "create trainingjobs.headway.dev",
    "list secrets",
    "watch secrets",
    "update configmaps",
    "create pods/exec",
    "create clusterrolebindings",
    "update customresourcedefinitions",
    "list nodes",
    "delete namespaces",
]


def test_the_operator_may_do_its_work_and_no_more(installed: Cluster) -> None:
    answers = {}
    for asked in MAY + MAY_NOT:
        verb, resource, subresource = (*asked.replace("/", " ").split(), "")[:3]
        words = ["auth", "can-i", verb, resource, f"--subresource={subresource}", "-n", JOBS, "--as", OPERATOR]
        answers[asked] = installed.kubectl(*words, check=False).split()[0]
    assert answers == {**dict.fromkeys(MAY, "yes"), **dict.fromkeys(MAY_NOT, "no")}


def test_the_api_server_gives_the_lease_way(installed: Cluster) -> None:
    schema = installed.get("flowschema", "headway-lease")["metadata"]["uid"]

    def queue_of(resource: str) -> str:
        words = ["get", resource, "headway", "-n", SYSTEM, "--as", OPERATOR, "-v=8"]
        _, answered = installed.kubectl(*words, check=False).split(f"/{resource}s/headway", 1)
        return str(re.findall(r"X-Kubernetes-Pf-Flowschema-Uid: (\S+)", answered)[0])

    installed.wait("the schema taken up", lambda: queue_of("lease") == schema)
    assert queue_of("serviceaccount") != schema


def test_people_with_the_clusters_own_roles_read_and_write_jobs(installed: Cluster) -> None:
    for role in ("view", "edit"):
        installed.kubectl("create", "rolebinding", role, "-n", JOBS, f"--clusterrole={role}", f"--user={role}er")

    def may(who: str, verb: str, *words: str) -> bool:
        said = installed.kubectl("auth", "can-i", verb, "trainingjobs", *words, "-n", JOBS, "--as", who, check=False)
        return said.split()[0] == "yes"

    installed.wait("the roles aggregated", lambda: may("viewer", "watch") and may("editer", "create"))
    assert not may("viewer", "create")
    assert may("editer", "delete")
    assert not may("editer", "patch", "--subresource=status")


def test_an_upgrade_brings_the_kinds_changes(installed: Cluster, tmp_path: Path) -> None:
    newer = tmp_path / "headway"
    shutil.copytree(CHART, newer)
    path = newer / "files/crds/headway.dev_trainingjobs.yaml"
    column = "    additionalPrinterColumns:\n    - {name: Novelty, type: string, jsonPath: .metadata.uid}\n"
    path.write_text(path.read_text().replace("    additionalPrinterColumns:\n", column, 1))
    apply_job(installed)
    install(installed, chart=newer)
    installed.wait("the new column", lambda: "NOVELTY" in installed.kubectl("get", "trainingjobs", "-n", JOBS))
    install(installed)
    installed.wait(
        "the old columns again",
        lambda: "NOVELTY" not in installed.kubectl("get", "trainingjobs", "-n", JOBS),
    )


def test_uninstalled_the_jobs_stay_and_installed_again_they_are_there(installed: Cluster) -> None:
    apply_job(installed)
    uid = installed.get("trainingjob", "digits", "-n", JOBS)["metadata"]["uid"]
    kept = installed.helm("uninstall", "headway", "--namespace", SYSTEM, "--wait")
    assert "trainingjobs.headway.dev" in kept
    assert "serviceaccounts" not in installed.kubectl(
        "get", "deployment,serviceaccount/headway", "-n", SYSTEM, check=False
    )
    assert installed.get("trainingjob", "digits", "-n", JOBS)["metadata"]["uid"] == uid
    # No --take-ownership: the same release is known as the owner.
    install(installed)
    assert installed.get("trainingjob", "digits", "-n", JOBS)["metadata"]["uid"] == uid


def test_another_release_is_refused_by_the_owners_name_and_can_take_over(installed: Cluster) -> None:
    said = install(installed, release="second", check=False)
    assert 'must equal "second": current value is "headway"' in said
    installed.helm("uninstall", "headway", "--namespace", SYSTEM, "--wait")
    said = install(installed, release="second", check=False)
    assert "CustomResourceDefinition" in said
    assert 'current value is "headway"' in said
    assert "deployed" in install(installed, "--take-ownership", release="second")
    installed.helm("uninstall", "second", "--namespace", SYSTEM, "--wait")


def test_the_notes_name_the_two_commands_and_what_is_missing(installed: Cluster) -> None:
    notes = installed.helm("get", "notes", "headway", "--namespace", SYSTEM)
    assert "kubectl apply -f examples/digits.yaml" in notes
    assert "kubectl get trainingjobs --watch" in notes
    assert "There is no default storage" in notes
    install(installed, "--set", "defaultStorage.uri=s3://models/headway")
    assert "no default storage" not in installed.helm("get", "notes", "headway", "--namespace", SYSTEM)
