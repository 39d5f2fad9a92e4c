"""What the pages tell to type on a cluster, typed: README, the how-to pages and the tutorial about serving."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from clone import copy_to
from harness import ROOT, Cluster
from markdown_blocks import Block, blocks, script

from .conftest import STORAGE, install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PAGES = [
    "README.md",
    "docs/tutorial.md",
    *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/how-to/*.md"))),
]
BY_ITSELF = ("docs/how-to/install.md", "docs/tutorial.md")
"""The first is typed below, the second by test_first_hour.py."""
SERVING = "docs/tutorial-serving.md"
SAYS = {
    "docs/how-to/autoscale.md": r'^\{.*"desired":2,',
    "docs/how-to/costs.md": r'^\{"attempt":1,.*"goodputPercent":\d+,"saving":0,"seconds":\{.*"productive":\d+',
    "docs/how-to/from-torchrun.md": r"^from-torchrun +default +Succeeded\b",
    "docs/how-to/get-the-model-out.md": r"^model\.json\nmodel\.onnx\nmodel\.safetensors\n(.+\n)*result\.json$",
}
"""What a page's commands print in the end, beyond that none of them fails."""
WITH_GPUS = ("from-pytorchjob.md", "from-rayjob.md", "gpus.md", "costs.md")
"""Guides whose jobs ask for GPUs, and for nodes larger than that of a test."""


def type_in(folder: Path, text: str, cluster: Cluster) -> str:
    """Types a page's commands in a folder, with this test run's `headway` and the cluster's kubectl at hand; what they
    print."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path}
    done = subprocess.run(
        ["bash"], input=text, cwd=folder, env=environment, text=True, capture_output=True, timeout=1100, check=False
    )
    said = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert done.returncode == 0, said
    # A page waits for a job's end, good or bad, and prints its phase: first in a line, or after the job's name.
    assert not re.search(r"^(\S+ +)?Failed\b", done.stdout, re.MULTILINE), said
    return done.stdout


@pytest.fixture
def as_read(headway: Cluster, tmp_path: Path) -> Path:
    """A copy of the checkout, and a default namespace with the claim that the pages speak of, no jobs and no models
    that answer."""
    headway.kubectl("delete", "trainingjobs,modeldeployments", "--all", "-n", "default", "--timeout=150s")
    headway.kubectl("apply", "-n", "default", "-f", str(ROOT / "examples/storage.yaml"))
    return copy_to(tmp_path / "headway")


def needs_cluster(page: str) -> bool:
    return any("cluster" in block.words and "alone" not in block.words for block in blocks(ROOT / page))


def marked(page: str) -> object:
    """A page as a parameter: all but README take their time."""
    return pytest.param(page, marks=() if page == "README.md" else pytest.mark.long)


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if page not in BY_ITSELF and needs_cluster(page)])
def test_the_commands_of_a_page_work_as_they_stand(headway: Cluster, as_read: Path, page: str) -> None:
    everything = page.startswith("docs/how-to")
    said = type_in(as_read, script(ROOT / page, cluster=True, machine=everything), headway)
    assert re.search(SAYS.get(page, ""), said, re.MULTILINE), said


def asking_for_gpus() -> list[Block]:
    """The jobs of guides that no node of a test has room for."""
    found = [block for page in WITH_GPUS for block in blocks(ROOT / "docs/how-to" / page)]
    return [block for block in found if (block.file or "").endswith(".yaml")]


def as_asked(pod: dict[str, Any]) -> dict[str, Any]:
    """What of a pod the file decides: its container's image and room, and the nodes that it may be on."""
    (main,) = (each for each in pod["spec"]["containers"] if each["name"] == "main")
    tolerated = [each for each in pod["spec"].get("tolerations", []) if not each["key"].startswith("node.kubernetes")]
    return {
        "image": main["image"],
        "limits": main["resources"]["limits"],
        "requests": {each: main["resources"]["requests"][each] for each in ("cpu", "memory")},
        "NCCL": {each["name"]: each["value"] for each in main["env"] if each["name"].startswith("NCCL_")},
        "nodeSelector": pod["spec"].get("nodeSelector", {}),
        "tolerations": tolerated,
    }


@pytest.mark.long
@pytest.mark.parametrize("file", asking_for_gpus(), ids=str)
def test_a_guide_s_job_for_gpus_gets_the_pods_that_render_shows_and_doctor_says_what_they_lack(
    headway: Cluster, as_read: Path, namespace: str, file: Block
) -> None:
    job = yaml.safe_load(file.text)
    name, worker = job["metadata"]["name"], job["spec"]["workers"]
    if secret := job["spec"].get("storage", {}).get("secretRef"):
        literal = "--from-literal=AWS_ACCESS_KEY_ID=x"
        headway.kubectl("create", "secret", "generic", secret["name"], literal, "-n", namespace)
    (as_read / "job.yaml").write_text(file.text)
    image = headway.images["trainer"]
    rendered = yaml.safe_load_all(type_in(as_read, f"headway render job.yaml --all --image {image}", headway))
    shown = [as_asked(each) for each in rendered if each and each["kind"] == "Pod"]
    type_in(as_read, f"headway submit job.yaml -n {namespace}", headway)

    def waits() -> dict[str, Any] | None:
        found = headway.get("trainingjob", name, "-n", namespace)
        return found if found.get("status", {}).get("phase") == "Queued" else None

    headway.wait(f"{name} to wait for room", waits)
    pods = [as_asked(each) for each in headway.items("pods", "-n", namespace, "-l", f"headway.dev/job={name}")]
    assert len(shown) == 1 + worker["replicas"]
    assert sorted(pods, key=json.dumps) == sorted(shown, key=json.dumps)
    told = type_in(as_read, f"headway doctor {name} -n {namespace} -o json || [ $? = 1 ]", headway)
    wrong = {each["check"] for each in json.loads(told) if each["level"] == "FAIL"}
    assert {"job-Unschedulable", "gpus-none"} <= wrong, told


@pytest.mark.long
def test_the_tutorial_about_serving_ends_with_the_better_model_and_without_a_failed_request(
    headway: Cluster, as_read: Path
) -> None:
    said = type_in(as_read, script(ROOT / SERVING, cluster=True), headway)
    assert "churn-1 Retired\nchurn-2 Champion\nchurn-3 Rejected\n" in said
    assert re.search(r"^Agreement: version churn-3 is rejected", said, re.MULTILINE), said
    counted = re.findall(r"'(version \d|failed: [^']*)': (\d+)", said)
    assert {"version 1", "version 2"} <= {name for name, _ in counted} <= {"version 1", "version 2", "version 3"}, (
        counted
    )
    assert {"10%", "50%"} <= set(re.findall(r"^churn .*\bchurn-2 +(\d+%)", said, re.MULTILINE)), said


@pytest.mark.long
def test_installing_as_the_page_says_ends_with_the_jobs_still_there(headway: Cluster, as_read: Path) -> None:
    headway.kubectl("apply", "-n", "default", "-f", str(ROOT / "examples/digits.yaml"))
    headway.finished("digits", "default")
    try:
        type_in(as_read, script(ROOT / BY_ITSELF[0], cluster=True), headway)
        assert headway.get("trainingjob", "digits", "-n", "default")["status"]["phase"] == "Succeeded"
    finally:
        install(headway, *STORAGE)
