"""One control plane with PodGroups, and nodes in pools of their own, for jobs that get in each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.paper import Paper, why_no_paper
from harness import PATIENCE

POOLS = {"plain": 1, "prey": 1, "fragile": 3, "pair": 2, "trio": 3}
"""How many nodes, of 8 GPUs each, are for whom."""
SMALL = {"cpu": "10m", "memory": "64Mi"}


class Room(Paper):
    """The cluster, and jobs that ask for a pool's GPUs."""

    def begin(self, name: str, *, pool: str = "plain", gpu: int = 0, workers: int = 1, **spec: Any) -> None:
        """Apply a job whose head and workers want so many GPUs each, in a pool."""
        template = {"spec": {"nodeSelector": {"pool": pool}, **spec.pop("pod", {})}}
        part = {"resources": {**SMALL, "gpu": gpu}, "template": template}
        if gpu > 1:
            spec["training"] = {"entrypoint": "train:main"}
        self.submit(name, **{"head": part, "workers": {"replicas": workers, **part}, **spec})

    def placed(self, name: str) -> int:
        """How many of a job's pods have a node."""
        return sum(1 for pod in self.pods(name) if pod["spec"].get("nodeName"))

    def failed(self, name: str, within: float = PATIENCE) -> dict[str, str]:
        """Wait until a job has failed; the condition that says why."""
        conditions = self.phase(name, "Failed", within)["conditions"]
        found: dict[str, str] = next(item for item in conditions if item["type"] == "Failed")
        return found

    def told(self, name: str, reason: str) -> str:
        """Wait for an Event about a job; what it says."""

        def event() -> str | None:
            found = self.cluster.items("events", "--field-selector", f"involvedObject.name={name},reason={reason}")
            return str(found[0]["message"]) if found else None

        return str(self.until(f"the Event {reason} about {name}", event))


def lose_a_node(room: Room) -> None:
    """The node of a job's head goes. It takes Kubernetes a minute to say so: the other tests have that time."""
    room.begin("lost", pool="fragile", gpu=8)
    room.phase("lost", "Running")
    head = next(pod for pod in room.pods("lost") if pod["metadata"]["name"] == room.head("lost"))
    room.cluster.kubectl("delete", "node", head["spec"]["nodeName"])


@pytest.fixture(scope="package")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """The cluster, with one operator at work."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Room.made("room", tmp_path_factory.mktemp("room"), "--gang", nodes=sum(POOLS.values())) as made:
        nodes = iter(sorted(node["metadata"]["name"] for node in made.cluster.items("nodes")))
        for pool, count in POOLS.items():
            made.cluster.kubectl("label", "node", *(next(nodes) for _ in range(count)), f"pool={pool}")
        with made.operator():
            lose_a_node(made)
            yield made
