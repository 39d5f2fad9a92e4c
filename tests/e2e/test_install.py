"""Installing, upgrading, removing and installing again: jobs are never lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import ROOT, Cluster

from .conftest import STORAGE, install

pytestmark = pytest.mark.e2e


def test_helm_test_passes(headway: Cluster) -> None:
    assert "Succeeded" in headway.helm("test", "headway", "--namespace", "headway-system")


def test_an_upgrade_brings_the_changed_crd(headway: Cluster, tmp_path: Path) -> None:
    chart = tmp_path / "headway"
    shutil.copytree(ROOT / "charts/headway", chart)
    [crd] = chart.glob("files/crds/*trainingjobs.yaml")
    text = crd.read_text()
    assert "- tj\n" in text
    crd.write_text(text.replace("- tj\n", "- tj\n    - tjob\n"))
    install(headway, *STORAGE, chart=chart)
    names = headway.get("crd", "trainingjobs.headway.dev")["spec"]["names"]
    assert names["shortNames"] == ["tj", "tjob"]
    install(headway, *STORAGE)
    names = headway.get("crd", "trainingjobs.headway.dev")["spec"]["names"]
    assert names["shortNames"] == ["tj"]


def test_a_job_outlives_the_operator_and_is_picked_up_by_the_next(headway: Cluster, namespace: str) -> None:
    headway.apply((ROOT / "examples/digits.yaml").read_text(), namespace)
    headway.wait(
        "the job has its pods",
        lambda: len(headway.items("pods", "-n", namespace, "-l", "headway.dev/job=digits")) == 3,
    )
    headway.helm("uninstall", "headway", "--namespace", "headway-system", "--wait")
    assert headway.get("trainingjob", "digits", "-n", namespace)["kind"] == "TrainingJob"
    assert len(headway.items("pods", "-n", namespace, "-l", "headway.dev/job=digits")) == 3

    install(headway, *STORAGE)
    job = headway.finished("digits", namespace)
    assert job["status"]["phase"] == "Succeeded", headway.story("digits", namespace)
    assert job["status"]["attempt"] == 1
