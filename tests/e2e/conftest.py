"""A real node with the project's own images, Headway installed by Helm, and a namespace with storage for each test."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import HACK_CLUSTER, ROOT, Cluster, run, why_no_cluster

from .node import Node

PREFIX = "e2e-"
"""Of the names of all namespaces that tests make."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with one real node, the images of this checkout within its reach, and nothing installed."""
    if reason := why_no_cluster(node=True):
        pytest.skip(reason)
    given = os.environ.get("HEADWAY_TEST_KUBECONFIG")
    try:
        run(HACK_CLUSTER, "deps", timeout=3600)
        with ThreadPoolExecutor(1) as pool:
            up = pool.submit(run, HACK_CLUSTER, "up", timeout=3600)
            images = {
                target: run(HACK_CLUSTER, "image", target, timeout=3600).split()[-1]
                for target in ("operator", "server", "trainer")
            }
            up.result()
        kubeconfig = Path(given or run(HACK_CLUSTER, "kubeconfig").strip())
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
def headway(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with Headway installed, whose default storage is the claim `models` of each namespace.

    In the end all namespaces that the tests made are gone.
    """
    install(cluster, *STORAGE)
    yield cluster

    def left() -> list[str]:
        names = (item["metadata"]["name"] for item in cluster.items("namespaces"))
        return [name for name in names if name.startswith(PREFIX)]

    cluster.wait("the tests' namespaces gone", lambda: not left() or None, within=300)


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 1Gi}}
"""


@contextmanager
def made_namespace(cluster: Cluster, claim: str = CLAIM) -> Iterator[str]:
    """A namespace with a claim `models`; deleted afterwards, which is not waited for."""
    name = f"{PREFIX}{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    cluster.apply(claim, name)
    try:
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(headway: Cluster) -> Iterator[str]:
    """A namespace of the test's own, with the claim `models`; deleted after it."""
    with made_namespace(headway) as name:
        yield name


@pytest.fixture(scope="session")
def digits(headway: Cluster) -> Iterator[str]:
    """A namespace in which examples/digits.yaml was applied and has ended."""
    with made_namespace(headway) as name:
        headway.apply((ROOT / "examples/digits.yaml").read_text(), name)
        headway.finished("digits", name)
        yield name


@pytest.fixture(scope="session")
def node(headway: Cluster) -> Node:
    """The node under the cluster, to be hurt."""
    if os.environ.get("HEADWAY_TEST_KUBECONFIG"):
        pytest.skip("hurts the node: it has to be one of hack/cluster; unset HEADWAY_TEST_KUBECONFIG")
    return Node(headway)


_SECONDS = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Callable[[str, float], None]:
    """Takes what took how many seconds, for the summary of the test run and the file that HEADWAY_FAULTS_JSON names."""
    seconds = pytestconfig.stash.setdefault(_SECONDS, {})

    def take(what: str, value: float) -> None:
        seconds[what] = round(value, 2)
        if path := os.environ.get("HEADWAY_FAULTS_JSON"):
            Path(path).write_text(json.dumps(seconds, indent=2) + "\n")

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The measured seconds, at the end of the test run."""
    if seconds := config.stash.get(_SECONDS, {}):
        terminalreporter.section("seconds that were measured: after faults, to the next optimiser step")
        for what, value in seconds.items():
            terminalreporter.line(f"{value:8.2f}  {what}")
