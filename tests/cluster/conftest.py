"""A Kubernetes API server for the tests of this folder: no node, no pods."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import HACK_CLUSTER, run, why_no_cluster


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The kubeconfig of a cluster; one of the session's own, unless HEADWAY_TEST_KUBECONFIG names one."""
    if given := os.environ.get("HEADWAY_TEST_KUBECONFIG"):
        yield Path(given)
        return
    if reason := why_no_cluster(node=False):
        pytest.skip(reason)
    name = f"test-{os.getpid()}"
    try:
        yield Path(run(HACK_CLUSTER, "up", "--no-node", "--name", name, timeout=3600).strip())
    finally:
        run(HACK_CLUSTER, "down", "--name", name)
