"""Pages for those who come from elsewhere: what they had is what KubeRay and Kubeflow take; each field has its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from headway_api.validate import check
from markdown_blocks import ROOT, Block, blocks

HOW_TO = ROOT / "docs/how-to"
KNOWN = {
    # The fields of their kinds, of KubeRay 1.7, the training operator 1.9 and Kubeflow Trainer 2.3.
    "RayJob": {
        "entrypoint", "runtimeEnvYAML", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "activeDeadlineSeconds",
        "backoffLimit", "suspend", "rayClusterSpec", "submissionMode", "submitterPodTemplate", "managedBy",
    },
    "PyTorchJob": {"nprocPerNode", "runPolicy", "pytorchReplicaSpecs", "elasticPolicy"},
    "TrainJob": {
        "runtimeRef", "initializer", "trainer", "runtimePatches", "suspend", "activeDeadlineSeconds", "managedBy",
    },
}  # fmt: skip
PAGES = {"from-rayjob.md": {"RayJob"}, "from-pytorchjob.md": {"PyTorchJob", "TrainJob"}}
UNSAID = {"name", "rayClusterSpec", "runPolicy", "pytorchReplicaSpecs", "trainer", "runtimeRef", "limits", "template"}
"""Fields that only hold others, or need no counterpart."""


def manifests(page: str) -> dict[str, Any]:
    """The YAML of a page by its kind."""
    found = [yaml.safe_load(block.text) for block in blocks(HOW_TO / page) if block.language == "yaml"]
    return {document["kind"]: document for document in found}


@pytest.mark.parametrize(("page", "kinds"), PAGES.items(), ids=PAGES)
def test_what_readers_have_is_of_the_fields_of_its_kind_and_each_field_has_a_row(page: str, kinds: set[str]) -> None:
    had = manifests(page)
    assert set(had) == kinds | {"TrainingJob"}
    rows = "\n".join(line for line in (HOW_TO / page).read_text().splitlines() if line.startswith("|"))
    for kind in kinds:
        spec = had[kind]["spec"]
        assert set(spec) <= KNOWN[kind]
        policy = spec.get("runPolicy", {})
        assert set(policy) <= {
            "cleanPodPolicy", "ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit", "suspend",
        }  # fmt: skip
        trainer = spec.get("trainer", {})
        assert set(trainer) <= {"image", "command", "args", "env", "numNodes", "resourcesPerNode", "numProcPerNode"}
        said = set(re.findall(r"\w+", rows))
        assert {*spec, *policy, *trainer} - UNSAID <= said, kind


def test_what_they_ask_for_is_what_the_job_asks_for() -> None:
    had = manifests("from-rayjob.md")
    (group,) = had["RayJob"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    workers = had["TrainingJob"]["spec"]["workers"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert workers["replicas"] == group["replicas"]
    assert workers["resources"] == {
        "cpu": limits["cpu"], "memory": limits["memory"], "gpu": int(limits["nvidia.com/gpu"]),
    }  # fmt: skip
    had = manifests("from-pytorchjob.md")
    workers = had["TrainingJob"]["spec"]["workers"]
    replicas = had["PyTorchJob"]["spec"]["pytorchReplicaSpecs"].values()
    trainer = had["TrainJob"]["spec"]["trainer"]
    assert workers["replicas"] == sum(one["replicas"] for one in replicas) == trainer["numNodes"]
    for one in replicas:
        (container,) = one["template"]["spec"]["containers"]
        assert container["name"] == "pytorch", "the training operator asks for that name"
        assert container["resources"] == trainer["resourcesPerNode"]
    assert workers["resources"]["gpu"] == trainer["numProcPerNode"]


def saved() -> Iterator[tuple[Block, Block]]:
    """Each block of these pages that `headway validate` is told of, with the one that types it."""
    for page in ("from-torchrun.md", "from-rayjob.md", "from-pytorchjob.md", "gpus.md", "costs.md"):
        files = {block.file: block for block in blocks(HOW_TO / page) if block.file}
        for block in blocks(HOW_TO / page):
            for name in re.findall(r"^headway validate (\S+)$", block.text, re.MULTILINE):
                yield files[name], block


@pytest.mark.parametrize(("file", "typed"), list(saved()), ids=str)
def test_the_page_shows_what_validate_says_of_its_file(file: Block, typed: Block) -> None:
    assert not check(file.text.encode()).problems
    name = yaml.safe_load(file.text)["metadata"]["name"]
    shown = next(block for block in blocks(typed.page) if block.language == "text" and block.line > typed.line)
    assert shown.text.splitlines()[0] == f"{file.file}:1: TrainingJob {name} is valid"


def test_python_on_these_pages_is_python() -> None:
    found = [block for page in HOW_TO.glob("*.md") for block in blocks(page) if block.language == "python"]
    assert len(found) > 10
    for block in found:
        compile(block.text, str(block), "exec")
