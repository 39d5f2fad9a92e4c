"""`headway` on a real API server with a real operator; nodes and pods are kwok's."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.paper import Operator, Paper, why_no_paper
from commands import clean_environment

pytestmark = pytest.mark.cluster
PROGRAM = "#!{python}\nimport sys\nsys.path[:0] = {path!r}\nfrom {module} import {function}\nsys.exit({function}())\n"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane with two kwok nodes, the CRDs, and the operator's rights."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("words", tmp_path_factory.mktemp("words")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(paper: Paper) -> Iterator[Operator]:
    """The operator at work."""
    with paper.operator() as made:
        yield made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs that the distribution installs."""
    folder = tmp_path_factory.mktemp("programs")
    declared = {
        "headway": ("headway_cli.main", "main"),
        "kubectl-headway": ("headway_cli.main", "kubectl_main"),
        "kubectl_complete-headway": ("headway_cli.completion", "kubectl_complete"),
    }
    for name, (module, function) in declared.items():
        text = PROGRAM.format(python=sys.executable, path=sys.path, module=module, function=function)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


class Headway:
    """The command, as a user of the cluster has it."""

    def __init__(self, paper: Paper, programs: Path) -> None:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._environment = clean_environment() | {"KUBECONFIG": str(paper.cluster.kubeconfig), "PATH": path}

    def __call__(self, *words: str, program: str = "headway") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=180, check=False, env=self._environment
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            ["headway", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment
        )


@pytest.fixture(scope="module")
def headway(paper: Paper, operator: Operator, programs: Path) -> Headway:
    """The command, with an operator at work."""
    assert operator.working()
    return Headway(paper, programs)


def test_status_shows_a_job_from_its_first_pod_to_its_end(paper: Paper, headway: Headway) -> None:
    paper.submit("churn", workers={"replicas": 2})
    paper.phase("churn", "Running")
    paper.say(
        "churn", {"stage": "Training", "percent": 38, "step": 7410, "epoch": 19, "metrics": {"train/loss": "0.231"}}
    )
    paper.until("progress in the status", lambda: paper.status("churn").get("progress", {}).get("step") == 7410)
    done = headway("status", "churn")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "churn   default   Running   attempt 1   38%   epoch 19/3   step 7,410"
    assert any(line.startswith("workers") and "2/2 ready: kwok-" in line for line in rest)
    assert done.stderr.startswith("context headway-words-")
    assert "churn   Running   38%" in headway("status").stdout
    assert json.loads(headway("status", "tj/churn", "-o", "json").stdout)["metadata"]["name"] == "churn"
    watch = headway.start("status", "churn", "-w")
    try:
        paper.end_driver("churn", "Failed", code=64, cause="UserError", message="no column y")
        told, _ = watch.communicate(timeout=120)
    finally:
        watch.kill()
    assert watch.returncode == 64
    assert "Failed" in told.splitlines()[-1]
    assert "message  no column y" in headway("status", "churn").stdout


def test_what_is_not_there_or_not_allowed_or_not_reached_has_its_code(paper: Paper, headway: Headway) -> None:
    missing = headway("status", "nope")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no TrainingJob or ModelDeployment nope" in missing.stderr
    elsewhere = headway("status", "--context", "nope")
    assert elsewhere.returncode == 3
    assert "kubectl config get-contexts" in elsewhere.stderr
    assert headway("status", "--kubeconfig", "/nope").returncode == 3
    assert headway("status", "-n", "kube-system").stdout == "No TrainingJob and no ModelDeployment.\n"
    assert "churn" in headway("status", "-A").stdout
    assert paper.cluster.items("tj")


def test_kubectl_headway_is_the_same_and_completes(headway: Headway) -> None:
    done = headway("headway", "status", "-A", program="kubectl")
    assert done.returncode == 0, done.stderr
    assert "churn" in done.stdout
    completed = headway("__complete", "headway", "status", "chu", program="kubectl")
    assert completed.stdout.splitlines() == ["churn", ":4"]


def test_status_takes_less_than_half_a_second_of_a_processor_kubectl_s_part_included(headway: Headway) -> None:
    # Processor time: what a clock says on a machine where other tests run says little of the command.
    def measured() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert headway("status").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(measured() for _ in range(7)) < 0.5
