"""A tenant that does to the operator what it can, beside one that trains: whose jobs start as fast, and end as well."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cluster.paper import Operator, Paper, why_no_paper
from headway_api import wire
from sim.builders import document

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

HONEST, HOSTILE, POOR = "honest", "hostile", "poor"
BATCH = 24
ROUNDS = 3
"""Other work on the machine only ever adds seconds, so the best of some rounds is what a start takes."""
SLOWER = 1.2
"""How much longer the honest jobs may take."""
MORE_BYTES = 60 * 2**20
ODD_NUMBERS = ("²", "9" * 5000, "-1", "1e9", "\N{ARABIC-INDIC DIGIT THREE}", "")
Object = dict[str, Any]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with room for all, and the three namespaces."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("hostile", tmp_path_factory.mktemp("hostile"), nodes=4) as made:
        for namespace in (HONEST, HOSTILE, POOR):
            made.cluster.kubectl("create", "namespace", namespace)
        yield made


def best_start(paper: Paper, label: str) -> float:
    """The least seconds in which a batch of honest jobs was applied and all ran."""
    seconds = []
    for number in range(ROUNDS):
        names = [f"{label}{number}-{index}" for index in range(BATCH)]
        began = time.monotonic()
        paper.submit_all({name: {} for name in names}, HONEST)
        paper.until("all running", lambda: running(paper) >= set(names), every=0.05)  # noqa: B023
        seconds.append(time.monotonic() - began)
        paper.cluster.kubectl("delete", "tj", *names, "-n", HONEST, "--wait=false")
        paper.until("no pods", lambda: len(paper.cluster.items("pods", "-n", HONEST)) <= 2)
    return min(seconds)


def running(paper: Paper) -> set[str]:
    """The honest jobs that run."""
    phases = paper.cluster.kubectl(
        "get", "tj", "-n", HONEST, "-o", 'jsonpath={range .items[?(@.status.phase=="Running")]}{.metadata.name} {end}'
    )
    return set(phases.split())


def attack(paper: Paper, honest: Object) -> None:
    """All of it, side by side; `honest` is the job that is to be hurt."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(many_config_maps, paper, honest), pool.submit(large_templates, paper),
                     pool.submit(no_quota, paper), pool.submit(copied_pods, paper, honest)]:  # fmt: skip
            done.result()


def create(paper: Paper, namespace: str, items: list[Object], *, check: bool = True) -> None:
    """Create objects, some at a time."""
    for first in range(0, len(items), 50):
        part = {"apiVersion": "v1", "kind": "List", "items": items[first : first + 50]}
        paper.cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(part), check=check)


def claimed(name: str, job: Object, **annotations: str) -> Object:
    """Metadata that say that an object is of a job's first attempt."""
    owner = {"apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "name": job["metadata"]["name"],
             "uid": job["metadata"]["uid"], "controller": True}  # fmt: skip
    labels = {wire.LABEL_MANAGED_BY: wire.MANAGED_BY, wire.LABEL_JOB: job["metadata"]["name"],
              wire.LABEL_JOB_UID: job["metadata"]["uid"], wire.LABEL_ATTEMPT: "1"}  # fmt: skip
    return {"name": name, "labels": labels, "annotations": annotations, "ownerReferences": [owner]}


def many_config_maps(paper: Paper, honest: Object) -> None:
    """500 ConfigMaps of 100 KB that say that they are an attempt's, with numbers that are none; in both namespaces."""
    mine = paper.cluster.get("tj", "mine", "-n", HOSTILE)
    said = json.dumps(
        {"uid": honest["metadata"]["uid"], "attempt": 1, "progress": {"step": 10**30}, "x": 100_000 * "x"}
    )
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": claimed(f"a-{number}", mine, **{
                wire.ANNOTATION_WORKERS: ODD_NUMBERS[number % len(ODD_NUMBERS)],
                wire.ANNOTATION_WRITER: "²",
            }),
            "data": {wire.KEY_PROGRESS: said},
        }
        for number in range(500)
    ]  # fmt: skip
    create(paper, HOSTILE, items)


