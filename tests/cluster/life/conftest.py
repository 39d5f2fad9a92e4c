"""One control plane with two kwok nodes for the tests of this folder; each of them leaves it empty."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.paper import Operator, Paper, install_rights
from harness import HACK_CLUSTER, Cluster, run, why_no_cluster


@pytest.fixture(scope="package")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """The cluster, with the CRDs and the operator's rights."""
    if os.environ.get("HEADWAY_TEST_KUBECONFIG"):
        pytest.skip("needs a cluster whose pods run on paper: unset HEADWAY_TEST_KUBECONFIG")
    if reason := why_no_cluster(node=False):
        pytest.skip(reason)
    name = f"life-{os.getpid()}"
    folder = tmp_path_factory.mktemp("life")
    try:
        words = ("up", "--no-node", "--kwok-nodes", "2", "--name", name)
        cluster = Cluster(Path(run(HACK_CLUSTER, *words, timeout=3600).strip()))
        yield Paper(cluster, folder, install_rights(cluster, folder))
    finally:
        run(HACK_CLUSTER, "down", "--name", name)


@pytest.fixture(autouse=True)
def clean(paper: Paper) -> Iterator[None]:
    """No job, pod or process is left for the next test."""
    yield
    paper.end_all()
    paper.cluster.kubectl("delete", "tj", "--all", "--wait=false")
    # The garbage collector learns of a new kind only half a minute after it was installed: it is not waited for.
    paper.cluster.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")
    paper.until("no job and no pod", lambda: not paper.cluster.items("tj,pods"), within=60)


@pytest.fixture
def operator(paper: Paper) -> Iterator[Operator]:
    """The operator at work."""
    with paper.operator() as made:
        yield made
