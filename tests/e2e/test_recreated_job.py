"""A job that is deleted and applied again under its name, while the old one's pods take their time to stop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import Cluster
from headway_api import wire

from .steady import config_map, job

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BIG = """
import torch
from ray import train

from headway_trainer import save_model


def main(arguments):
    train.report({"accuracy": 0.123456})
    if train.get_context().get_world_rank() == 0:
        save_model({f"w{number}": torch.rand(16 * 1024 * 1024) for number in range(8)})
"""
NOTHING_TO_SPARE = {"preempted": 0, "infrastructure": 0}
"""A failure that is charged to the wrong job ends it."""


def digits(name: str, model: str, epochs: int) -> dict[str, Any]:
    """A job of the built-in loop with checkpoints."""
    return job(
        name,
        data={"source": {"builtin": {"name": "digits"}}},
        model={"name": model},
        training={"epochs": epochs, "batchSize": 32, "checkpoint": {"everySteps": 20}},
        export={"formats": ["safetensors"]},
        retry=NOTHING_TO_SPARE,
    )


def recreate(cluster: Cluster, namespace: str, document: dict[str, Any]) -> str:
    """Delete the job and apply another in its place, in one go; the new one's uid."""
    cluster.kubectl("replace", "--force", "-n", namespace, "-f", "-", stdin=json.dumps(document))
    uid: str = cluster.get("tj", document["metadata"]["name"], "-n", namespace)["metadata"]["uid"]
    return uid


def status(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """A job's status."""
    found: dict[str, Any] = cluster.get("tj", name, "-n", namespace).get("status", {})
    return found


def heads(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """The head pods of all jobs of a name: name by the uid of the job."""
    selector = f"{wire.LABEL_JOB}={name},{wire.LABEL_ROLE}={wire.ROLE_HEAD}"
    pods = cluster.items("pods", "-n", namespace, "-l", selector)
    return {pod["metadata"]["labels"][wire.LABEL_JOB_UID]: pod["metadata"]["name"] for pod in pods}


def wait_for_steps(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """Wait until a job trains; its status then. One that ends meanwhile has not trained."""

    def trains() -> dict[str, Any] | None:
        now = status(cluster, namespace, name)
        assert now.get("phase") not in ("Succeeded", "Failed"), cluster.story(name, namespace)
        return now if (now.get("progress") or {}).get("step") else None

    return cluster.wait(f"steps of {name}", trains, 300, every=0.5)


def test_a_job_of_the_same_name_begins_at_once_and_ends_with_a_model_of_its_own(
    headway: Cluster, namespace: str
) -> None:
    headway.apply(json.dumps(digits("same", "cnn", 300)), namespace)
    wait_for_steps(headway, namespace, "same")
    old = headway.get("tj", "same", "-n", namespace)["metadata"]["uid"]
    new = recreate(headway, namespace, digits("same", "mlp", 6))

    def with_the_new_one() -> dict[str, str] | None:
        found = heads(headway, namespace, "same")
        return found if new in found else None

    there = headway.wait("the new head", with_the_new_one, every=0.2)
    assert there[new] == wire.head_name("same", new, 1)
    assert there.get(old) in (None, wire.head_name("same", old, 1))
    ended = headway.finished("same", namespace)["status"]
    assert ended["phase"] == "Succeeded", headway.story("same", namespace)
    assert [(entry["number"], entry.get("cause")) for entry in ended["attempts"]] == [(1, None)]
    assert "failures" not in ended
    assert ended["attempts"][0]["name"] == wire.object_name("same", new, 1)
    assert float(ended["result"]["metrics"]["test/accuracy"]) > 0.8
    places = {artifact["uri"] for artifact in ended["result"]["artifacts"]}
    assert all(f"same-{new[:8]}/" in uri for uri in places), places
    headway.wait("no pod of the old job", lambda: old not in heads(headway, namespace, "same"), 150)


@pytest.mark.long
def test_a_job_that_publishes_as_it_is_replaced_does_not_end_its_successor(headway: Cluster, namespace: str) -> None:
    headway.apply(json.dumps(config_map("big-code", big=BIG)), namespace)
    publishes = job("big", code={"configMap": {"name": "big-code"}}, training={"entrypoint": "big:main"}, memory="4Gi")
    headway.apply(json.dumps(publishes), namespace)
    headway.wait(
        "the stage Publishing",
        lambda: (status(headway, namespace, "big").get("progress") or {}).get("stage") == "Publishing",
        300,
        every=0.2,
    )
    old = headway.get("tj", "big", "-n", namespace)["metadata"]["uid"]
    new = recreate(headway, namespace, digits("big", "cnn", 300))
    seen = wait_for_steps(headway, namespace, "big")
    headway.wait("no pod of the old job", lambda: old not in heads(headway, namespace, "big"), 150)
    later = status(headway, namespace, "big")
    for now in (seen, later):
        assert now["phase"] == "Running"
        assert "result" not in now
        assert "failures" not in now
        assert now["attempts"][0]["name"] == wire.object_name("big", new, 1)
        assert "accuracy" not in now["progress"]["metrics"]
    assert later["progress"]["step"] >= seen["progress"]["step"]
