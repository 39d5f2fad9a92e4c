"""Trials that are compared over folds, over real Ray: killed and resumed, with the figures and the model of a job that
has the best values and no trials."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pods import Pods, undisturbed

pytestmark = pytest.mark.ray

SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}, "split": {"folds": 2}},
    "model": {"name": "mlp", "options": {"hidden": [32], "dropout": 0.2}},
    "training": {"epochs": 12, "batchSize": 32, "checkpoint": {"everySteps": 20, "metric": "validation/accuracy"}},
    "export": {"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
    "workers": {"replicas": 1, "resources": {"cpu": "1", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}
LRS = [0.0002, 0.004, 0.0008]
TUNED = SPEC | {
    "tuning": {
        "parameters": {"training.optimizer.lr": {"grid": LRS}},
        "metric": "validation/accuracy",
        "search": {"name": "grid"},
    }
}


@pytest.mark.long
def test_a_search_over_folds_that_is_killed_ends_with_the_folds_and_the_model_of_a_job_with_the_best_values(
    tmp_path: Path,
) -> None:
    with Pods(tmp_path / "tuned", TUNED) as pods:
        pods.start_all()
        folds = pods.store / "children/trial-2/children"
        _until(pods, (folds / "fold-2/checkpoints").exists)
        pods.kill("head")
        assert (folds / "fold-1/stages/train.json").exists()
    with Pods(tmp_path / "tuned", TUNED, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        assert pods.outcome().progress.percent == 100
    tuned = _result(pods)
    trials, best = tuned["tuning"]["trials"], tuned["tuning"]["best"]
    assert [len(one["folds"]) for one in trials] == [2, 2, 2]
    assert [one["value"] for one in trials] == [pytest.approx(sum(one["folds"]) / 2) for one in trials]
    assert trials[best - 1]["value"] == max(one["value"] for one in trials)
    found = trials[best - 1]["parameters"]["training.optimizer.lr"]
    training = SPEC["training"] | {"optimizer": {"lr": found}}
    with undisturbed(tmp_path / "alone", SPEC | {"training": training}) as alone:
        plain = _result(alone)
    assert tuned["crossValidation"] == plain["crossValidation"]
    assert tuned["crossValidation"]["mean"]["accuracy"] == pytest.approx(trials[best - 1]["value"])
    assert (pods.store / "model.safetensors").read_bytes() == (alone.store / "model.safetensors").read_bytes()
    assert not (pods.store / "children").exists()


def _result(pods: Pods) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((pods.store / "result.json").read_text())
    return result


def _until(pods: Pods, holds: Any) -> None:
    until = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < until, pods.log("head")
        assert not pods.ended("head"), pods.log("head")
        time.sleep(0.05)
