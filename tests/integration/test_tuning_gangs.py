"""Trials of several workers each, in two jobs at once over real Ray: none waits for a part of its workers, and none
while there are enough."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pods import Pods

pytestmark = pytest.mark.ray

MEETING = """
import time
from pathlib import Path

from torch import distributed, nn


def make(info, file, at_once, trials):
    if distributed.get_rank() == 0:
        meet(Path(file), at_once, trials)
    return nn.Sequential(nn.Flatten(), nn.Linear(info.features, info.outputs))


def meet(file, at_once, trials):
    with file.open("a") as begun:
        begun.write("x")
    mine = file.stat().st_size
    if mine > trials:
        return  # the model that is kept
    while file.stat().st_size < -(-mine // at_once) * at_once:
        time.sleep(0.05)
"""
"""A model whose trial goes on once as many run as have room: where one of them waits for workers, none ever does."""


def spec(folder: Path, *, workers: int, at_once: int, trials: int) -> dict[str, Any]:
    """A job of four workers, and so many for each trial."""
    options = {"file": str(folder / "begun"), "at_once": at_once, "trials": trials}
    return {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"entrypoint": "meeting:make", "options": options},
        "training": {"epochs": 2, "checkpoint": {"everySteps": 1000}},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"logUniform": {"min": 0.001, "max": 0.1}}},
            "metric": "validation/accuracy",
            "search": {"name": "random"},
            "trials": trials,
            "workersPerTrial": workers,
        },
        "export": {"formats": ["safetensors"]},
        "workers": {"replicas": 4, "resources": {"cpu": "300m", "memory": "1Gi"}},
        "scheduling": {"startupDeadlineSeconds": 600},
        "seed": 3,
    }


@pytest.mark.long
def test_two_jobs_with_trials_of_two_and_of_three_of_their_four_workers_keep_as_many_busy_as_a_trial_takes(
    tmp_path: Path,
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "meeting.py").write_text(MEETING)
    pairs, threes = tmp_path / "pairs", tmp_path / "threes"
    with (
        Pods(pairs, spec(pairs, workers=2, at_once=2, trials=4), code=tmp_path / "code") as first,
        Pods(threes, spec(threes, workers=3, at_once=1, trials=2), code=tmp_path / "code") as second,
    ):
        first.start_all()
        second.start_all()
        for pods in first, second:
            assert pods.wait("head", 600) == 0, pods.log("head")
    for pods, workers, trials in ((first, 2, 4), (second, 3, 2)):
        result = json.loads((pods.store / "result.json").read_text())
        assert result["worldSize"] == workers
        assert [one["state"] for one in result["tuning"]["trials"]] == ["completed"] * trials
    assert _most_at_once(first) == 2
    assert _most_at_once(second) == 1, "the fourth worker is too few for another trial"


def _most_at_once(pods: Pods) -> int:
    """The most trials that ran at once, by what was logged of them."""
    most, running = 0, set[str]()
    for trial, said in re.findall(r"trial-(\d+)(?: (begins)|: completed)", pods.log("head")):
        if said:
            running.add(trial)
        else:
            running.discard(trial)
        most = max(most, len(running))
    return most
