"""A job trains through `helm upgrade` to another version and `helm rollback`; versions.py says how the two differ."""

from __future__ import annotations

import json
import shutil
import signal
import time
from dataclasses import replace

import pytest

from clone import copy_to
from harness import Cluster, run
from versions import Version, other_version

from .conftest import STORAGE, install
from .node import Node
from .steady import Watched, job, wait_until_nothing_is_left

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The other version, chart and all."""
    version = other_version(copy_to(tmp_path_factory.mktemp("other") / "headway"))
    for path in version.crds:
        shutil.copy(path, version.root / "charts/headway/files/crds")
    return version


def images_of(version: Version) -> dict[str, str]:
    """Its images, built and pushed."""
    cluster = version.root / "hack/cluster/cluster"
    return {target: run(cluster, "image", target, timeout=1100).split()[-1] for target in ("operator", "trainer")}


def trains_on(victim: Watched, fault: float) -> None:
    """The processes of before go on, and no others."""
    victim.wait_for_steps_after(time.time() + 3)
    processes = {step.process for step in victim.steps() if step.at < fault}
    assert {step.process for step in victim.steps() if step.at >= fault} <= processes


def test_a_job_trains_through_an_upgrade_and_a_rollback(
    headway: Cluster, node: Node, namespace: str, other: Version
) -> None:
    victim = Watched(node, namespace, "victim", seed=7, retry={"infrastructure": 9, "preempted": 9})
    victim.wait_for_training()
    upgraded = replace(headway, images=images_of(other))
    try:
        began = time.time()
        install(upgraded, *STORAGE, chart=other.root / "charts/headway")
        long = job(
            "long", training={"epochs": 3}, data={"source": {"builtin": {"name": "digits"}}}, model={"name": "mlp"}
        )
        refused = headway.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(long), check=False)
        assert "epochs" in refused, "the other version has a rule that the job breaks"
        trains_on(victim, began)
        assert victim.status()["attempt"] == 1

        newest = max(victim.checkpoints())
        fault = victim.node.signal(victim.pod("head"), signal.SIGKILL)
        victim.wait_for_new_processes(fault)
        attempt = victim.wait_for_attempt(2, "resumedFromStep")
        assert attempt["resumedFromStep"] >= newest
        assert attempt["image"] == upgraded.images["trainer"] != headway.images["trainer"]

        began = time.time()
        headway.helm("rollback", "headway", "--namespace", "headway-system", "--wait", "--timeout", "3m")
        trains_on(victim, began)
        fault = victim.node.signal(victim.pod("worker"), signal.SIGKILL)
        victim.wait_for_new_processes(fault)
        told = headway.wait("the loss in the status", lambda: victim.attempt(2) if replaced(victim) else None)
        assert told["image"] == upgraded.images["trainer"], "pods of one attempt are of one image"
        victim.edit(activeDeadlineSeconds=1)
        status = victim.wait_for_phase("Failed")
        assert [one["cause"] for one in status["attempts"]] == ["Internal", "DeadlineExceeded"]
        wait_until_nothing_is_left(headway, namespace, "victim")
    finally:
        install(headway, *STORAGE)


def replaced(victim: Watched) -> bool:
    """Whether the second attempt has had a worker replaced."""
    attempt = victim.attempt(2)
    return attempt is not None and attempt.get("workersReplaced", 0) >= 1
