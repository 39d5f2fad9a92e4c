"""Trials that share workers (`tuning.trialsPerWorker`), over real Ray."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import headway
from headway_trainer.process_resources import part
from headway_trainer.ray.runtime import WORKER_RESOURCE, Head
from headway_trainer.report.trial_records import read_trials
from headway_trainer.storage import Store
from pods import Pods

pytestmark = pytest.mark.ray

WAITING = """
import json
import os
import time
from pathlib import Path

import torch
from torch import nn


def make(info, folder, width):
    told = {"width": width, "pod": os.environ["HEADWAY_POD_NAME"], "pid": os.getpid()}
    told["threads"] = torch.get_num_threads()
    with Path(folder, "begun").open("a") as file:
        file.write(json.dumps(told) + "\\n")
    while not Path(folder, "gate").exists():
        time.sleep(0.05)
    return nn.Sequential(nn.Flatten(), nn.Linear(info.features, width), nn.ReLU(), nn.Linear(width, info.outputs))
"""
"""A model whose trials begin, and wait until the gate is opened."""
WIDTHS = [4, 5, 6, 7, 8, 9, 10]


def spec(folder: Path) -> dict[str, Any]:
    """Seven trials, of which two workers hold four at once."""
    return {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"entrypoint": "waiting:make", "options": {"folder": str(folder), "width": 4}},
        "training": {"epochs": 2},
        "tuning": {
            "parameters": {"model.options.width": {"grid": WIDTHS}},
            "metric": "validation/accuracy",
            "search": {"name": "grid"},
            "trialsPerWorker": 2,
            "final": "retrain",
        },
        "export": {"formats": ["safetensors"]},
        "workers": {"replicas": 2, "resources": {"cpu": "2", "memory": "2Gi"}},
        "scheduling": {"startupDeadlineSeconds": 600},
        "seed": 3,
    }


@pytest.mark.long
def test_two_workers_hold_four_trials_and_neither_a_lost_process_nor_a_lost_worker_loses_one(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "waiting.py").write_text(WAITING)
    shared = tmp_path / "shared"
    shared.mkdir()

    def begun() -> list[dict[str, Any]]:
        file = shared / "begun"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    with Pods(tmp_path / "run", spec(shared), code=tmp_path / "code") as pods:
        pods.start_all()
        _wait(pods, lambda: len(begun()) == 4)
        first = begun()
        assert Counter(one["pod"] for one in first) == {"worker-0": 2, "worker-1": 2}, "no worker is half used"
        assert len({one["pid"] for one in first}) == 4
        assert {one["threads"] for one in first} == {1}, "each has a core of two"

        killed = next(one for one in first if one["pod"] == "worker-0")
        os.kill(killed["pid"], signal.SIGKILL)
        _wait(pods, lambda: len(begun()) == 5)
        assert (begun()[4]["width"], begun()[4]["pod"]) == (killed["width"], "worker-0"), "its place is there again"

        lost = [one["width"] for one in first if one["pod"] == "worker-1"]
        pods.kill("worker-1")
        pods.start("worker-2")
        _wait(pods, lambda: len(begun()) == 7)
        assert sorted(one["width"] for one in begun()[5:]) == sorted(lost)
        assert {one["pod"] for one in begun()[5:]} == {"worker-2"}

        (shared / "gate").touch()
        assert pods.wait("head", 500) == 0, pods.log("head")
        result = json.loads((pods.store / "result.json").read_text())
        trials = read_trials(Store.open(str(pods.store)))
    assert [one.state for one in trials] == ["completed"] * len(WIDTHS)
    *of_trials, final = begun()
    again = Counter(killed["width"] for _ in range(1)) + Counter(lost)
    assert Counter(one["width"] for one in of_trials) == Counter(WIDTHS) + again, "none was run twice but for a loss"
    best = next(one for one in trials if one.number == result["tuning"]["best"])
    assert (final["width"], final["threads"]) == (best.parameters["model.options.width"], 2), "it has the whole worker"
    assert result["worldSize"] == 1


def _wait(pods: Pods, holds: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert not pods.ended("head"), pods.log("head")
        assert time.monotonic() < deadline, pods.log("head")
        time.sleep(0.1)


@pytest.mark.long
def test_how_many_share_a_worker_changes_no_trial_and_the_final_training_takes_over_their_places(
    tmp_path: Path,
) -> None:
    job = {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "shared"},
        "spec": {
            "data": {"source": {"builtin": {"name": "iris"}}},
            "model": {"name": "mlp"},
            "training": {"epochs": 4},
            "tuning": {
                "parameters": {"training.optimizer.lr": {"grid": [0.001, 0.003, 0.01, 0.03]}},
                "metric": "validation/loss",
                "search": {"name": "grid"},
                "scheduler": {"name": "none"},
                "final": "retrain",
            },
            "seed": 5,
        },
    }
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    told = []
    for trials_each in ("1", "3"):
        out = tmp_path / trials_each
        given = ("--set", f"tuning.trialsPerWorker={trials_each}", "--output", str(out))
        done = headway("run", str(file), *given, OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stdout + done.stderr
        trials = [one.model_dump(exclude={"seconds", "began", "ended"}) for one in read_trials(Store.open(str(out)))]
        told.append((trials, (out / "model.safetensors").read_bytes()))
    assert told[0] == told[1]


def test_ray_gives_as_many_parts_of_a_gpu_and_of_a_place_as_share_it_and_tells_each_of_that_gpu() -> None:
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote  # type: ignore[untyped-decorator]  # ray has no types
    def told() -> tuple[list[str], str]:
        return [str(one) for one in ray.get_gpu_ids()], os.environ.get("CUDA_VISIBLE_DEVICES", "")

    head = Head(processes=1, at_once=3, gpus=1)
    head.start()
    try:
        head.wait()
        for sharers in (3, 7, 16):
            bundle = {WORKER_RESOURCE: part(sharers), "GPU": part(sharers)}
            groups = [ray.util.placement_group([bundle]) for _ in range(sharers)]
            for group in groups:
                assert group.wait(60), f"{sharers} parts of one"
            more = ray.util.placement_group([bundle])
            assert not more.wait(1), "one more than there is room for"
            if sharers == 3:
                options = {"num_gpus": part(3), "num_cpus": 0, "resources": {WORKER_RESOURCE: part(3)}}
                places = [PlacementGroupSchedulingStrategy(group) for group in groups]
                asked = [told.options(scheduling_strategy=place, **options).remote() for place in places]
                assert ray.get(asked, timeout=120) == [(["0"], "0")] * 3
            for group in [*groups, more]:
                ray.util.remove_placement_group(group)
    finally:
        head.stop()
