"""A package that gives a model, an estimator and metrics: the page about it typed as it stands, with the package really
installed; killed and resumed; and what a user sees of one that is broken."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_wine

from headway_api import wire
from markdown_blocks import ROOT, blocks, script
from package_world import install
from pods import Pods, undisturbed

pytestmark = pytest.mark.ray

PAGE = ROOT / "docs/how-to/packages.md"
Environment = dict[str, str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment in which the page's package is installed, in a folder of its own."""
    folder = tmp_path_factory.mktemp("packages")
    for block in blocks(PAGE):
        if block.file and block.file.startswith("acme/"):
            path = folder / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)
    place = folder / "installed"
    options = ["--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--target", str(place)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(folder / "acme")], check=True)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])}


def _result(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def _said(path: Path) -> list[str]:
    with path.open() as file:
        return [row["label"] for row in csv.DictReader(file)]


@pytest.mark.long
def test_the_page_about_packages_can_be_typed(installed: Environment, tmp_path: Path) -> None:
    page = script(PAGE, cluster=False)
    done = subprocess.run(
        ["bash", "-c", page], cwd=tmp_path, env=installed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "acme.gated (spec.model.name) and acme.brier (spec.evaluation.metrics[1])" in done.stdout
    gated, centroids = _result(tmp_path / "out/gated"), _result(tmp_path / "out/centroids")
    kept, history = gated["training"]["kept"], gated["training"]["history"]
    assert (kept["metric"], kept["better"]) == ("validation/acme.brier", "min")
    assert kept["value"] == min(record["validation"]["acme.brier"] for record in history)
    assert [gate["passed"] for gate in gated["gates"]] == [True]
    assert gated["gates"][0]["against_value" if "against_value" in gated["gates"][0] else "againstValue"] > 0.5
    assert set(gated["metrics"]["test"]) == {"loss", "accuracy", "acme.brier", "acme.medianConfidence"}
    for result in (gated, centroids):
        assert result["metrics"]["test"]["accuracy"] > 0.85
        assert result["export"]["parity"]["holds"]
    wine = load_wine()
    names = np.array([f"class_{label}" for label in wine.target])
    for said in ("said.csv", "nearest.csv"):
        assert np.mean(np.array(_said(tmp_path / said)) == names) > 0.9


SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}},
    "model": {"name": "acme.gated", "options": {"width": 24}},
    "training": {
        "epochs": 8,
        "batchSize": 32,
        "optimizer": {"lr": 0.003},
        "earlyStopping": {"metric": "validation/acme.medianConfidence", "patience": 3},
        "checkpoint": {"everySteps": 20, "metric": "validation/acme.brier"},
    },
    "evaluation": {"metrics": ["accuracy", "acme.brier", "acme.medianConfidence"]},
    "workers": {"replicas": 2, "resources": {"cpu": "300m", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 5,
}


@pytest.mark.long
def test_a_run_by_a_package_that_is_killed_comes_to_the_same_weights_and_metrics(
    installed: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed["PYTHONPATH"])
    with Pods(tmp_path / "whole", SPEC) as whole:
        whole.start_all()
        assert whole.wait("head") == 0, whole.log("head")
    with Pods(tmp_path / "killed", SPEC) as killed:
        killed.start_all()
        killed.wait_for_checkpoint(60)
        os.kill(killed.training_pid("worker-1"), signal.SIGKILL)
        killed.wait_for_checkpoint(100)
        killed.kill("head")
    with Pods(tmp_path / "killed", SPEC, attempt=2) as again:
        again.start_all()
        assert again.wait("head") == 0, again.log("head")
        assert again.outcome().resumed_from_step
    one, other = _result(whole.store), _result(again.store)
    assert one["training"]["kept"] == other["training"]["kept"] | {"checkpoint": one["training"]["kept"]["checkpoint"]}
    assert one["metrics"] == other["metrics"]
    first, second = (load_file(pods.store / "model.safetensors") for pods in (whole, again))
    assert {name: tensor.tobytes() for name, tensor in first.items()} == {
        name: tensor.tobytes() for name, tensor in second.items()
    }


SLOW = """\
import os
import time
from pathlib import Path

from acme_headway import CentroidOptions, Centroids
from headway_trainer import NamedModel

FOLDER = Path(__file__).parent


class Held(Centroids):
    def fit(self, x, y, weights):
        (FOLDER / f"{os.getpid()}.began").touch()
        while (FOLDER / "hold").exists():
            time.sleep(0.05)
        return super().fit(x, y, weights)


held = NamedModel(build=Held, options=CentroidOptions, tasks=["classification"], rows=["table", "image"])
"""


@pytest.mark.long
def test_an_estimator_of_a_package_that_is_killed_while_it_fits_comes_to_the_same_model(
    installed: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "slow_headway.py").write_text(SLOW)
    install(slow, "slow", {"headway.estimators": {"slow.held": "slow_headway:held"}})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(slow), installed["PYTHONPATH"]]))
    spec = SPEC | {"model": {"name": "slow.held"}, "training": {}, "evaluation": {"metrics": ["accuracy"]}}
    with undisturbed(tmp_path / "whole", spec) as whole:
        for mark in slow.glob("*.began"):
            mark.unlink()
        (slow / "hold").touch()
        with Pods(tmp_path / "killed", spec) as killed:
            killed.start_all()
            os.kill(_fitting(slow, killed), signal.SIGKILL)
            (slow / "hold").unlink()
            assert killed.wait("head") == 0, killed.log("head")
        assert len(list(slow.glob("*.began"))) == 2, "it was fitted again, by another process"
        assert _result(whole.store)["metrics"] == _result(killed.store)["metrics"]
        first, second = ((pods.store / "model.onnx").read_bytes() for pods in (whole, killed))
        assert first == second


def _fitting(folder: Path, pods: Pods) -> int:
    """The process that fits, once it does."""
    deadline = time.monotonic() + 300
    while not (marks := list(folder.glob("*.began"))):
        assert time.monotonic() < deadline, pods.log("head")
        time.sleep(0.05)
    return int(marks[0].stem)


def _unknown(text: str) -> str:
    return text.replace("metric: validation/acme.brier", "metric: validation/acme.briar")


@pytest.mark.parametrize(
    ("change", "words"),
    [(_unknown, "training.checkpoint.metric acme.briar is not in this image, which has acc")],
)
def test_a_name_that_the_image_has_not_ends_the_run_with_a_sentence(
    change: Callable[[str], str], words: str, installed: Environment, tmp_path: Path
) -> None:
    (job,) = [block.text for block in blocks(PAGE) if block.file == "gated.yaml"]
    (tmp_path / "job.yaml").write_text(change(job))
    done = subprocess.run(
        ["headway", "run", "job.yaml"], cwd=tmp_path, env=installed, capture_output=True, text=True, check=False
    )
    assert done.returncode == wire.EXIT_USER_ERROR
    assert words in done.stderr
    assert "acme.brier" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
