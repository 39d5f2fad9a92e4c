"""A head pod writes its own progress and nothing else: the chart's role and policy before a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.bearers import Site
from harness import HACK_CLUSTER, ROOT, Cluster, run
from headway_api import wire

pytestmark = pytest.mark.cluster

NAMESPACES = ("policy-a", "policy-b")

UIDS = {"own": "11111111-2222-3333-4444-555555555555", "other": "99999999-8888-7777-6666-555555555555"}
ATTEMPT = """
apiVersion: v1
kind: Pod
metadata: {name: HEAD}
spec:
  serviceAccountName: headway-trainer
  nodeName: none
  containers: [{name: main, image: none}]
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME
  annotations: {headway.dev/writer: HEAD}
  labels: {headway.dev/job: JOB, headway.dev/job-uid: JUID}
  ownerReferences: [{apiVersion: v1, kind: Pod, name: HEAD, uid: PUID}]
data: {more.txt: "{}"}
"""


def config_of(job: str) -> str:
    """The name of a job's ConfigMap."""
    return wire.object_name(job, UIDS[job], 1)


def head_of(job: str) -> str:
    """The name of its head pod."""
    return wire.head_name(job, UIDS[job], 1)


def word(job: str = "own", **fields: Any) -> str:
    """What a driver of a job says, as the trainer writes it."""
    return wire.ProgressFile.model_validate({"uid": UIDS[job], "attempt": 1, **fields}).model_dump_json()


@pytest.fixture(scope="module")
def site(kubeconfig: Path) -> Iterator[Site]:
    """The role and the policy as the chart renders them, in force."""
    cluster = Cluster(kubeconfig, run(HACK_CLUSTER, "which", "helm", timeout=600).strip())
    access = cluster.helm("template", "headway", str(ROOT / "charts/headway"), "--kube-version", "1.37.0",
                          "--show-only", "templates/trainer-access.yaml")  # fmt: skip
    cluster.kubectl("apply", "-f", "-", stdin=access)
    for namespace in NAMESPACES:
        cluster.kubectl("create", "namespace", namespace)
        for account in (wire.SERVICE_ACCOUNT, "somebody"):
            cluster.kubectl("create", "serviceaccount", account, "-n", namespace)
            cluster.kubectl("create", "rolebinding", account, "-n", namespace, "--clusterrole=headway-trainer",
                            *[f"--serviceaccount={where}:{account}" for where in NAMESPACES])  # fmt: skip
        for job in ("own", "other"):
            text = ATTEMPT.replace("HEAD", head_of(job)).replace("NAME", config_of(job)).replace("JUID", UIDS[job])
            pod, config_map = text.replace("JOB", job).split("---")
            cluster.apply(pod, namespace)
            uid = cluster.get("pod", head_of(job), "-n", namespace)["metadata"]["uid"]
            cluster.apply(config_map.replace("PUID", uid), namespace)
    made = Site(cluster)
    token = made.token("policy-a", wire.SERVICE_ACCOUNT, head_of("own"))
    # A new policy is in force a moment after its creation.
    cluster.wait(
        "the policy in force",
        lambda: "denied request" in made.patch(token, "policy-a", config_of("other"), {"data": {"x": "y"}}),
    )
    cluster.kubectl(
        "patch", "configmap", config_of("other"), "-n", "policy-a", "--type=merge", "-p", '{"data":{"x":null}}'
    )
    yield made
    for namespace in NAMESPACES:
        cluster.kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0")
    cluster.kubectl("delete", "namespace", *NAMESPACES, "--wait=false")
    cluster.kubectl("delete", "-f", "-", stdin=access)


@pytest.fixture
def own(site: Site) -> str:
    """The token of the head pod of job `own`."""
    return site.token("policy-a", wire.SERVICE_ACCOUNT, head_of("own"))


def test_a_head_pod_writes_its_progress_again_and_again(site: Site, own: str) -> None:
    for said in (
        word(),
        word(progress={"step": 2}),
        word(outcome={"uid": UIDS["own"], "attempt": 1, "outcome": "Failed"}),
    ):
        assert not site.patch(own, "policy-a", config_of("own"), {"data": {wire.KEY_PROGRESS: said}})
        assert site.data("policy-a", config_of("own")) == {"more.txt": "{}", wire.KEY_PROGRESS: said}


def test_a_head_pod_may_not_write_another_jobs_progress(site: Site, own: str) -> None:
    said = site.patch(own, "policy-a", config_of("other"), {"data": {wire.KEY_PROGRESS: "{}"}})
    assert f"pod {head_of('own')} may not write this ConfigMap: only {head_of('other')} may" in said
    assert wire.KEY_PROGRESS not in site.data("policy-a", config_of("other"))


def test_a_head_pod_may_not_read_another_jobs_config_map_by_an_empty_patch(site: Site, own: str) -> None:
    assert f"only {head_of('other')} may" in site.patch(own, "policy-a", config_of("other"), {})


