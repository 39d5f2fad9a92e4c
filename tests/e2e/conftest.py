"""A real node with the project's own images, Headway installed by Helm, and a namespace with storage for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import HACK_CLUSTER, ROOT, Cluster, run, why_no_cluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with one real node, the images `operator` and `trainer` within its reach, and nothing installed."""
    if reason := why_no_cluster(node=True):
        pytest.skip(reason)
    given = os.environ.get("HEADWAY_TEST_KUBECONFIG")
    try:
        run(HACK_CLUSTER, "up", timeout=3600)
        kubeconfig = Path(given or run(HACK_CLUSTER, "kubeconfig").strip())
        images = {
            target: run(HACK_CLUSTER, "image", target, timeout=3600).split()[-1] for target in ("operator", "trainer")
        }
        yield Cluster(kubeconfig, run(HACK_CLUSTER, "which", "helm").strip(), images)
    finally:
        if not os.environ.get("HEADWAY_TEST_KEEP_CLUSTER"):
            run(HACK_CLUSTER, "down")


STORAGE = ("--set", "defaultStorage.persistentVolumeClaim.name=models")


def install(cluster: Cluster, *values: str, chart: Path = ROOT / "charts/headway") -> None:
    """Installs or upgrades Headway from a chart, and waits until it is ready."""
    repositories = [word for target, image in cluster.images.items() for word in ("--set", f"{target}.image={image}")]
    cluster.helm(
        "upgrade", "--install", "headway", str(chart), "--namespace", "headway-system",
        "--create-namespace", "--wait", "--timeout", "3m", *repositories, *values,
    )  # fmt: skip


@pytest.fixture(scope="session")
def headway(cluster: Cluster) -> Cluster:
    """A cluster with Headway installed, whose default storage is the claim `models` of each namespace."""
    install(cluster, *STORAGE)
    return cluster


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 1Gi}}
"""


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"e2e-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    cluster.apply(CLAIM, name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=true", "--timeout=120s")


@pytest.fixture
def namespace(headway: Cluster) -> Iterator[str]:
    """A namespace of the test's own, with the claim `models`; gone after it."""
    with _namespace(headway) as name:
        yield name


@pytest.fixture(scope="session")
def digits(headway: Cluster) -> Iterator[str]:
    """A namespace in which examples/digits.yaml was applied and has ended."""
    with _namespace(headway) as name:
        headway.apply((ROOT / "examples/digits.yaml").read_text(), name)
        headway.finished("digits", name)
        yield name
