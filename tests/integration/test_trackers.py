"""Trackers are told of real runs: a real server of MLflow, and the reader of TensorBoard's own files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from client_environment import ROOT
from commands import COMMAND, headway, run_environment
from headway_api.tracking import MLflow
from headway_cli.cluster.records import Recorded
from headway_trainer.report.model import RunResult
from headway_trainer.storage import Store
from headway_trainer.tracking.events import Began, Point
from headway_trainer.tracking.follower import TRIES, Follower, left
from headway_trainer.tracking.parameters import flat
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.tracking.trackers.base import DownError, Known
from headway_trainer.tracking.trackers.mlflow_server import MLflowServer
from headway_trainer.training.link import Measured
from local_folder import Local
from mlflow_server import Server, running, scalars, tracker_python

pytestmark = pytest.mark.ray

EPOCHS = 40
STEPS_OF_EPOCH = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


def job(folder: Path, server: Server, name: str, **spec: Any) -> Path:
    document = {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "data": {"source": {"builtin": {"name": "digits"}}},
            "model": {"name": "mlp", "options": {"hidden": [16]}},
            "training": {"epochs": EPOCHS, "batchSize": 64, "checkpoint": {"everySteps": 20}},
            "tracking": {"mlflow": {"uri": server.uri}},
            "export": {"formats": ["safetensors"]},
            **spec,
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def wait_for(happened: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def begun(words: list[str]) -> subprocess.Popen[bytes]:
    """The command, in a session of its own, to be killed."""
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=run_environment(),
        start_new_session=True,
    )


def test_a_run_that_is_killed_and_goes_on_is_one_run_with_each_step_once(server: Server, tmp_path: Path) -> None:
    file, folder = job(tmp_path, server, "killed"), tmp_path / "out"
    words = ["run", str(file), "--output", str(folder)]
    process = begun(words)
    wait_for(lambda: list(folder.glob(".headway/runs/*/tracking/events-0001-*")), process)
    wait_for(lambda: len(list(folder.glob(".headway/runs/*/checkpoints/*/manifest.json"))) > 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = headway(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    (run,) = server.runs("killed")
    steps = [STEPS_OF_EPOCH * epoch for epoch in range(1, EPOCHS + 1)]
    assert server.history(run, "validation/loss") == steps
    assert run["info"]["status"] == "FINISHED"
    assert run["tags"]["headway.attempt"] == "2"
    assert run["params"]["training.batchSize"] == "64"
    assert 0.5 < run["metrics"]["test/accuracy"] <= 1
    assert "headway.cause" not in run["tags"]
    (board,) = folder.glob(".headway/runs/*/tensorboard")
    assert [step for step, _ in scalars(board)["validation/loss"]] == steps


SLOW = """
import time
from torch import nn

class Slow(nn.Sequential):
    def forward(self, x):
        if self.training:
            time.sleep(0.5)
        return super().forward(x)

def make(info):
    return Slow(nn.Flatten(), nn.Linear(info.features, info.outputs))
