"""What the pages tell to type on a cluster, typed: README, the how-to pages and the tutorial about serving."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clone import copy_to
from harness import ROOT, Cluster
from markdown_blocks import blocks, script

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
    """A copy of the checkout, and a default namespace with the claim that the pages speak of and no jobs."""
    headway.kubectl("delete", "trainingjobs", "--all", "-n", "default", "--timeout=150s")
    headway.kubectl("apply", "-n", "default", "-f", str(ROOT / "examples/storage.yaml"))
    return copy_to(tmp_path / "headway")


def needs_cluster(page: str) -> bool:
    return any("cluster" in block.words for block in blocks(ROOT / page))


def marked(page: str) -> object:
    """A page as a parameter: all but README take their time."""
    return pytest.param(page, marks=() if page == "README.md" else pytest.mark.long)


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if page not in BY_ITSELF and needs_cluster(page)])
def test_the_commands_of_a_page_work_as_they_stand(headway: Cluster, as_read: Path, page: str) -> None:
    everything = page.startswith("docs/how-to")
    type_in(as_read, script(ROOT / page, cluster=True, machine=everything), headway)


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