def test_a_head_pod_may_not_write_a_config_map_that_is_no_jobs(site: Site, own: str) -> None:
    said = site.patch(own, "policy-a", "kube-root-ca.crt", {"data": {wire.KEY_PROGRESS: "{}"}})
    assert "only ConfigMaps of training jobs have a pod that may" in said


def test_a_pod_of_the_same_name_elsewhere_has_no_say_even_if_somebody_binds_it(site: Site) -> None:
    elsewhere = site.token("policy-b", wire.SERVICE_ACCOUNT, head_of("own"))
    said = site.patch(elsewhere, "policy-a", config_of("own"), {"data": {wire.KEY_PROGRESS: "from elsewhere"}})
    assert "denied request" in said
    assert "from elsewhere" not in site.data("policy-a", config_of("own")).values()


def test_a_token_that_is_no_pods_is_refused(site: Site) -> None:
    bare = site.token("policy-a", wire.SERVICE_ACCOUNT)
    assert "the token is not a pod" in site.patch(
        bare, "policy-a", config_of("own"), {"data": {wire.KEY_PROGRESS: "{}"}}
    )


@pytest.mark.parametrize(
    "said",
    [
        word("other"),
        word("own").replace('"uid"', '"Uid"'),
        word("own", progress={"metrics": {"a": UIDS["own"]}}).replace(f'"uid":"{UIDS["own"]}"', '"uid":""'),
        word("other", outcome={"attempt": 1, "outcome": "Failed", "message": f'"uid":"{UIDS["own"]}"'}),
        '{"attempt": 1}',
        "",
    ],
)
def test_a_head_pod_may_not_speak_for_another_job_nor_for_none(site: Site, own: str, said: str) -> None:
    assert not site.patch(own, "policy-a", config_of("own"), {"data": {wire.KEY_PROGRESS: word()}})
    refused = site.patch(own, "policy-a", config_of("own"), {"data": {wire.KEY_PROGRESS: said}})
    assert f'must hold "uid":"{UIDS["own"]}"' in refused
    assert site.data("policy-a", config_of("own"))[wire.KEY_PROGRESS] == word()


DATA = 'may write data["progress.json"] and no other data'
METADATA = "may not change its ConfigMap's labels, annotations, owners or finalizers"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"data": {"more.txt": "{1}"}}, DATA),
        ({"data": {"more.txt": None}}, DATA),
        ({"data": {"yet-more.txt": "{}"}}, DATA),
        ({"data": {"progress.json": "{}", "more.txt": "{1}"}}, DATA),
        ({"binaryData": {"more": "YQ=="}}, DATA),
        ({"immutable": True}, DATA),
        ({"metadata": {"labels": {"headway.dev/job": "other"}}}, METADATA),
        ({"metadata": {"labels": None}}, METADATA),
        ({"metadata": {"labels": {wire.LABEL_JOB_UID: UIDS["other"]}}}, METADATA),
        ({"metadata": {"annotations": {"headway.dev/writer": head_of("other")}}}, METADATA),
        ({"metadata": {"annotations": {"more": "x"}}}, METADATA),
        ({"metadata": {"ownerReferences": []}}, METADATA),
        ({"metadata": {"finalizers": ["example.com/stay"]}}, METADATA),
        ({"data": {"progress.json": 65537 * "x"}}, "at most 65536 bytes"),
        ({"data": {"progress.json": 32769 * "ä"}}, "at most 65536 bytes"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_head_pod_may_change_nothing_but_its_progress(site: Site, own: str, body: dict[str, Any], why: str) -> None:
    before = site.cluster.get("configmap", config_of("own"), "-n", "policy-a")
    said = site.patch(own, "policy-a", config_of("own"), body)
    assert why in said
    assert site.cluster.get("configmap", config_of("own"), "-n", "policy-a") == before


def test_progress_of_the_full_size_is_taken(site: Site, own: str) -> None:
    full = word()
    full += " " * (65536 - len(full))
    assert not site.patch(own, "policy-a", config_of("own"), {"data": {wire.KEY_PROGRESS: full}})
    assert site.data("policy-a", config_of("own"))[wire.KEY_PROGRESS] == full


def test_a_head_pod_may_neither_read_nor_make_nor_delete(site: Site, own: str) -> None:
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    for method, name, body in (
        ("GET", f"/{config_of('own')}", None),
        ("GET", "", None),
        ("POST", "", new),
        ("DELETE", f"/{config_of('own')}", None),
    ):
        said = site.request(own, method, f"policy-a/configmaps{name}", body)
        assert said["code"] == 403, (method, said)


def test_everybody_else_is_left_alone(site: Site) -> None:
    somebody = site.token("policy-a", "somebody")
    assert not site.patch(somebody, "policy-a", "kube-root-ca.crt", {"metadata": {"labels": {"seen": "yes"}}})
