"""A search that is given more trials after its end, over real Ray: it becomes one that had as many from the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import headway

pytestmark = pytest.mark.ray

JOB = """apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: tuned}
spec:
  data: {source: {builtin: {name: digits}}}
  model: {name: mlp, options: {hidden: [32]}}
  training: {epochs: 3, batchSize: 64}
  tuning:
    parameters:
      training.optimizer.lr: {logUniform: {min: 0.00005, max: 0.02}}
      model.options.dropout: {uniform: {min: 0, max: 0.5}}
    metric: validation/accuracy
    search: {name: tpe, startupTrials: 2}
    scheduler: {name: asha}
    trials: 6
  export: {formats: [safetensors]}
  seed: 11
"""


def tuning(folder: Path) -> dict[str, Any]:
    """What result.json says of the search, but for times."""
    told: dict[str, Any] = json.loads((folder / "result.json").read_text())["tuning"]
    for one in (told, *told["trials"]):
        del one["seconds"]
    return told


@pytest.mark.long
def test_a_finished_search_goes_on_when_its_trials_are_raised_and_comes_to_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    for output, trials in (("whole", 6), ("raised", 3)):
        done = headway("run", "job.yaml", "--output", output, "--set", f"tuning.trials={trials}", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    whole, raised = tmp_path / "whole", tmp_path / "raised"
    before, model = tuning(raised), (raised / "model.safetensors").read_bytes()
    assert len(before["trials"]) == 3

    fewer = headway("run", "job.yaml", "--output", "raised", "--set", "tuning.trials=2", cwd=tmp_path)
    assert fewer.returncode == 1
    assert "tuning.trials is 2, and 3 trials of this search have begun" in fewer.stderr
    assert (tuning(raised), (raised / "model.safetensors").read_bytes()) == (before, model)

    more = headway("run", "job.yaml", "--output", "raised", cwd=tmp_path)
    assert more.returncode == 0, more.stdout + more.stderr
    assert "tuning.trials is 6 now, and 3 have begun" in " ".join(more.stdout.split())
    assert tuning(raised) == tuning(whole)
    assert (raised / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (raised / "trials.jsonl").read_text().count("\n") == 6
