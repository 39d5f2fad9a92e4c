"""`headway run` on this machine, as a user calls it; and the same job over separate Ray nodes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file

from commands import COMMAND, headway, run_environment
from headway_trainer.report.model import RunResult
from pods import Pods

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits.yaml"
OWN = ROOT / "examples" / "own-training"
WEIGHTS_ALONE = {"formats": ["safetensors"]}
"""For runs whose model.onnx nobody looks at: it takes seconds."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the digits example."""
    folder = tmp_path_factory.mktemp("run") / "digits"
    done = headway("run", str(DIGITS), "--output", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accuracy" in done.stdout
    assert "report.md" in done.stdout
    return folder


def test_digits_reaches_97_percent_and_leaves_model_report_and_result(digits: Path) -> None:
    result = RunResult.model_validate_json((digits / "result.json").read_bytes())
    accuracy = result.metrics.test["accuracy"]
    assert accuracy is not None
    assert accuracy >= 0.97
    assert result.world_size == 2
    assert result.data is not None
    assert result.data.rows == {"train": 1258, "validation": 359, "test": 180}
    assert (digits / "report.md").read_text().startswith("#")
    assert {"model", "report"} <= {artifact.name for artifact in result.artifacts}
    assert load_file(digits / "model.safetensors")
    assert json.loads((digits / "model.json").read_text())["model"]["name"] == "cnn"


@pytest.mark.long  # test_processes.py compares with Ray as it is, too
def test_ray_as_it_is_gives_the_same_weights(digits: Path, tmp_path: Path) -> None:
    done = headway("run", str(DIGITS), "--output", str(tmp_path / "stock"), HEADWAY_STOCK_RAY="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "stock/model.safetensors").read_bytes() == (digits / "model.safetensors").read_bytes()


def test_separate_nodes_give_the_same_metrics_and_weights(digits: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load(DIGITS.read_text())["spec"]
    with Pods(tmp_path, spec) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        outcome = pods.outcome()
    local = RunResult.model_validate_json((digits / "result.json").read_bytes())
    there = RunResult.model_validate_json((pods.store / "result.json").read_bytes())
    assert there.metrics == local.metrics
    assert (pods.store / "model.safetensors").read_bytes() == (digits / "model.safetensors").read_bytes()
    assert outcome.result is not None
    assert float(outcome.result.metrics["test/accuracy"]) == pytest.approx(local.metrics.test["accuracy"], abs=1e-6)


def test_ctrl_c_takes_a_checkpoint_and_the_same_command_goes_on(digits: Path, tmp_path: Path) -> None:
    folder, job = tmp_path / "digits", tmp_path / "digits.yaml"
    document = yaml.safe_load(DIGITS.read_text())
    document["spec"]["training"]["checkpoint"] = {"everySteps": 20}  # sooner than in 10 seconds
    document["spec"]["export"] = WEIGHTS_ALONE
    job.write_text(yaml.safe_dump(document))
    process = subprocess.Popen(
        [*COMMAND, "run", str(job), "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=run_environment(),
        start_new_session=True,
    )
    _wait_for(lambda: list(folder.glob(".headway/runs/*/checkpoints/*/manifest.json")), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to Ray's processes, too
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Give the same command again" in output
    again = headway("run", str(job), "--output", str(folder))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Going on with the unfinished run" in again.stdout
    assert (folder / "model.safetensors").read_bytes() == (digits / "model.safetensors").read_bytes()
    resumed = RunResult.model_validate_json((folder / "result.json").read_bytes()).training.resumed_from_step
    assert resumed is not None
    assert resumed > 0


@pytest.mark.parametrize(("name", "library"), [("gradientBoosting", "scikit-learn"), ("xgboost", "XGBoost")])
def test_a_library_fits_a_table_on_one_of_two_workers_and_the_graph_predicts_its_rows(
    name: str, library: str, tmp_path: Path
) -> None:
    draws = random.Random(5)  # noqa: S311 - no secret
    rows = [(draws.choice(["red", "green", ""]), draws.gauss(0, 1), draws.gauss(0, 1)) for _ in range(400)]
    lines = [f"{colour},{a},{b},{'yes' if a * b > 0 or colour == 'red' else 'no'}" for colour, a, b in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["colour,a,b,bought", *lines]) + "\n")
    spec = {
        "data": {"source": {"uri": str(tmp_path / "rows.csv")}, "target": "bought"},
        "model": {"name": name, "options": {"iterations": 30}},
        "training": {"classWeights": "balanced"},
        "workers": {"replicas": 2},
    }
    document = {**yaml.safe_load(DIGITS.read_text()), "spec": spec}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(document))
    folder = tmp_path / "out"
    done = headway("run", str(tmp_path / "job.yaml"), "--output", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    result = RunResult.model_validate_json((folder / "result.json").read_bytes())
    assert (result.training.iterations, result.training.epochs_run, result.training.steps) == (30, None, None)
    assert "fitted in one process on its CPU, which has no use for 1 of the 2 workers" in result.message
    assert f"| fitted by | {library} |" in (folder / "report.md").read_text()
    assert ("| iteration | train loss | validation loss |" in (folder / "report.md").read_text()) == (name == "xgboost")
    assert ("xgboost-cpu" in json.loads((folder / "model.json").read_text())["provenance"]["packages"]) == (
        name == "xgboost"
    )
    assert result.export is not None
    assert result.export.parity is not None
    assert result.export.parity.holds
    assert not (folder / "model.safetensors").exists()
    told = headway("predict", str(folder), str(tmp_path / "rows.csv"))
    assert told.returncode == 0, told.stderr
    answers = [line.split(",")[0] for line in told.stdout.splitlines()[1:]]
    right = sum(answer.strip('"') == line.rpartition(",")[2] for answer, line in zip(answers, lines, strict=True))
    assert right / len(lines) > 0.9


@pytest.mark.long
def test_a_forecast_that_is_killed_goes_on_to_the_same_model_which_predicts_what_comes_next(tmp_path: Path) -> None:
    """Killed as a machine is that goes down: no process of the run has a word."""
    document = yaml.safe_load((ROOT / "examples" / "forecasting.yaml").read_text())
    document["spec"]["data"]["source"]["uri"] = str(ROOT / "examples" / "co2.csv")
    document["spec"]["training"]["checkpoint"] = {"everySteps": 20}
    job = tmp_path / "co2.yaml"
    job.write_text(yaml.safe_dump(document))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = headway("run", str(job), "--output", str(whole), "--set", "export.formats=[safetensors]")
    assert done.returncode == 0, done.stdout + done.stderr
    process = subprocess.Popen(
        [*COMMAND, "run", str(job), "--output", str(cut)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=run_environment(),
        start_new_session=True,
    )
    _wait_for(lambda: list(cut.glob(".headway/runs/*/checkpoints/*/manifest.json")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    again = headway("run", str(job), "--output", str(cut))
    assert again.returncode == 0, again.stdout + again.stderr
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    result = RunResult.model_validate_json((cut / "result.json").read_bytes())
    assert result.training.resumed_from_step
    errors = {name: values["mae"] for name, values in result.metrics.naive.items()}
    assert set(errors) == {"lastValue", "seasonalNaive"}
    assert result.metrics.baseline["mae"] == min(error for error in errors.values() if error is not None)
    assert result.metrics.test["mae"] is not None
    assert result.metrics.test["mae"] < 0.6 * min(error for error in errors.values() if error is not None)
    assert len(result.metrics.by_horizon["test"]["co2"]) == 12
    said = headway("predict", str(cut), str(ROOT / "examples" / "co2.csv"))
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == '"month","co2"'
    assert [line.partition(",")[0] for line in lines[1:]] == [f"2002-{month:02}-01" for month in range(1, 13)]
    values = [float(line.partition(",")[2]) for line in lines[1:]]
    assert values.index(max(values)) in (3, 4, 5), "the air has most of it in spring"
    assert all(365 < value < 380 for value in values)


def test_a_training_function_of_ones_own_reports_saves_and_resumes(tmp_path: Path) -> None:
    spec = yaml.safe_load((OWN / "job.yaml").read_text())["spec"]
    spec["training"]["arguments"]["epochs"] = 40
    with Pods(tmp_path, spec, code=OWN) as pods:
        pods.start_all()
        seen: set[Path] = set()

        def several() -> bool:
            seen.update(_checkpoints(pods))
            return len(seen) > 3

        _wait_for(several)
        pods.kill("head")
    with Pods(tmp_path, spec, code=OWN, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        outcome = pods.outcome()
    result = RunResult.model_validate_json((pods.store / "result.json").read_bytes())
    assert result.metrics.reported["epoch"] == 40
    assert (result.metrics.reported["validation_accuracy"] or 0) > 0.9
    assert set(load_file(pods.store / "model.safetensors")) == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert outcome.checkpoint is not None
    assert (result.training.reports or 40) < 40, "the second attempt should have gone on, not begun afresh"
    # training.checkpoint.keepLast, and what was being written or deleted when the head was killed
    assert 2 <= len(_checkpoints(pods)) <= 4


def _checkpoints(pods: Pods) -> list[Path]:
    return [path for path in (pods.store / "ray" / "run").glob("checkpoint_*") if path.is_dir()]


def test_an_exception_in_the_users_code_ends_the_run_at_once_and_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def train(config):\n    print('so far')\n    raise KeyError('no such thing')\n")
    spec: dict[str, Any] = {
        "code": {"configMap": {"name": "mine"}},
        "training": {"entrypoint": "mine:train"},
        "workers": {"replicas": 1, "resources": {"cpu": "300m"}},
    }
    with Pods(tmp_path, spec, code=tmp_path) as pods:
        pods.start_all()
        assert pods.wait("head") == 64, pods.log("head")
        outcome = pods.outcome()
    assert outcome.cause == "UserError"
    assert "mine.py:3 in train raised KeyError: 'no such thing'" in outcome.message
    assert pods.log("head").count("Error in training function") <= 1
    assert "so far" in pods.log("worker-0").splitlines()
    assert re.search(r"^\(worker-0 pid=\d+\) so far$", pods.log("head"), re.MULTILINE), pods.log("head")


def _wait_for(condition: Any, process: subprocess.Popen[str] | None = None, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate()[0])
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come within {seconds} s")
        time.sleep(0.05)
