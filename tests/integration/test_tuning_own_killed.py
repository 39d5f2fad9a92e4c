"""A driver that is killed in the middle of a trial of a function of the user's own, over real Ray."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from headway_trainer.report.trial_records import read_trials
from headway_trainer.storage import Store
from pods import Pods

pytestmark = pytest.mark.ray

TUNED = """
import json
import tempfile
import time
from pathlib import Path

import torch
from ray import train

from headway_trainer import save_model


def main(config):
    level, folder, done = config["level"], Path(config["folder"]), 0
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as left:
            done = json.loads(Path(left, "state.json").read_text())
    with (folder / "begun").open("a") as begun:
        begun.write(json.dumps([level, done]) + "\\n")
    levels = {json.loads(line)[0] for line in (folder / "begun").read_text().splitlines()}
    for epoch in range(done + 1, 5):
        # The first report is the best: what a trial was worth before the kill is known by what is stored alone.
        save_model({"level": torch.tensor([level, float(epoch)])})
        with tempfile.TemporaryDirectory() as made:
            Path(made, "state.json").write_text(json.dumps(epoch))
            train.report({"score": level - epoch}, checkpoint=train.Checkpoint.from_directory(made))
        while len(levels) == 2 and epoch == 2 and not (folder / "gate").exists():
            (folder / "waits").touch()
            time.sleep(0.05)
"""
"""Each trial makes four reports; the second one waits after its second."""


def spec(shared: Path) -> dict[str, Any]:
    return {
        "training": {
            "entrypoint": "tuned:main",
            "arguments": {"folder": str(shared)},
            "checkpoint": {"keepLast": 1},
        },
        "tuning": {
            "parameters": {"training.arguments.level": {"uniform": {"min": 10, "max": 20}}},
            "metric": "score",
            "mode": "max",
            "search": {"name": "random"},
            "trials": 4,
        },
        "workers": {"replicas": 1, "resources": {"cpu": "300m", "memory": "2Gi"}},
        "scheduling": {"startupDeadlineSeconds": 300},
        "seed": 3,
    }


@pytest.mark.long
def test_it_goes_on_with_the_same_trials_from_the_last_report_and_runs_none_twice(tmp_path: Path) -> None:
    code, shared = tmp_path / "code", tmp_path / "shared"
    code.mkdir()
    shared.mkdir()
    (code / "tuned.py").write_text(TUNED)
    with Pods(tmp_path / "run", spec(shared), code=code) as pods:
        pods.start_all()
        deadline = time.monotonic() + 200
        while not (shared / "waits").exists():
            assert not pods.ended("head"), pods.log("head")
            assert time.monotonic() < deadline, pods.log("head")
            time.sleep(0.05)
        pods.kill("head")
    before = [json.loads(line) for line in (shared / "begun").read_text().splitlines()]
    assert [done for _, done in before] == [0, 0]
    (shared / "gate").touch()
    with Pods(tmp_path / "run", spec(shared), attempt=2, code=code) as pods:
        pods.start_all()
        assert pods.wait("head", 300) == 0, pods.log("head")
        trials = read_trials(Store.open(str(pods.store)))
        result = json.loads((pods.store / "result.json").read_text())
    (again, done), *after = [json.loads(line) for line in (shared / "begun").read_text().splitlines()][2:]
    assert again == before[1][0], "the second trial, with its value"
    assert done in (1, 2), "from its last report, or the one before where the driver had not heard of that"
    assert [one for _, one in after] == [0, 0]
    levels = [level for level, _ in before] + [level for level, _ in after]
    assert [one.parameters["training.arguments.level"] for one in trials] == levels
    assert len(set(levels)) == 4
    assert [(one.state, one.epochs) for one in trials] == [("completed", 4)] * 4, "reports are counted on"
    assert [one.value for one in trials] == [pytest.approx(level - 1) for level in levels]
    assert result["tuning"]["best"] == 1 + levels.index(max(levels))
