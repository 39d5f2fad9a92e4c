"""XGBoost over real Ray: a fit that was suspended and killed goes on, to the bytes of one that was not."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pods import Pods, undisturbed

pytestmark = pytest.mark.ray

ITERATIONS = 1500
SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}},
    "model": {
        "name": "xgboost",
        "options": {"iterations": ITERATIONS, "maxDepth": 2, "subsample": 0.6, "colsampleByNode": 0.5},
    },
    "training": {},
    "workers": {"replicas": 1, "resources": {"cpu": "1", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}


def _begun(pods: Pods) -> None:
    """Wait until the driver has heard of the fit."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if re.search(r"step \d+, \d+ %", pods.log("head")):
            return
        time.sleep(0.02)
    raise AssertionError(pods.log("head"))


@pytest.mark.long
def test_a_fit_that_was_suspended_and_killed_gives_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    with undisturbed(tmp_path / "whole", SPEC) as whole:
        assert whole.outcome().progress.step == ITERATIONS
    folder = tmp_path / "cut"
    with Pods(folder, SPEC) as pods:
        pods.start_all()
        _begun(pods)
        pods.terminate("head")
        assert pods.wait("head") == 143, pods.log("head")
        suspended = pods.outcome()
    assert suspended.outcome == "Interrupted"
    assert suspended.checkpoint is not None
    left = suspended.checkpoint.step
    assert left == suspended.progress.step
    assert left in range(1, ITERATIONS)
    assert f"stopped after {left} iterations of the fit" in pods.log("head")
    with Pods(folder, SPEC, attempt=2) as pods:
        pods.start_all()
        _begun(pods)
        os.kill(pods.training_pid("worker-0"), signal.SIGKILL)
        assert pods.wait("head") == 0, pods.log("head")
        resumed = pods.outcome().resumed_from_step
    assert resumed is not None
    assert resumed >= left
    assert (pods.store / "model.onnx").read_bytes() == (whole.store / "model.onnx").read_bytes()
    told, other = (json.loads((one.store / "result.json").read_text()) for one in (pods, whole))
    assert told["training"]["history"] == other["training"]["history"]
    assert told["metrics"] == other["metrics"]
