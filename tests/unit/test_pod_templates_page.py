"""The page on pod templates: its jobs give the pods that it promises."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from headway_operator.training.plan.model import NewPod
from headway_operator.training.plan.spec import resolve
from headway_operator.training.render import merge, pods
from headway_operator.training.render.objects import AttemptOf
from markdown_blocks import ROOT, blocks
from sim.builders import DEFAULTS, UID

PAGE = ROOT / "docs/how-to/pod-templates.md"
JOBS = {
    document["metadata"]["name"]: document
    for block in blocks(PAGE)
    if block.language == "yaml"
    for document in [yaml.safe_load(block.text)]
}


def made(name: str, role: Any) -> dict[str, Any]:
    """A pod of a job of the page."""
    resolved = resolve(JOBS[name], DEFAULTS)
    assert resolved.spec is not None, resolved.problems
    return pods.pod(AttemptOf("team", name, UID, 1, 2, resolved.spec), NewPod(role), "IfNotPresent")


@pytest.mark.parametrize("role", ["head", "worker"])
def test_images_and_priority_are_those_of_both_templates(role: str) -> None:
    spec = made("placed", role)["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["priorityClassName"] == "training"


def test_only_workers_go_to_nodes_with_gpus() -> None:
    head, worker = made("placed", "head")["spec"], made("placed", "worker")["spec"]
    assert worker["nodeSelector"] == {"accelerator": "a100"}
    assert "nodeSelector" not in head
    keys = [entry["key"] for entry in worker["tolerations"]]
    assert keys == ["nvidia.com/gpu", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]


def test_variables_resources_and_volumes_are_added_to_those_of_main() -> None:
    pod = made("more-in-the-pods", "worker")
    main = pod["spec"]["containers"][0]
    assert {"NCCL_DEBUG", "HF_TOKEN", "RAY_AUTH_MODE"} <= {entry["name"] for entry in main["env"]}
    assert set(main["resources"]["limits"]) == {"memory", "rdma/ib"}
    assert "/cache" in {mount["mountPath"] for mount in main["volumeMounts"]}
    assert {"cache", "headway-run"} <= {volume["name"] for volume in pod["spec"]["volumes"]}
    assert pod["metadata"]["annotations"]["prometheus.io/scrape"] == "false"


def test_a_sidecar_stands_beside_main() -> None:
    spec = made("more-in-the-pods", "worker")["spec"]
    assert [container["name"] for container in spec["containers"]] == ["main"]
    assert [(one["name"], one["restartPolicy"]) for one in spec["initContainers"]] == [("watcher", "Always")]


def test_what_headway_keeps_for_itself_is_on_the_page() -> None:
    text = PAGE.read_text()
    kept = {*merge.FORCED_IN_SPEC, *merge.FORCED_IN_MAIN} - {"name"}
    assert [field for field in sorted(kept) if f"`{field}`" not in text] == []
