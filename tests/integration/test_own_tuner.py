"""A user's own `ray.tune.Tuner` over real Ray: as `headway run` runs it, stopped and resumed, and with trials that
start workers of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from commands import COMMAND, headway, run_environment
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import TrialRecord, read_trials
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.storage import Store
from markdown_blocks import ROOT, blocks

pytestmark = pytest.mark.ray

PAGE = ROOT / "docs" / "how-to" / "tune.md"
EXAMPLE = ROOT / "examples" / "tuning" / "own-tuner"


def job(folder: Path, code: str, *, workers: int = 2, **tuning: Any) -> Path:
    """A job file in the folder, with its function `search:main` beside it."""
    (folder / "search.py").write_text(textwrap.dedent(code))
    spec = {
        "tuning": {"entrypoint": "search:main", **tuning},
        "workers": {"replicas": workers, "resources": {"cpu": "100m", "memory": "1Gi"}},
        "scheduling": {"startupDeadlineSeconds": 300},
    }
    document = {"apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "own"}, "spec": spec}
    path = folder / "job.yaml"
    path.write_text(json.dumps(document))
    return path


def left(folder: Path) -> tuple[RunResult, TuningResult, list[TrialRecord]]:
    """What a finished run has left."""
    result = RunResult.model_validate_json((folder / "result.json").read_bytes())
    assert result.tuning is not None
    return result, result.tuning, read_trials(Store.open(str(folder)))


@pytest.mark.long
def test_asha_stops_trials_and_one_that_fails_is_counted_with_its_cause(tmp_path: Path) -> None:
    path = job(
        tmp_path,
        """
        import ray
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler


        def train(config):
            for epoch in range(config["epochs"]):
                if config["rate"] == 0.3:
                    raise ValueError("this rate is not for me")
                tune.report({"score": config["rate"] * (epoch + 1), "twice": 2 * config["rate"]})


        def main(arguments):
            ray.init()  # as in many examples; it is connected already
            tuner = tune.Tuner(
                train,
                param_space={"rate": tune.grid_search([0.8, 0.3, 0.1, 0.2]), "epochs": arguments["epochs"]},
                tune_config=tune.TuneConfig(metric="score", mode="max", scheduler=ASHAScheduler(
                    max_t=4, grace_period=1, reduction_factor=2)),
            )
            best = tuner.fit().get_best_result()
            assert best.config["rate"] == 0.8, best
        """,
        arguments={"epochs": 4},
    )
    out = tmp_path / "out"
    done = headway("run", str(path), "--output", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    result, tuning, trials = left(out)
    assert [one.parameters["rate"] for one in trials] == [0.8, 0.3, 0.1, 0.2], "numbered as they came to be"
    assert trials[0].state == "completed"
    assert trials[0].value == pytest.approx(3.2)
    assert trials[0].epochs == 4
    assert [one.epoch for one in trials[0].reports] == [1, 2, 3, 4]
    assert (trials[1].state, trials[1].cause) == ("failed", "ValueError")
    assert trials[1].message == "ValueError: this rate is not for me"
    assert {one.state for one in trials[2:]} <= {"stopped", "completed"}
    for one in trials[2:]:
        assert (one.state == "stopped") == (one.epochs < 4)
    assert tuning.counts["failed"] == 1
    assert tuning.best == 1
    assert (tuning.metric, tuning.better) == ("score", "max")
    assert (tuning.search, tuning.scheduler) == ("BasicVariantGenerator", "AsyncHyperBandScheduler")
    assert result.metrics.reported == {"score": pytest.approx(3.2), "twice": 1.6}
    assert result.training.entrypoint == "search:main"
    assert "tuning.entrypoint has not called headway_trainer.save_model" in result.message
    report = (out / "report.md").read_text()
    assert "| rate | 0.8 |" in report
    assert "this rate is not for me" in report
    assert "of 4 trials have ended" in done.stdout
    listed = headway("trials", str(out))
    assert listed.returncode == 0, listed.stderr
    assert "failed: ValueError" in listed.stdout


def test_a_population_takes_over_checkpoints_as_ray_tune_does(tmp_path: Path) -> None:
    path = job(
        tmp_path,
        """
        import json
        import tempfile
        from pathlib import Path

        from ray import tune
        from ray.tune.schedulers import PopulationBasedTraining


        def train(config):
            total, step = 0.0, 0
            checkpoint = tune.get_checkpoint()
            if checkpoint is not None:
                with checkpoint.as_directory() as folder:
                    total, step = json.loads(Path(folder, "state.json").read_text())
            while step < 6:
                total, step = total + config["gain"], step + 1
                with tempfile.TemporaryDirectory() as folder:
                    Path(folder, "state.json").write_text(json.dumps([total, step]))
                    tune.report({"total": total}, checkpoint=tune.Checkpoint.from_directory(folder))


        def main():
            scheduler = PopulationBasedTraining(
                time_attr="training_iteration", perturbation_interval=2, quantile_fraction=0.5,
                hyperparam_mutations={"gain": tune.uniform(0.0, 1.0)}, synch=True, custom_explore_fn=None,
            )
            results = tune.Tuner(
                train,
                param_space={"gain": tune.grid_search([0.1, 1.0])},
                tune_config=tune.TuneConfig(metric="total", mode="max", scheduler=scheduler, reuse_actors=False),
                run_config=tune.RunConfig(name="population", stop={"training_iteration": 6}),
            ).fit()
            best = results.get_best_result()
            with best.checkpoint.as_directory() as folder:
                assert json.loads(Path(folder, "state.json").read_text())[1] == 6
        """,
    )
    out = tmp_path / "out"
    done = headway("run", str(path), "--output", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    _, tuning, trials = left(out)
    assert tuning.scheduler == "PopulationBasedTraining"
    assert tuning.counts == {"completed": 2}
    assert tuning.best == max(trials, key=lambda one: one.value or 0.0).number
    # Of a source that has ended meanwhile the worse one takes over the last step, and its function has nothing left.
    assert 3 <= trials[0].epochs <= trials[1].epochs == 6
    worst = [one.value or 0.0 for one in trials[0].reports]
    assert worst[:2] == [pytest.approx(0.1), pytest.approx(0.2)]
    assert max(worst) > 1.2, "it went on from the better one's checkpoint"
    assert trials[0].parameters["gain"] != 0.1, "with another value"


OPTUNA = """
    import time
    from pathlib import Path

    from ray import tune
    from ray.tune.search.optuna import OptunaSearch


    def train(config):
        with open(config["seen"], "a") as seen:
            seen.write(f"{config['x']}\\n")
        time.sleep(config["seconds"])
        tune.report({"loss": (config["x"] - 2) ** 2})


    def main(arguments):
        tuner = tune.Tuner(
            train,
            param_space={"x": tune.uniform(0, 4), **arguments},
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", search_alg=OptunaSearch(seed=3), num_samples=6, max_concurrent_trials=1
            ),
        )
        results = tuner.fit()
        Path(arguments["seen"]).with_name("returned").write_text(str(len(results)))
    """


@pytest.mark.long
def test_an_optuna_search_that_ctrl_c_has_stopped_goes_on_with_the_trials_that_it_had(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    path = job(tmp_path, OPTUNA, arguments={"seen": str(seen), "seconds": 1.0})
    out = tmp_path / "out"
    command = [*COMMAND, "run", str(path), "--output", str(out)]
    process = subprocess.Popen(
        command,
        env=run_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 200
        while not seen.exists() or len(seen.read_text().splitlines()) < 3:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until, "three trials begin"
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130, told
    assert "trials of the Tuner had ended; the next attempt goes on with the others" in told
    assert not (tmp_path / "returned").exists(), "the function does not go on where its Tuner was stopped"
    before = seen.read_text().splitlines()
    done = headway("run", str(path), "--output", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    result, tuning, trials = left(out)
    assert (tmp_path / "returned").read_text() == "6"
    assert result.attempt == 2
    assert tuning.counts == {"completed": 6}
    assert tuning.search == "OptunaSearch"
    tried = [str(one.parameters["x"]) for one in trials]
    assert len(set(tried)) == 6
    assert tried[: len(before) - 1] == before[:-1], "the trials of the first attempt keep their numbers"
    after = seen.read_text().splitlines()[len(before) :]
    assert not set(before[:-1]) & set(after), "and are not run again"
    assert tuning.best == min(trials, key=lambda one: one.value or 0.0).number


@pytest.mark.long
def test_trials_that_start_workers_of_their_own_hold_their_places_and_do_not_wait_for_each_other(
    tmp_path: Path,
) -> None:
    path = job(
        tmp_path,
        """
        import time

        import ray
        from ray import tune
        from ray.util.placement_group import placement_group, remove_placement_group


        def train(config):
            # As Ray Train's TorchTrainer does: a placement group for its workers, beside the trial's own process.
            time.sleep(1.0)
            workers = placement_group([{"CPU": 1}, {"CPU": 1}])
            ready, _ = ray.wait([workers.ready()], timeout=60)
            remove_placement_group(workers)
            tune.report({"ready": len(ready), "number": config["number"]})


        def main():
            tune.Tuner(
                train,
                param_space={"number": tune.grid_search([1, 2])},
                tune_config=tune.TuneConfig(metric="ready", mode="min"),
            ).fit()
        """,
        workers=3,
        workersPerTrial=3,
    )
    out = tmp_path / "out"
    done = headway("run", str(path), "--output", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    _, tuning, trials = left(out)
    assert tuning.counts == {"completed": 2}
    assert [one.value for one in trials] == [1.0, 1.0], "each got its workers"
    first, second = sorted(trials, key=lambda one: one.began)
    assert first.ended is not None
    assert second.began >= first.ended, "one after the other, as three workers suffice for one"


def test_the_page_can_be_typed(tmp_path: Path) -> None:
    typed = [
        block
        for block in blocks(PAGE)
        if block.file in {"search.py", "own-tuner.yaml"} or "own-tuner.yaml" in block.text
    ]
    for block in typed:
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
    commands = next(block.text for block in typed if block.language == "sh")
    done = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    _, tuning, trials = left(tmp_path / "out" / "own-tuner")
    assert len(trials) == 4
    assert (tuning.metric, tuning.better) == ("height", "max")
    fastest = max(trials, key=lambda one: one.value or 0.0)
    assert tuning.best == fastest.number
    assert "best:" in done.stdout, "what the function prints is shown"


@pytest.mark.long
def test_the_example_leaves_the_best_trials_model(tmp_path: Path) -> None:
    settings = ["--set", "tuning.arguments={epochs: 2, trials: 2}"]
    done = headway("run", str(EXAMPLE / "job.yaml"), "--code", str(EXAMPLE), "--output", str(tmp_path), *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    result, tuning, trials = left(tmp_path)
    assert len(trials) == 2
    assert sum(tuning.counts.values()) == 2
    assert result.metrics.reported.keys() == {"accuracy"}
    assert (tmp_path / "model.safetensors").exists()
    assert "model" in {one.name for one in result.artifacts}