def large_templates(paper: Paper) -> None:
    """Jobs whose templates are as large as an object may be."""
    for number in range(8):
        env = [{"name": f"N{index}", "value": 1000 * "x"} for index in range(1350)]
        template = {"spec": {"containers": [{"name": "main", "env": env}]}}
        job = document(f"large-{number}", HOSTILE, head={"template": template})
        paper.cluster.kubectl("create", "-f", "-", stdin=json.dumps(job))


def no_quota(paper: Paper) -> None:
    """Jobs with many workers where no pod may be made."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    paper.cluster.apply(json.dumps(quota), POOR)
    create(paper, POOR, [document(f"poor-{number}", POOR, workers={"replicas": 100}) for number in range(20)])


def copied_pods(paper: Paper, honest: Object) -> None:
    """Copies of a pod of its own, and of the honest job's, with and without their labels; the names come first."""
    pods = paper.cluster.items("pods", "-n", HOSTILE, "-l", f"{wire.LABEL_JOB}=mine")
    copies = []
    for number in range(60):
        pod = json.loads(json.dumps(pods[number % len(pods)]))
        metadata = {key: pod["metadata"][key] for key in ("labels", "ownerReferences")} | {"name": f"a-copy-{number}"}
        if number % 3 == 1:
            metadata["labels"] |= {wire.LABEL_JOB_UID: honest["metadata"]["uid"], wire.LABEL_JOB: "steady"}
        if number % 3 == 2:
            metadata["labels"] |= {wire.LABEL_ATTEMPT: "²", wire.LABEL_WORKER: "x"}
        copies.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": without_place(pod["spec"])})
    create(paper, HOSTILE, copies, check=False)


def without_place(spec: Object) -> Object:
    """A pod's spec without what the cluster has put in."""
    return {key: spec[key] for key in ("containers", "restartPolicy")} | {"serviceAccountName": "default"}


def rss(operator: Operator) -> float:
    """The operator's memory, in bytes."""
    found = operator.metric("process_resident_memory_bytes")
    assert found
    return found


def test_honest_jobs_notice_nothing_of_a_hostile_namespace(paper: Paper) -> None:
    with paper.operator() as operator:
        paper.submit("steady", HONEST)
        paper.submit("mine", HOSTILE)
        paper.until("the job that is to be hurt", lambda: "steady" in running(paper))
        quiet = best_start(paper, "quiet")
        bytes_before = rss(operator)
        before = paper.cluster.items("pods", "-n", HONEST)
        honest = paper.cluster.get("tj", "steady", "-n", HONEST)
        attack(paper, honest)
        loud = best_start(paper, "loud")
        assert loud <= SLOWER * quiet, f"{BATCH} jobs took {loud:.1f} s in place of {quiet:.1f} s"
        assert rss(operator) - bytes_before < MORE_BYTES
        assert operator.process.poll() is None
        assert operator.get("/healthz") == "ok"
        assert operator.metric('headway_reconciles_total{result="bug"}') == 0
        phases = {name: status.get("phase") for name, status in paper.statuses(HOSTILE).items()}
        assert {phases[f"large-{number}"] for number in range(8)} == {"Failed"}, "told at once"
    with paper.operator() as again:
        # What a new process reads first is what comes first by name.
        assert rss(again) - bytes_before < MORE_BYTES
        paper.submit("after", HONEST)
        paper.until("a new job", lambda: "after" in running(paper))
        steady = paper.statuses(HONEST)["steady"]
        assert (steady["phase"], steady["attempt"], len(steady["attempts"])) == ("Running", 1, 1)
        pods = paper.cluster.items("pods", "-n", HONEST, "-l", f"{wire.LABEL_JOB}=steady")
        assert {pod["metadata"]["uid"] for pod in pods} == {pod["metadata"]["uid"] for pod in before}
        assert again.get("/healthz") == "ok"
