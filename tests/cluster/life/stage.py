"""What the tests of this folder do to jobs, beyond what `Paper` does."""

from __future__ import annotations

import json
from typing import Any

from cluster.paper import Paper

SILENT = "silent"
"""A node that nobody runs: what is deleted there stays for its grace, as under a driver that saves a checkpoint."""
ON_SILENT = {"template": {"spec": {"nodeName": SILENT}}}
NOWHERE = {"template": {"spec": {"nodeSelector": {"no": "where"}}}}
ANY_FINALIZER = '{range .items[*]}{.kind} {.metadata.name}: {.metadata.finalizers}{"\\n"}{end}'


def silent_node(paper: Paper) -> None:
    """Make that node."""
    paper.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": SILENT}}))


def become_ready(paper: Paper, pod: str) -> None:
    """A pod of the silent node gets ready."""
    conditions = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Ready")]
    patch = json.dumps({"status": {"phase": "Running", "conditions": conditions}})
    paper.cluster.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", patch)


def go(paper: Paper, pod: str) -> None:
    """A pod of the silent node ends, as its driver has."""
    paper.cluster.kubectl("delete", "pod", pod, "--force", "--grace-period=0")


def finish(paper: Paper, *heads: str, kind: str = "Succeeded", **fields: Any) -> None:
    """The drivers of some jobs end, in their first attempt."""
    for name in heads:
        paper.end_driver(name, kind, code=0 if kind == "Succeeded" else 1, **fields)


def causes(status: dict[str, Any]) -> list[str | None]:
    """Why each attempt of a job ended."""
    return [attempt.get("cause") for attempt in status.get("attempts", [])]
