"""A second kind in the same process, before a real API server: watches, retries and the comparison are the engine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.paper import Operator, Paper, why_no_paper
from harness import ROOT
from ports import free_port
from tiny import CRD, TINIES

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with both kinds."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("tiny", tmp_path_factory.mktemp("tiny")) as made:
        made.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(CRD))
        made.cluster.kubectl("wait", "--for=condition=Established", f"crd/{CRD['metadata']['name']}", "--timeout=120s")
        yield made


@pytest.fixture
def operator(paper: Paper, tmp_path: Path) -> Iterator[Operator]:
    """The operator of both kinds, with an administrator's rights."""
    metrics, health = free_port(), free_port()
    settings = {
        "KUBECONFIG": str(paper.cluster.kubeconfig),
        "HEADWAY_LEADER_ELECTION": "false",
        "HEADWAY_TRAINER_IMAGE": "trainer:test",
        "HEADWAY_DEFAULT_STORAGE_URI": "s3://models/headway",
        "HEADWAY_METRICS_PORT": str(metrics),
        "HEADWAY_HEALTH_PORT": str(health),
    }
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    log = tmp_path / "operator.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tiny_operator"], stderr=stderr, env={**os.environ, **settings, "PYTHONPATH": path}
        )
    made = Operator(process, log, metrics, health)
    try:
        paper.until("the operator at work", lambda: made.get("/readyz") == "ok")
        yield made
    finally:
        made.kill()


def text_of(paper: Paper, name: str) -> str | None:
    """What the ConfigMap of a Tiny says."""
    found = paper.cluster.kubectl(
        "get", "configmap", f"{name}-copy", "-o", "jsonpath={.data.text}", "--ignore-not-found"
    )
    return found or None


def test_both_kinds_are_reconciled_by_one_engine(paper: Paper, operator: Operator) -> None:
    tiny = {"apiVersion": TINIES.api_version, "kind": TINIES.kind, "metadata": {"name": "digits"}}
    paper.cluster.apply(json.dumps({**tiny, "spec": {"text": "hello"}}))
    paper.submit("digits")
    paper.until("the copy", lambda: text_of(paper, "digits") == "hello")
    paper.phase("digits", "Running")
    paper.cluster.apply(json.dumps({**tiny, "spec": {"text": "good-bye"}}))
    paper.until("the new copy", lambda: text_of(paper, "digits") == "good-bye")
    paper.cluster.kubectl("delete", "configmap", "digits-copy")
    paper.until("the copy again", lambda: text_of(paper, "digits") == "good-bye")
    status = paper.cluster.get(TINIES.plural, "digits")["status"]
    assert (status["phase"], status["text"]) == ("Ready", "good-bye")
    assert paper.status("digits")["phase"] == "Running", "jobs of the same name are another key"
    paper.cluster.kubectl("delete", TINIES.plural, "digits")
    paper.until("no copy", lambda: text_of(paper, "digits") is None)
    assert operator.get("/healthz") == "ok"
    assert operator.metric('headway_reconciles_total{result="bug"}') == 0
