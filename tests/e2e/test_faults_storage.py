"""Storage that is full, read-only, damaged, or left in the middle of a save: the older checkpoint stays good.

One job is hurt in one way after the other; the last test lets it end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import Cluster

from .conftest import CLAIM, made_namespace
from .node import Node
from .steady import Watched, wait_until_nothing_is_left

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

Measured = Callable[[str, float], None]
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "thin"},
    "spec": {
        "storageClassName": "thin",
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"type": "Directory"},
    },
}


class Thin:
    """A small volume that can be filled, and made read-only."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.path = str(node.cluster.kubeconfig.parent / "volumes/thin")
        node.inside("mkdir", "-p", self.path)
        node.inside("mount", "-t", "tmpfs", "-o", "size=256m,mode=777", "thin", self.path)
        spec = {**VOLUME["spec"], "hostPath": {"path": self.path, "type": "Directory"}}  # type: ignore[dict-item]  # it is one
        node.cluster.apply(json.dumps(VOLUME | {"spec": spec}))

    @property
    def folder(self) -> Path:
        """The volume as this machine reaches it."""
        return self.node.root / self.path.lstrip("/")

    def fill(self) -> None:
        """Leave no room."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 2**20):
                    pass
            except OSError:
                return

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink()

    def set(self, option: str) -> None:
        """Make it `ro`, once no file is being written, or `rw`."""
        self.node.cluster.wait(option, lambda: self._set(option), every=0.01)

    def _set(self, option: str) -> bool:
        try:
            self.node.inside("mount", "-o", f"remount,{option}", self.path)
        except AssertionError:
            return False
        return True

    def remove(self) -> None:
        """It is gone."""
        self.node.cluster.kubectl("delete", "pv", "thin", "--wait=false")
        self.node.inside("umount", "--lazy", self.path)


@pytest.fixture(scope="module")
def thin(node: Node) -> Iterator[Thin]:
    """The small volume."""
    made = Thin(node)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def stored(headway: Cluster, node: Node, thin: Thin) -> Iterator[Watched]:
    """A job on the small volume: with 16 MB in each checkpoint, a save takes a moment."""
    assert thin
    claim = CLAIM.replace("spec:", "spec:\n  storageClassName: thin\n  volumeName: thin")
    with made_namespace(headway, claim) as namespace:
        retry = {"infrastructure": 50, "preempted": 50}
        yield Watched(node, namespace, "stored", epochs=200, padding=16, every=10, retry=retry)


def _storage_error(stored: Watched, number: int, newest: int, words: str) -> None:
    """The attempt ended, and says why; the checkpoint from before is there."""
    attempt = stored.wait_for_attempt(number, "endTime")
    assert attempt["cause"] == "StorageError"
    assert words in attempt["message"], attempt["message"]
    assert "/mnt/headway/storage" in attempt["message"]
    assert newest in stored.checkpoints()


@pytest.mark.long
def test_a_full_volume_costs_an_attempt_and_no_checkpoint(stored: Watched, thin: Thin, measured: Measured) -> None:
    stored.wait_for_training()
    number, newest = stored.status()["attempt"], max(stored.checkpoints())
    fault = time.time()
    thin.fill()
    try:
        newest = max(newest, *stored.checkpoints())
        _storage_error(stored, number, newest, "No space left")
    finally:
        thin.empty()
    measured("volume full during a save", stored.wait_for_new_processes(fault))
    assert stored.wait_for_attempt(number + 1, "resumedFromStep")["resumedFromStep"] >= newest


@pytest.mark.long
def test_a_read_only_volume_costs_an_attempt_and_no_checkpoint(stored: Watched, thin: Thin, measured: Measured) -> None:
    stored.wait_for_training()
    number = stored.status()["attempt"]
    thin.set("ro")
    fault, newest = time.time(), max(stored.checkpoints())
    try:
        _storage_error(stored, number, newest, "Read-only")
    finally:
        thin.set("rw")
    measured("volume read-only during a save", stored.wait_for_new_processes(fault))
    assert stored.wait_for_attempt(number + 1, "resumedFromStep")["resumedFromStep"] >= newest


@pytest.mark.long
def test_sigterm_in_the_middle_of_a_save_costs_no_step(stored: Watched, measured: Measured) -> None:
    stored.wait_for_training()
    number, pid = stored.status()["attempt"], stored.node.main_process(stored.pod("head"))
    stored.cluster.wait("a save", stored.unfinished, every=0.002)
    os.kill(pid, signal.SIGTERM)
    fault = time.time()
    measured("head told to go (SIGTERM) during a save", stored.wait_for_new_processes(fault))
    attempt = stored.wait_for_attempt(number, "endTime")
    assert (attempt["cause"], attempt["exitCode"]) == ("Preempted", 143)
    resumed = stored.wait_for_attempt(number + 1, "resumedFromStep")
    assert resumed["stepsLost"] == 0
    assert str(resumed["resumedFromStep"]) in attempt["message"]


@pytest.mark.long
def test_a_truncated_newest_checkpoint_is_passed_over_and_the_status_says_so(stored: Watched) -> None:
    stored.wait_for_training()
    stored.edit(suspend=True)
    number = stored.wait_for_phase("Suspended")["attempt"]
    *_, before, newest = sorted(stored.checkpoints())
    weights = stored.checkpoints()[newest] / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    stored.edit(suspend=False)
    attempt = stored.wait_for_attempt(number + 1, "resumedFromStep")
    assert attempt["resumedFromStep"] == before
    assert attempt["stepsLost"] == newest - before
    stored.hurry()
    status = stored.wait_for_phase("Succeeded", within=300)
    complete = next(one for one in status["conditions"] if one["type"] == "Complete")
    assert f"step-{newest:010d}-attempt-{number} was passed over" in complete["message"]
    wait_until_nothing_is_left(stored.cluster, stored.namespace, stored.name)
