"""What becomes of trials, over real Ray: a final training on all rows but the test part's, and repeats."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from headway_trainer.report.trial_records import read_trials
from headway_trainer.storage import Store
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


@pytest.mark.long
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
    assert "trained again for" in (pods.store / "report.md").read_text()
    assert not (pods.store / "children").exists()


@pytest.mark.long
def test_a_final_model_whose_rows_were_tuned_learns_from_rows_that_were_prepared_as_the_best_trials_also_after_a_kill(
    tmp_path: Path,
) -> None:
    tuning = {**SPEC["tuning"], "parameters": {LR: {"grid": [0.00001, 0.0005]}, "data.scale": {"grid": ["minMax"]}}}
    spec = SPEC | {"tuning": tuning}
    with Pods(tmp_path / "tuned", spec) as pods:
        pods.start_all()
        assert pods.wait_for_checkpoint(100) >= 100, "in the run's own folder: of the final training"
        pods.kill("head")
    with Pods(tmp_path / "tuned", spec, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    result = _result(pods)
    tuned = result["tuning"]
    best = tuned["trials"][tuned["best"] - 1]
    assert best["parameters"] == {LR: 0.0005, "data.scale": "minMax"}
    assert tuned["retrained"] == {"rows": 135, "epochs": best["bestEpoch"]}
    assert result["training"]["resumedFromStep"] >= 100, "its rows are those of before the kill"
    alone = SPEC | {
        "data": {**SPEC["data"], "split": {"train": 0.9, "validation": 0, "test": 0.1}, "scale": "minMax"},
        "training": SPEC["training"] | {"epochs": best["bestEpoch"], "optimizer": {"lr": 0.0005}},
    }
    del alone["tuning"]
    with undisturbed(tmp_path / "alone", alone) as other:
        told = _result(other)
    assert (pods.store / "model.safetensors").read_bytes() == (other.store / "model.safetensors").read_bytes()
    for part in ("train", "test"):
        assert result["metrics"][part] == told["metrics"][part]


def test_a_repeat_is_a_job_with_its_seed_on_the_same_rows_and_the_mean_is_over_all_seeds(tmp_path: Path) -> None:
    training = {"epochs": 6, "batchSize": 4}
    tuning = {
        "parameters": {LR: {"grid": [0.003, 0.00001, 0.01]}},
        "search": {"name": "grid"},
        "seeds": 3,
        "maxConcurrent": 1,
    }
    with undisturbed(tmp_path / "tuned", SPEC | {"training": training, "tuning": tuning}) as pods:
        result = _result(pods)
    trials = read_trials(Store.open(str(pods.store)))
    assert [one.number for one in trials] == [1, 2, 3]
    assert [len(one.repeats) for one in trials][:2] == [2, 0], "the first is repeated; the second is worse"
    repeated = [one for one in trials if one.repeats]
    for one in repeated:
        values = [one.own_value or 0.0, *(each.value or 0.0 for each in one.repeats)]
        assert one.value == pytest.approx(statistics.fmean(values))
        assert one.deviation == pytest.approx(statistics.stdev(values))
        assert one.deviation != 0, "another seed, another model"
    best = next(one for one in trials if one.number == result["tuning"]["best"])
    assert best.value == min(one.value or 1.0 for one in repeated)
    assert result["training"]["kept"]["value"] == best.own_value, "the model is that of the job's own seed"
    log = pods.log("head")
    assert log.index("trial-1-seed-3 begins") < log.index("trial-2 begins")
    assert not (pods.store / "children").exists()
    repeat = best.repeats[0]
    alone = SPEC | {
        "data": {**SPEC["data"], "split": {**SPEC["data"]["split"], "seed": SPEC["seed"]}},
        "training": training | {"optimizer": {"lr": best.parameters[LR]}},
        "seed": repeat.seed,
    }
    del alone["tuning"]
    with undisturbed(tmp_path / "alone", alone) as other:
        assert _result(other)["training"]["kept"]["value"] == repeat.value


def test_a_search_begins_with_the_trials_of_an_earlier_one(tmp_path: Path) -> None:
    tuning = {
        "parameters": {LR: {"logUniform": {"min": 0.0001, "max": 0.1}}},
        "search": {"name": "tpe", "startupTrials": 2},
        "trials": 3,
        "maxConcurrent": 1,
    }
    spec = SPEC | {"training": {"epochs": 2, "batchSize": 16}, "tuning": tuning}
    with undisturbed(tmp_path / "before", spec) as before:
        cold = _result(before)["tuning"]
    warm = spec | {"tuning": tuning | {"trials": 2, "warmStart": [{"uri": str(before.store)}]}}
    with undisturbed(tmp_path / "warm", warm) as pods:
        told = _result(pods)["tuning"]
    assert told["earlier"] == [{"what": str(before.store), "taken": 3, "skipped": 0}]
    assert cold["earlier"] == []
    assert [one["number"] for one in told["trials"]] == [1, 2], "those before are no trials of this one"
    first = [one["trials"][0]["parameters"][LR] for one in (cold, told)]
    assert first[0] != first[1], "with the same seed, the first one is not drawn by chance any more"
    assert "3 trials (0 left out)" in (pods.store / "report.md").read_text()


def _result(pods: Pods) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((pods.store / "result.json").read_text())
    return result
