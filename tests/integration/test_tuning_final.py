"""What becomes of trials, over real Ray: a final training on all rows but the test part's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pods import Pods, undisturbed

pytestmark = pytest.mark.ray

LR = "training.optimizer.lr"
SPEC: dict[str, Any] = {
    # 50 rows of each of three classes, so that all shares are whole rows: 105, 30 and 15.
    "data": {"source": {"builtin": {"name": "iris"}}, "split": {"train": 0.7, "validation": 0.2, "test": 0.1}},
    "model": {"name": "mlp", "options": {"hidden": [16], "dropout": 0.1}},
    "training": {"epochs": 60, "batchSize": 4, "checkpoint": {"everySteps": 50}},
    "tuning": {
        "parameters": {LR: {"grid": [0.00001, 0.0005]}},
        "search": {"name": "grid"},
        "final": "retrain",
    },
    "export": {"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
    "workers": {"replicas": 1, "resources": {"cpu": "1", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}


def test_the_final_model_killed_on_its_way_is_that_of_a_job_with_the_best_values_and_no_validation_part(
    tmp_path: Path,
) -> None:
    with Pods(tmp_path / "tuned", SPEC) as pods:
        pods.start_all()
        assert pods.wait_for_checkpoint(100) >= 100, "in the run's own folder: of the final training"
        pods.kill("head")
    assert not (pods.store / "result.json").exists()
    with Pods(tmp_path / "tuned", SPEC, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    result = _result(pods)
    tuning = result["tuning"]
    best = tuning["trials"][tuning["best"] - 1]
    assert (best["parameters"], best["value"]) == ({LR: 0.0005}, min(one["value"] for one in tuning["trials"]))
    assert tuning["retrained"] == {"rows": 135, "epochs": best["bestEpoch"]}
    assert 10 < best["bestEpoch"] <= 60
    assert result["data"]["rows"] == {"train": 135, "validation": 0, "test": 15}
    assert result["training"]["resumedFromStep"] >= 100
    assert "trial-" not in pods.log("head"), "the second attempt trains the final model alone"
    alone = SPEC | {
        "data": {**SPEC["data"], "split": {"train": 0.9, "validation": 0, "test": 0.1}},
        "training": SPEC["training"] | {"epochs": best["bestEpoch"], "optimizer": {"lr": 0.0005}},
    }
    del alone["tuning"]
    with undisturbed(tmp_path / "alone", alone) as other:
        told = _result(other)
    assert (pods.store / "model.safetensors").read_bytes() == (other.store / "model.safetensors").read_bytes()
    for part in ("train", "validation", "test"):
        assert result["metrics"][part] == told["metrics"][part]
    assert result["metrics"]["test"]["accuracy"] > 0.6
    assert "trained anew for" in (pods.store / "report.md").read_text()
    assert not (pods.store / "children").exists()


def _result(pods: Pods) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((pods.store / "result.json").read_text())
    return result
