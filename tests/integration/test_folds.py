"""Cross-validation over real Ray: folds side by side in one cluster, killed and resumed, with the figures of a run that
was never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from headway_trainer.seeds import child_seed
from pods import Pods, undisturbed

pytestmark = pytest.mark.ray

SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}, "split": {"folds": 3}},
    "model": {"name": "mlp", "options": {"hidden": [64], "dropout": 0.2}},
    "training": {
        "epochs": 12,
        "batchSize": 32,
        "optimizer": {"lr": 0.002},
        "earlyStopping": {"metric": "validation/loss", "patience": 4},
        "checkpoint": {"everySteps": 25},
    },
    "export": {"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
    "workers": {"replicas": 2, "processes": 2, "resources": {"cpu": "2", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A run that nothing happened to."""
    with undisturbed(tmp_path_factory.mktemp("whole"), SPEC) as pods:
        yield pods


def test_two_folds_of_one_pod_each_are_trained_at_a_time_in_one_cluster_and_its_processes_stay(
    never_killed: Pods,
) -> None:
    outcome, log = never_killed.outcome(), never_killed.log("head")
    assert outcome.outcome == "Succeeded"
    assert log.count("Ray's head is up") == 1
    assert log.count("the training processes of an earlier child go on with the next one") == 1, "of three, two at once"
    result = _result(never_killed)
    folds = result["crossValidation"]["folds"]
    assert [one["name"] for one in folds] == ["fold-1", "fold-2", "fold-3"]
    assert sum(one["rows"]["validation"] for one in folds) == 1797 - result["data"]["rows"]["test"]
    assert outcome.progress.step == sum(one["steps"] for one in folds) + result["training"]["steps"]
    assert outcome.progress.percent == 100
    assert outcome.result is not None
    mean = result["crossValidation"]["mean"]["accuracy"]
    assert outcome.result.metrics["folds/accuracy"] == f"{mean:.6g}"
    assert mean == pytest.approx(sum(one["metrics"]["accuracy"] for one in folds) / 3)
    assert not (never_killed.store / "children").exists(), "only an unfinished run needs it"


@pytest.mark.long
def test_folds_that_are_killed_go_on_and_the_finished_ones_are_not_trained_again(
    tmp_path: Path, never_killed: Pods
) -> None:
    with Pods(tmp_path, SPEC) as pods:
        pods.start_all()
        _until(pods, lambda: _saved(pods, "fold-1") and _saved(pods, "fold-2"))
        os.kill(pods.training_pid("worker-0"), signal.SIGKILL)
        _until(pods, lambda: bool(_finished(pods)) and _saved(pods, "fold-3"))
        pods.kill("head")
        finished = _finished(pods)
        kept = {name: (pods.store / f"children/{name}/stages/train.json").read_bytes() for name in finished}
        assert "fold-3" not in kept
        for name in kept:
            assert not (pods.store / f"children/{name}/data").exists(), "no copy of its rows stays"
    with Pods(tmp_path, SPEC, attempt=2) as pods:
        pods.start_all()
        _until(pods, lambda: len(_finished(pods)) == 3)
        assert pods.wait("head") == 0, pods.log("head")
        outcome = pods.outcome()
    assert not any(f"{name}: epoch" in pods.log("head") for name in kept)
    assert outcome.resumed_from_step is not None
    assert outcome.resumed_from_step >= sum(json.loads(one)["result"]["step"] for one in kept.values())
    assert _result(pods)["crossValidation"] == _result(never_killed)["crossValidation"]
    assert _weights(pods) == _weights(never_killed)


@pytest.mark.long
def test_grouped_folds_of_trees_whose_process_is_killed_while_it_fits_end_with_the_model_of_a_run_that_was_not(
    grouped: dict[str, Any], tmp_path: Path
) -> None:
    spec = grouped | {"model": {"name": "gradientBoosting", "options": {"iterations": 200}}}
    with Pods(tmp_path / "whole", spec) as whole:
        whole.start_all()
        assert whole.wait("head") == 0, whole.log("head")
    with Pods(tmp_path / "killed", spec) as pods:
        pods.start_all()
        _until(pods, lambda: any((pods.store / "children").glob("*/checkpoints/*/manifest.json")))
        os.kill(pods.training_pid("worker-0"), signal.SIGKILL)
        assert pods.wait("head") == 0, pods.log("head")
    assert _result(pods)["crossValidation"] == _result(whole)["crossValidation"]
    assert (pods.store / "model.onnx").read_bytes() == (whole.store / "model.onnx").read_bytes()


def test_a_fold_whose_code_fails_ends_the_job_and_is_named(grouped: dict[str, Any], tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "odd.py").write_text(ODD)
    with Pods(tmp_path / "run", grouped | {"model": {"entrypoint": "odd:make"}}, code=code) as pods:
        pods.start_all()
        assert pods.wait("head") != 0
        assert pods.outcome().outcome == "Failed"
        assert "fold-2: model.entrypoint odd:make raised ValueError: of this fold" in pods.outcome().message


ODD = """
import torch


def make(info):
    if torch.initial_seed() == SEED:
        raise ValueError("of this fold")
    return torch.nn.Linear(info.features, info.outputs)
""".replace("SEED", str(child_seed(SPEC["seed"], "fold-2")))


@pytest.fixture
def grouped(tmp_path: Path) -> dict[str, Any]:
    """A job of folds that keep the rows of a shop together."""
    draw = random.Random(4)  # noqa: S311 - no secret
    rows = [(draw.gauss(0, 1), draw.gauss(0, 1), draw.randrange(30)) for _ in range(600)]
    lines = [f"{a:.3f},{b:.3f},s{shop},{'high' if a * b + draw.gauss(0, 1) > 0 else 'low'}" for a, b, shop in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,shop,label", *lines]))
    source = {"source": {"uri": str(tmp_path / "rows.csv")}, "target": "label"}
    workers = {"replicas": 2, "resources": {"cpu": "1", "memory": "2Gi"}}
    data = {**source, "columns": {"shop": {"role": "group"}}, "split": {"folds": 3}}
    return {"data": data, "workers": workers, "scheduling": SPEC["scheduling"], "seed": SPEC["seed"], "training": {}}


def _result(pods: Pods) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((pods.store / "result.json").read_text())
    return result


def _saved(pods: Pods, fold: str) -> bool:
    """Whether a fold has begun to train, and has something to go on from; or is finished."""
    folder = pods.store / "children" / fold
    return any((folder / "checkpoints").glob("*/manifest.json")) or (folder / "stages/train.json").exists()


def _finished(pods: Pods) -> list[str]:
    """The folds that have ended and were tidied up."""
    folders = [path.parent.parent for path in (pods.store / "children").glob("*/stages/train.json")]
    return sorted(folder.name for folder in folders if not (folder / "checkpoints").exists())


def _until(pods: Pods, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, pods.log("head")
        assert not (pods.store / "result.json").exists(), "the run ended before it was killed"
        time.sleep(0.02)


def _weights(pods: Pods) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(pods.store / "model.safetensors").items()}
