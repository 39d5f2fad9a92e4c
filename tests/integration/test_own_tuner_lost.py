"""A user's own `ray.tune.Tuner` whose head is lost, with its experiment on a real S3-compatible server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from headway_trainer.report.trial_records import read_trials
from headway_trainer.storage import Store
from pods import Pods
from s3_server import BUCKET, CREDENTIALS, s3_server

pytestmark = pytest.mark.ray

SEARCH = """
import json
import tempfile
import time
from pathlib import Path

from ray import tune


def train(config):
    folder, step = Path(config["folder"]), 0
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as left:
            step = json.loads(Path(left, "state.json").read_text())
    with (folder / "begun").open("a") as begun:
        begun.write(json.dumps([config["number"], step]) + "\\n")
    while step < 4:
        step += 1
        with tempfile.TemporaryDirectory() as made:
            Path(made, "state.json").write_text(json.dumps(step))
            tune.report({"height": config["number"] * step}, checkpoint=tune.Checkpoint.from_directory(made))
        while config["number"] == 2 and step == 2 and not (folder / "gate").exists():
            (folder / "waits").touch()
            time.sleep(0.05)


def main(arguments):
    tuner = tune.Tuner(
        train,
        param_space={"number": tune.grid_search([1, 2, 3]), **arguments},
        tune_config=tune.TuneConfig(metric="height", mode="max", max_concurrent_trials=1),
    )
    results = tuner.fit()
    assert len(results) == 3
"""
"""Three trials one after the other, of which the second one waits in its middle."""


def spec(shared: Path) -> dict[str, Any]:
    return {
        "tuning": {"entrypoint": "search:main", "arguments": {"folder": str(shared)}},
        "workers": {"replicas": 1, "resources": {"cpu": "300m", "memory": "1Gi"}},
        "scheduling": {"startupDeadlineSeconds": 300},
    }


@pytest.mark.long
def test_it_goes_on_from_what_the_server_has_and_no_trial_that_had_ended_runs_again(tmp_path: Path) -> None:
    code, shared = tmp_path / "code", tmp_path / "shared"
    code.mkdir()
    shared.mkdir()
    (code / "search.py").write_text(SEARCH)
    with s3_server(tmp_path / "s3") as endpoint:
        variables = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}
        given: dict[str, Any] = {"code": code, "storage_uri": f"s3://{BUCKET}/own", "variables": variables}
        kept = tmp_path / "s3" / BUCKET / "own"
        with Pods(tmp_path / "run", spec(shared), **given) as pods:
            pods.start_all()
            _wait(pods, shared / "waits")
            _wait_until_saved(pods, kept)
            pods.kill("head")
        (shared / "gate").touch()
        with Pods(tmp_path / "run", spec(shared), attempt=2, **given) as pods:
            pods.start_all()
            assert pods.wait("head", 300) == 0, pods.log("head")
        secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode()
        files = [path for path in kept.rglob("*") if path.is_file()]
        trials = read_trials(Store.open(str(kept)))
    assert not [one.message for one in trials if one.message], pods.log("head")
    assert [(one.number, one.state, one.parameters["number"], one.value) for one in trials] == [
        (1, "completed", 1, 4.0),
        (2, "completed", 2, 8.0),
        (3, "completed", 3, 12.0),
    ]
    begun = (shared / "begun").read_text().splitlines()
    assert begun == ["[1, 0]", "[2, 0]", "[2, 2]", "[3, 0]"], "the second goes on from its checkpoint on the server"
    assert files
    assert not [path for path in files if secret in path.read_bytes()], "the experiment is kept without credentials"


def _wait(pods: Pods, path: Path, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert not pods.ended("head"), pods.log("head")
        assert time.monotonic() < deadline, pods.log("head")
        time.sleep(0.05)


def _wait_until_saved(pods: Pods, kept: Path, seconds: float = 60) -> None:
    """Wait until Ray Tune has saved its experiment once more: with the second trial's checkpoint."""
    deadline, began = time.monotonic() + seconds, time.time()
    while not any(path.stat().st_mtime > began for path in kept.rglob("experiment_state*") if path.is_file()):
        assert not pods.ended("head"), pods.log("head")
        assert time.monotonic() < deadline, sorted(str(path) for path in kept.rglob("*"))
        time.sleep(0.1)
