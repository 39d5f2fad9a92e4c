"""Trials over real Ray: in one cluster, killed and resumed with the trials of a search that was never killed, and of
several workers each."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event, Generation, Reported
from headway_trainer.tuning.log import EventLog
from pods import Pods, undisturbed

pytestmark = pytest.mark.ray

SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}},
    "model": {"name": "mlp", "options": {"hidden": [64], "dropout": 0.2}},
    "training": {"epochs": 9, "batchSize": 32, "checkpoint": {"everySteps": 40}},
    "tuning": {
        "parameters": {
            "training.optimizer.lr": {"logUniform": {"min": 0.00005, "max": 0.02}},
            "model.options.hidden": {"choice": [[8], [64]]},
        },
        "metric": "validation/accuracy",
        "search": {"name": "tpe", "startupTrials": 2},
        "scheduler": {"name": "asha"},
        "trials": 6,
        "maxConcurrent": 1,
    },
    "export": {"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
    "workers": {"replicas": 1, "resources": {"cpu": "1", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A search that nothing happened to."""
    with undisturbed(tmp_path_factory.mktemp("whole"), SPEC) as pods:
        yield pods


def test_the_best_trials_model_is_the_jobs_and_its_processes_stay_from_the_first_trial_to_the_end(
    never_killed: Pods,
) -> None:
    log, result = never_killed.log("head"), _result(never_killed)
    assert never_killed.outcome().outcome == "Succeeded"
    assert log.count("Ray's head is up") == 1
    assert log.count("the training processes of an earlier child go on with the next one") == 6, "five, and the run"
    tuning, kept = result["tuning"], result["training"]["kept"]
    assert len(tuning["trials"]) == 6
    assert tuning["counts"]["stopped"] > 0
    best = tuning["trials"][tuning["best"] - 1]
    assert best["value"] == max(one["value"] for one in tuning["trials"])
    assert (kept["metric"], kept["value"]) == ("validation/accuracy", best["value"])
    assert result["metrics"]["validation"]["accuracy"] == pytest.approx(best["value"])
    assert result["metrics"]["test"]["accuracy"] > 0.5
    assert result["model"]["options"]["hidden"] == best["parameters"]["model.options.hidden"]
    assert result["training"]["epochsRun"] == best["epochs"]
    assert not (never_killed.store / "children").exists(), "only an unfinished run needs it"
    assert (never_killed.store / "tuning").exists(), "with it, the search goes on if tuning.trials is raised"


def test_a_search_that_is_killed_again_and_again_has_the_trials_and_the_model_of_one_that_was_not(
    tmp_path: Path, never_killed: Pods
) -> None:
    with Pods(tmp_path, SPEC) as pods:
        pods.start_all()
        _until(pods, lambda: _saved(pods, "trial-1"))
        os.kill(pods.training_pid("worker-0"), signal.SIGKILL)
        _until(pods, lambda: len(_ended(pods)) >= 2 and len(_asked(pods)) > len(_ended(pods)))
        pods.kill("head")
        before = _events(pods)
    with Pods(tmp_path, SPEC, attempt=2) as pods:
        pods.start_all()
        _until(pods, lambda: len(_ended(pods)) >= 4 and len(_asked(pods)) > len(_ended(pods)))
        pods.terminate("head")
        assert pods.wait("head") == 143, pods.log("head")
        assert pods.outcome().outcome == "Interrupted"
        stopped = _events(pods)
    with Pods(tmp_path, SPEC, attempt=3) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    assert stopped[: len(before)] == before, "what has happened is not made again"
    whole = _result(never_killed)
    again = _result(pods)
    for one in (whole, again):
        for trial in one["tuning"]["trials"]:
            del trial["seconds"]
        del one["tuning"]["seconds"]
    assert again["tuning"] == whole["tuning"]
    assert (pods.store / "model.safetensors").read_bytes() == (never_killed.store / "model.safetensors").read_bytes()


POPULATION: dict[str, Any] = SPEC | {
    "training": {"epochs": 6, "batchSize": 32, "optimizer": {"name": "sgd"}, "checkpoint": {"everySteps": 20}},
    "tuning": {
        "parameters": {"training.optimizer.lr": {"logUniform": {"min": 0.0005, "max": 0.5}}},
        "metric": "validation/accuracy",
        "search": {"name": "random"},
        "scheduler": {"name": "pbt", "intervalEpochs": 2},
        "trials": 4,
    },
}


