"""An upgrade and a rollback of operator and kinds with jobs running; versions.py says how the two differ.

Pods are kwok's here. The same with Helm, both images and real training is tests/e2e/test_upgrade.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.paper import Paper, crds, why_no_paper
from headway_api import wire
from versions import Version, copy_sources, other_version

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with this version's kinds."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("versions", tmp_path_factory.mktemp("versions")) as made:
        yield made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The other version."""
    return other_version(copy_sources(tmp_path_factory.mktemp("other")))


def install_kinds(paper: Paper, version: Version | None) -> None:
    """Apply the kinds of the other version, or of this one, as the chart would."""
    files = crds() if version is None else [word for path in version.crds for word in ("-f", str(path))]
    paper.cluster.kubectl("apply", "--server-side", "--force-conflicts", *files)
    knows = version is None
    paper.until("the kinds in force", lambda: ("seed" in paper.cluster.kubectl("explain", "tj.spec")) == knows)


def judged(paper: Paper, name: str, attempt: int) -> dict[str, Any]:
    """The spec that an attempt's pods were given."""
    secret = paper.cluster.get("secret", paper.objects(name, attempt))
    run: dict[str, Any] = json.loads(base64.b64decode(secret["data"][wire.KEY_RUN]))
    spec: dict[str, Any] = run["spec"]
    return spec


def pods(paper: Paper, name: str) -> dict[str, str]:
    """A job's pods: uid by name."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in paper.pods(name)}


def test_running_jobs_go_on_through_an_upgrade_and_a_rollback(paper: Paper, other: Version) -> None:
    names = ("left-alone", "loses-worker", "loses-head", "rests", "backs-off")
    with paper.operator():
        paper.submit_all({name: {"seed": 7, "training": {"epochs": 3}} for name in names})
        paper.phases(dict.fromkeys(names, "Running"))
        paper.edit("rests", suspend=True)
        paper.phase("rests", "Suspended")
        before = {name: pods(paper, name) for name in names}
        assert judged(paper, "loses-head", 1)["training"]["epochs"] == 3
        assert judged(paper, "loses-head", 1)["seed"] == 7

    install_kinds(paper, other)
    with paper.operator(path=other.path) as operator:
        paper.submit("new", training={"epochs": 2})
        paper.phase("new", "Running")
        refused = paper.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(too_long()), check=False)
        assert "epochs" in refused, "the other version has a rule that these jobs break"
        paper.end_pod(paper.worker("loses-worker"), 137)
        paper.cluster.kubectl("delete", "pod", paper.head("loses-head"), "--wait=false")
        paper.end_driver("backs-off", "Failed", code=1, cause="StorageError", message="no answer")
        paper.edit("rests", suspend=False)
        paper.until("a worker", lambda: paper.worker("loses-worker", number=1) in pods(paper, "loses-worker"))
        attempts = {"left-alone": 1, "loses-worker": 1, "loses-head": 2, "rests": 2, "backs-off": 2}
        found = paper.phases(dict.fromkeys(names, "Running"))
        paper.until("attempts", lambda: {n: paper.statuses()[n]["attempt"] for n in names} == attempts)
        found = paper.phases(dict.fromkeys(names, "Running"))
        for name in ("loses-head", "rests", "backs-off"):
            assert judged(paper, name, 2)["training"]["epochs"] == 3, name
        assert pods(paper, "left-alone") == before["left-alone"]
        assert all("Accepted" not in refusals(found[name]) for name in names)
        assert operator.metric('headway_reconciles_total{result="bug"}') == 0

    install_kinds(paper, None)
    with paper.operator() as operator:
        paper.cluster.kubectl("delete", "pod", paper.head("loses-head", 2), "--wait=false")
        paper.until("attempt 3", lambda: paper.status("loses-head")["attempt"] == 3)
        paper.phases(dict.fromkeys((*names, "new"), "Running"))
        assert judged(paper, "loses-head", 3)["training"]["epochs"] == 3
        assert judged(paper, "loses-head", 3)["seed"] == 0, "lost with the other version's kind, as install.md says"
        assert pods(paper, "left-alone") == before["left-alone"]
        for name in (*names, "new"):
            paper.end_driver(name, "Succeeded", attempt={**attempts, "loses-head": 3, "new": 1}[name])
        paper.phases(dict.fromkeys((*names, "new"), "Succeeded"))
        assert operator.metric('headway_reconciles_total{result="bug"}') == 0


def refusals(status: dict[str, Any]) -> set[str]:
    """The conditions that are False."""
    return {item["type"] for item in status["conditions"] if item["status"] == "False"}


def too_long() -> dict[str, Any]:
    """A job that the other version's kind refuses."""
    spec = {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "mlp"}, "training": {"epochs": 3}}
    return {"apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "long"}, "spec": spec}