"""


@pytest.mark.long  # an epoch of 40 seconds
def test_a_long_epoch_that_is_killed_and_goes_on_has_points_on_its_way_each_step_once(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    training = {"epochs": 1, "batchSize": 16, "clip": {"norm": 1.0}, "checkpoint": {"everySteps": 10}}
    file = job(tmp_path, server, "long", training=training, model={"entrypoint": "slow:make"})
    folder = tmp_path / "out"
    words = ["run", str(file), "--output", str(folder)]
    process = begun(words)
    recorded = ".headway/runs/*/tracking/events-0001-*"
    wait_for(lambda: any('"within":true' in path.read_text() for path in folder.glob(recorded)), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = headway(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    (run,) = server.runs("long")
    steps = server.history(run, "step/loss")
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    (last,) = server.history(run, "train/loss")
    assert steps[-1] < last
    assert server.history(run, "step/gradient_norm") == steps
    (board,) = folder.glob(".headway/runs/*/tensorboard")
    read = scalars(board)
    assert [step for step, _ in read["step/loss"]] == steps
    assert [step for step, _ in read["learning_rate"]] == [*steps, last]
    page = Recorded()
    page.read(Local(board.parent / "tracking"))
    assert [step for step, _ in page.series["step/loss"]] == steps
    assert 0.5 < run["metrics"]["test/accuracy"] <= 1


def test_trials_are_nested_in_the_run_of_their_job_each_with_its_parameters_and_curve(
    server: Server, tmp_path: Path
) -> None:
    tuning = {
        "parameters": {"training.optimizer.lr": {"choice": [0.001, 0.01, 0.1]}},
        "search": {"name": "grid"},
        "metric": "validation/accuracy",
        "mode": "max",
    }
    training = {"epochs": 3, "batchSize": 64, "checkpoint": {"metric": "validation/accuracy"}}
    file = job(tmp_path, server, "tuned", tuning=tuning, training=training)
    done = headway("run", str(file), "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    runs = server.runs("tuned")
    (root,) = [run for run in runs if "mlflow.parentRunId" not in run["tags"]]
    trials = {run["info"]["run_name"]: run for run in runs if run is not root}
    assert set(trials) == {"trial-1", "trial-2", "trial-3"}
    assert {run["tags"]["mlflow.parentRunId"] for run in trials.values()} == {root["info"]["run_id"]}
    assert {float(run["params"]["training.optimizer.lr"]) for run in trials.values()} == {0.001, 0.01, 0.1}
    for run in trials.values():
        assert server.history(run, "validation/accuracy") == [20, 40, 60]
        assert run["info"]["status"] == "FINISHED"
        assert run["metrics"]["final/validation/accuracy"] > 0.3
    assert {path.name for path in (tmp_path / "out").glob(".headway/runs/*/tensorboard/trial-*")} == set(trials)


@pytest.mark.long  # it waits for the server, and for the end of what is tried
def test_a_tracker_that_is_down_fails_nothing_and_is_told_later_what_it_missed(tmp_path: Path) -> None:
    with running(tmp_path / "mlflow") as server:
        server.stop()
        file, folder = job(tmp_path, server, "down", training={"epochs": 3, "batchSize": 64}), tmp_path / "out"
        began = time.monotonic()
        done = headway("run", str(file), "--output", str(folder))
        seconds = time.monotonic() - began
        assert done.returncode == 0, done.stdout + done.stderr
        said = " ".join(done.stdout.split())
        assert "was not told all of this run: 5 records are left" in said
        assert "`headway track" in said
        result = RunResult.model_validate_json((folder / "result.json").read_bytes())
        assert seconds - result.duration_seconds < 90, "the end waits for a tracker for seconds"
        server.start()
        told = headway("track", str(folder))
        assert (told.returncode, told.stdout) == (0, f"MLflow at {server.uri}: 5 records told, 0 left.\n"), told.stderr
        again = headway("track", str(folder))
        assert again.stdout == f"MLflow at {server.uri}: 0 records told, 0 left.\n"
        (run,) = server.runs("down")
        assert server.history(run, "train/loss") == [20, 40, 60]
        assert run["info"]["status"] == "FINISHED"


def test_a_server_that_was_not_given_its_name_is_down_and_the_name_to_give_is_told(server: Server) -> None:
    host = server.uri.replace("127.0.0.1", "127.1").removeprefix("http://")  # the same address, by another name
    tracker = MLflowServer(MLflow(uri=f"http://{host}"), "named")
    with pytest.raises(DownError, match=rf"its server takes no requests for {host}: .* in --allowed-hosts"):
        tracker.begin(Began(scope="", name="x", identity="i", at=1.5), None, None)


HOSTILE = {
    "loss@1": 1.0,
    "loss#1": 2.0,
    "loss_1": 3.0,
    "a/../b": 4.0,
    "b": 5.0,
    "..": 1.0,
    ".": 2.0,
    "/": 3.0,
    "\x00\x1b": 6.0,
    "\ud800": 1.0,
    "\u202e": 2.0,
    "é" * 300: 7.0,
    "x" * 300: 8.0,
    "日本": 3.0,
    "😀": 4.0,
    "huge": 1e308,
    "least": -1e308,
}
"""Names and numbers of a training function that wishes a tracker ill."""


def test_jobs_that_begin_at_once_with_names_and_numbers_of_all_kinds_are_told_whole(
    server: Server, tmp_path: Path
) -> None:
    def tell(name: str) -> Follower:
        store = Store.open(str(tmp_path / name))
        recorder = Recorder(store, 1, identity=name)
        recorder.begin("", name=name, parameters=flat({**HOSTILE, "nul": "a\x00b", "long": "é" * 5000}))
        recorder.measured("", *(Measured(step=step, values=dict(HOSTILE)) for step in (1, 2, 2**63 - 1, 2**63)))
        recorder.end("", "completed", values={"final/a": 1.0}, tags={"headway.message": "x\x00\n" + "y" * 9999})
        assert recorder.flush()
        follower = Follower(store, "mlflow", "there", MLflowServer(MLflow(uri=server.uri, experiment="hostile"), name))
        assert follower.follow() == 5
        return follower

    with ThreadPoolExecutor(4) as pool:
        followers = list(pool.map(tell, ("one", "two", "three", "four")))
    assert [follower.problem for follower in followers] == [None] * 4
    runs = server.runs("hostile")
    assert len(runs) == 4, "the experiment was made by one of them, and found by the others"
    for run in runs:
        assert run["info"]["status"] == "FINISHED"
        assert len(run["metrics"]) == len(HOSTILE) + 1
        assert run["metrics"]["loss_1"] == 3.0
        assert server.history(run, "loss_1") == [1, 2, 2**63 - 1]
        assert run["params"]["nul"] == "a\\u0000b"


class Failing(MLflowServer):
    """MLflow, where it fails at one step each time."""

    def points(self, known: Known, points: Sequence[Point]) -> None:
        if any(point.step == 2 for point in points):
            raise DownError("500 internal error")
        super().points(known, points)


def test_a_record_that_the_server_fails_at_is_left_out_and_what_is_told_again_meanwhile_is_there_once(
    server: Server, tmp_path: Path
) -> None:
    store = Store.open(str(tmp_path / "run"))
    recorder = Recorder(store, 1, identity="poison")
    recorder.begin("", name="poison", parameters={})
    recorder.measured("", *(Measured(step=step, values={"loss": 1.0}) for step in (1, 2, 3)))
    recorder.measured("", Measured(step=3, values={"f1": 0.5}))
    recorder.end("", "completed")
    assert recorder.flush()
    follower = Follower(store, "mlflow", "there", Failing(MLflow(uri=server.uri, experiment="poison"), "poison"))
    for _ in range(2 * TRIES):
        with contextlib.suppress(DownError):
            follower.follow()
    assert left(store, "mlflow", "there") == 0
    (run,) = server.runs("poison")
    assert server.history(run, "loss") == [1, 3]
    assert server.history(run, "f1") == [3]
    assert run["info"]["status"] == "FINISHED"
    assert follower.problem == "it fails at it each time, though it takes other records: 500 internal error"


OFFLINE = """
import sys
from headway_api.tracking import WandB
from headway_trainer.tracking.trackers.wandb_service import WandBService
from headway_trainer.tracking.events import Began, Ended, Point

service = WandBService(WandB(project="p"), "job")
known = service.begin(Began(scope="", name="job", identity="i", parameters={"lr": "1"}, at=1.0), None, None)
trial = service.begin(Began(scope="trial-1", name="trial-1", identity="i", at=1.0), None, known)
service.points(known, [Point(scope="", step=step, values={"train/loss": 1 / step}, at=1.0) for step in (20, 40)])
service.points(trial, [Point(scope="trial-1", step=1, values={"train/loss": 0.5}, at=1.0)])
service.end(trial, Ended(scope="trial-1", state="failed", at=2.0))
assert not service.settled()
service.end(known, Ended(scope="", state="completed", values={"test/loss": 0.25}, tags={"headway.x": "y"}, at=2.0))
assert service.settled()
"""


def test_the_real_sdk_of_wandb_keeps_both_runs_in_files_without_a_network(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "crds"), str(ROOT / "trainer")]),
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [str(tracker_python()), "-c", OFFLINE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kept = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(kept) == 2
    assert any(b"train/loss" in path.read_bytes() for path in kept)