@pytest.mark.long
def test_a_population_larger_than_what_fits_is_the_same_however_many_are_trained_at_once_and_after_kills(
    tmp_path: Path,
) -> None:
    with undisturbed(tmp_path / "whole", POPULATION | {"workers": {**SPEC["workers"], "replicas": 2}}) as whole:
        assert whole.outcome().outcome == "Succeeded"
        log = whole.log("head")
    # Three generations of four trials, and the run; two of them begin the processes.
    assert log.count("the training processes of an earlier child go on with the next one") == 11
    folder = tmp_path / "killed"
    with Pods(folder, POPULATION) as pods:
        pods.start_all()
        _until(pods, lambda: len(_reported(pods)) >= 2 and _saved(pods, "trial-3"))
        os.kill(pods.training_pid("worker-0"), signal.SIGKILL)
        _until(pods, lambda: len(_generations(pods)) == 1 and len(_reported(pods)) >= 5)
        pods.kill("head")
    with Pods(folder, POPULATION, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    told, again = _result(whole)["tuning"], _result(pods)["tuning"]
    for one in (told, again):
        for trial in one["trials"]:
            del trial["seconds"]
        del one["seconds"]
    assert again == told
    assert told["takeovers"] > 0
    assert (pods.store / "model.safetensors").read_bytes() == (whole.store / "model.safetensors").read_bytes()


def test_trials_without_epochs_are_compared_by_the_metric_that_is_named(tmp_path: Path) -> None:
    tuning = {
        "parameters": {
            "model.options.iterations": {"grid": [1, 20]},
            "model.options.learningRate": {"grid": [0.01, 0.3]},
        },
        "metric": "validation/accuracy",
        "search": {"name": "grid"},
    }
    model = {"name": "gradientBoosting", "options": {"minLeafRows": 5}}
    data = {"source": {"builtin": {"name": "iris"}}, "split": {"train": 0.4, "validation": 0.5, "test": 0.1}}
    with Pods(tmp_path, SPEC | {"model": model, "data": data, "training": {}, "tuning": tuning, "export": {}}) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    result = _result(pods)
    trials = result["tuning"]["trials"]
    best = trials[result["tuning"]["best"] - 1]
    assert [one["state"] for one in trials] == ["completed"] * 4
    assert best["value"] == max(one["value"] for one in trials)
    assert len({one["value"] for one in trials}) > 1
    assert best["value"] == pytest.approx(result["metrics"]["validation"]["accuracy"])


def test_trials_of_two_workers_each_are_trained_two_at_a_time(tmp_path: Path) -> None:
    tuning = SPEC["tuning"] | {"trials": 4, "workersPerTrial": 2, "maxConcurrent": 2, "search": {"name": "random"}}
    small = {"cpu": "300m", "memory": "1Gi"}
    with Pods(tmp_path, SPEC | {"tuning": tuning, "workers": {"replicas": 4, "resources": small}}) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    result = _result(pods)
    assert (result["worldSize"], len(result["tuning"]["trials"])) == (2, 4)
    log = pods.log("head")
    assert log.index("trial-2 begins") < log.index("trial-1:"), "side by side"
    assert log.count("the training processes of an earlier child go on with the next one") == 3, (
        "two trials and the run"
    )
    best = result["tuning"]["trials"][result["tuning"]["best"] - 1]
    assert result["metrics"]["validation"]["accuracy"] == pytest.approx(best["value"])


def _result(pods: Pods) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((pods.store / "result.json").read_text())
    return result


def _events(pods: Pods) -> list[Event]:
    return EventLog(Store.open(str(pods.store)), 99).read()


def _asked(pods: Pods) -> list[int]:
    return [one.trial for one in _events(pods) if isinstance(one, Asked)]


def _ended(pods: Pods) -> list[int]:
    return [one.trial for one in _events(pods) if isinstance(one, Ended)]


def _reported(pods: Pods) -> list[int]:
    return [one.trial for one in _events(pods) if isinstance(one, Reported)]


def _generations(pods: Pods) -> list[int]:
    return [one.epoch for one in _events(pods) if isinstance(one, Generation)]


def _saved(pods: Pods, trial: str) -> bool:
    """Whether a trial has begun to train, and has something to go on from; or has been judged already."""
    folder = pods.store / "children" / trial / "checkpoints"
    return any(folder.glob("*/manifest.json")) or any(isinstance(one, Reported) for one in _events(pods))


def _until(pods: Pods, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, pods.log("head")
        assert not (pods.store / "result.json").exists(), "the run ended before it was killed"
        time.sleep(0.02)
