"""`headway run` before anything trains: what it reads, what it refuses, whose folder it is, and what it prints."""

from __future__ import annotations

import io
import re
import signal
import threading
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from headway_api import wire
from headway_api.job import TrainingJob
from headway_api.status import Progress
from headway_cli.cluster.errors import EXIT_USAGE, InputError, UsageError
from headway_cli.main import main
from headway_cli.raised_trials import job_digest
from headway_cli.run import (
    Local,
    code_folder,
    read_job,
    refuse_output_in_source,
    refuse_what_a_cluster_has,
    stop_on_signals,
)
from headway_cli.run_folder import Attempt, RunFolder
from headway_cli.run_report import print_report
from headway_cli.run_terminal import Terminal, progress_line
from headway_trainer.data.profile import Profile
from headway_trainer.data.schema import Column, ColumnStats
from headway_trainer.report.model import Artifact, DataSummary, Metrics, RunResult, TrainingSummary

ROOT = Path(__file__).parents[3]
JOB = """apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: small}
spec:
  data: {source: {builtin: {name: iris}}}
  model: {name: mlp}
  training: {epochs: 4}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return str(path)


def job(text: str = JOB, **spec: Any) -> TrainingJob:
    import yaml

    document = yaml.safe_load(text)
    document["spec"] |= spec
    return TrainingJob.model_validate(document)


def test_settings_are_laid_over_the_file(file: str) -> None:
    read = read_job(file, ("training.epochs=9", "spec.seed=5", "training.optimizer.lr=0.5", "workers.replicas=3"))
    assert read.spec.training is not None
    assert (read.spec.training.epochs, read.spec.seed, read.spec.workers.replicas) == (9, 5, 3)
    assert read.spec.training.optimizer.lr == 0.5


def test_a_setting_may_be_a_whole_section(file: str) -> None:
    read = read_job(file, ("data.source={uri: rows.csv}", "data.target=price"))
    assert read.spec.data is not None
    assert read.spec.data.source.uri == "rows.csv"
    assert read.spec.data.source.builtin is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epochs", "write KEY=VALUE, for example training.epochs=3"),
        ("training..epochs=3", "write KEY=VALUE"),
        ("seed.x=3", "seed is no section, so it has no field x"),
        ("training.epochs=[", "--set training.epochs=[: "),
    ],
)
def test_a_setting_that_is_none_is_refused(file: str, setting: str, message: str) -> None:
    if setting.startswith("seed"):
        Path(file).write_text(JOB + "  seed: 1\n")
    with pytest.raises(UsageError) as caught:
        read_job(file, (setting,))
    assert message in str(caught.value)
    assert CliRunner().invoke(main, ["run", file, "--set", setting]).exit_code == EXIT_USAGE


def test_mistakes_are_told_with_their_lines_and_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("epochs: 4", "epochs: -4, epocs: 3"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["run", str(path)])
    assert done.exit_code == 1
    assert re.search(rf"{path}:7: spec\.training\.epochs: ", done.output)
    assert re.search(rf"{path}:7: spec\.training\.epocs: .*epochs", done.output)
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_a_setting_names_the_field(file: str) -> None:
    done = CliRunner().invoke(main, ["run", file, "--set", "training.epochs=many"])
    assert done.exit_code == 1
    assert "spec.training.epochs" in done.output


def test_a_file_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(main, ["run", "nothing.yaml"])
    assert done.exit_code == 2
    assert "nothing.yaml cannot be read" in done.output


def test_only_one_job_is_run(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(f"{JOB}---\n{JOB.replace('small', 'other')}")
    with pytest.raises(InputError, match=r"holds 2 TrainingJobs: headway run takes one"):
        read_job(str(path), ())


def test_a_volume_of_a_cluster_is_refused_with_the_way_out() -> None:
    claim = {"persistentVolumeClaim": {"name": "rows"}}
    with pytest.raises(click.ClickException, match=r"--set 'data\.source=\{uri: PATH\}'"):
        refuse_what_a_cluster_has(job(data={"source": claim, "target": "y"}), None)


def test_code_is_looked_for_beside_the_file_or_where_the_option_says(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    file = str(tmp_path / "jobs" / "job.yaml")
    attempt = Attempt(1, resumes=False, path=tmp_path / "run")
    assert code_folder(Local(job(), file, folder, attempt, None)) == str(tmp_path / "jobs")
    assert code_folder(Local(job(), file, folder, attempt, tmp_path / "mine")) == str(tmp_path / "mine")
    assert code_folder(Local(job(), "-", folder, attempt, None)) == str(Path.cwd())


def test_a_run_with_a_generated_name_is_called_by_its_beginning(tmp_path: Path) -> None:
    attempt = Attempt(1, resumes=False, path=tmp_path / "run")
    generated = job(JOB.replace("name: small", "generateName: small-"))
    file = Local(generated, "-", RunFolder(tmp_path / "out"), attempt, None).run_file()
    assert (file.name, generated.metadata.title) == ("small", "small")


def test_code_in_a_config_map_needs_a_folder(tmp_path: Path) -> None:
    its = job(code={"configMap": {"name": "mine"}}, training={"entrypoint": "a:b"})
    with pytest.raises(click.ClickException, match=r"code\.configMap mine is in a cluster: .* --code DIR"):
        refuse_what_a_cluster_has(its, None)
    refuse_what_a_cluster_has(its, tmp_path)


@pytest.mark.parametrize(
    ("source", "output", "refused"),
    [
        ({"uri": "rows"}, "rows", True),
        ({"uri": "rows"}, "rows/out", True),
        ({"uri": "."}, "out", True),
        ({"parts": {"train": "other", "test": "rows"}}, "rows/out", True),
        ({"uri": "rows/one.csv"}, "rows", False),
        ({"uri": "rows/*.csv"}, "rows", False),
        ({"uri": "rows"}, "out", False),
        ({"uri": "s3://rows"}, "s3:/rows", False),
    ],
)
def test_results_that_would_be_rows_of_the_next_run_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: dict[str, Any], output: str, *, refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("rows", "other"):
        (tmp_path / name).mkdir()
    its = job(data={"source": source, "target": "y"})
    if not refused:
        refuse_output_in_source(its, tmp_path / output)
        return
    with pytest.raises(click.ClickException, match=r"lies in the folder that the data comes from .*: choose another"):
        refuse_output_in_source(its, tmp_path / output)


def test_what_only_a_cluster_looks_at_does_not_make_another_run() -> None:
    assert job_digest(job()) == job_digest(job(image="x/y", retry={"userError": 3}, suspend=False))
    assert job_digest(job()) != job_digest(job(workers={"replicas": 2}))


def test_ctrl_c_is_announced_outside_of_the_signal_handler() -> None:
    stop = threading.Event()
    said: list[tuple[str, bool]] = []
    before = signal.getsignal(signal.SIGINT)
    announced = threading.Event()

    def note(sentence: str) -> None:
        said.append((sentence, threading.current_thread() is threading.main_thread()))
        announced.set()

    with stop_on_signals(stop, note):
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        assert announced.wait(10)
    assert said == [("Stopping after a checkpoint. Press Ctrl-C again to stop at once.", False)]
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_is_announced_where_nobody_stops() -> None:
    said: list[str] = []
    with stop_on_signals(threading.Event(), said.append):
        pass
    assert said == []


def progress(**fields: Any) -> wire.ProgressFile:
    return wire.ProgressFile(attempt=1, progress=Progress.model_validate({"stage": "Training", **fields}))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            progress(
                epoch=2,
                step=30,
                samples_per_second=1234.5,
                eta_seconds=75,
                metrics={"train/loss": "0.5", "validation/f1": "0.9"},
            ),
            "epoch 2/4  step 30  train/loss 0.5  1234 samples/s  ETA 1m15s",
        ),
        (progress(epoch=1, eta_seconds=7300), "epoch 1/4  ETA 2h01m"),
        (progress(stage="Evaluating"), "Evaluating"),
    ],
)
def test_the_progress_line_tells_epoch_step_loss_speed_and_time(file: wire.ProgressFile, line: str) -> None:
    assert progress_line(file, 4) == line


def test_a_log_gets_one_line_an_epoch() -> None:
    text = io.StringIO()
    with Terminal(Console(file=text, width=100), job().spec) as terminal:
        for step in range(10):
            terminal.update(progress(epoch=step // 5 + 1, step=step))
        terminal.note("A sentence.")
    assert text.getvalue().splitlines() == ["epoch 1/4  step 0", "epoch 2/4  step 5", "A sentence."]


def test_a_terminal_shows_one_line_that_changes() -> None:
    text = io.StringIO()
    with Terminal(Console(file=text, force_terminal=True, width=100), job().spec) as terminal:
        terminal.update(progress(epoch=3, step=7))
    assert "epoch 3/4  step 7" in text.getvalue()


def result(**fields: Any) -> RunResult:
    plain: dict[str, Any] = {
        "job": "small",
        "outcome": "Succeeded",
        "seed": 1,
        "world_size": 2,
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:00:10Z",
        "duration_seconds": 10.0,
    }
    return RunResult.model_validate(plain | fields)


def test_the_report_shows_metrics_time_and_where_the_files_are(tmp_path: Path) -> None:
    text = io.StringIO()
    metrics = Metrics(test={"accuracy": 0.98765, "loss": None})
    model = Artifact(name="model", path="model.safetensors", sha256="0", size_bytes=1)
    onnx = Artifact(name="onnx", path="model.onnx", sha256="0", size_bytes=1)
    trained = TrainingSummary(epochs_run=3, steps=30, early_stopped=True)
    print_report(
        result(metrics=metrics, artifacts=[model, onnx], training=trained, message="A note."),
        tmp_path,
        Console(file=text, width=100),
    )
    printed = text.getvalue()
    assert "0.9877" in printed
    assert "3 epochs, 30 steps on 2 workers (cpu) in 10.0 s, stopped early" in printed
    assert "A note." in printed
    for name in ("model.safetensors", "model.onnx"):
        assert f"{tmp_path}/{name}" in printed.replace("\n", "")


@pytest.mark.parametrize(
    ("world", "each", "said"),
    [(1, 1, "on 1 worker (cpu)"), (8, 8, "on 1 worker of 8 processes"), (4, 2, "on 2 workers of 2 processes")],
)
def test_the_report_says_on_how_many_workers_and_processes(world: int, each: int, said: str, tmp_path: Path) -> None:
    text = io.StringIO()
    ended = result(world_size=world, processes=each, training=TrainingSummary(epochs_run=3, steps=30))
    print_report(ended, tmp_path, Console(file=text, width=100))
    assert said in text.getvalue()


def test_the_report_shows_what_a_function_of_ones_own_reported(tmp_path: Path) -> None:
    text = io.StringIO()
    trained = TrainingSummary(entrypoint="a:b")
    print_report(
        result(metrics=Metrics(reported={"my_score": 0.5}), training=trained), tmp_path, Console(file=text, width=100)
    )
    assert re.search(r"my_score\W+0\.5000", text.getvalue())
    assert "model.safetensors" not in text.getvalue()


@pytest.mark.parametrize(
    "name", ["[/b]", "[red]", "a [link=http://x]b", "\x1b[2J\x1b[31m", "\u202eabc", "a\nb", "x" * 500]
)
def test_names_of_columns_and_metrics_are_shown_as_they_are_and_steer_no_terminal(name: str, tmp_path: Path) -> None:
    column = Column(name=name, kind="number", why=name, stats=ColumnStats(rows=3))
    profile = Profile(source=name, rows=3, columns=[column], column_count=1, warnings=[name], notes=[name])
    told = DataSummary(task="regression", rows={}, input_shape=[1], content_hash="0", scaling="none", profile=profile)
    ended = result(message=f"Column {name} was left out.", metrics=Metrics(reported={name: 0.5}), data=told)
    text = io.StringIO()
    console = Console(file=text, width=2000, color_system=None)
    print_report(ended, tmp_path, console)
    with Terminal(console, job().spec) as terminal:
        terminal.note(f"Warning: {name}")
    shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in name)
    assert f"Column {shown} was left out." in text.getvalue()
    assert f"Warning: {shown}" in text.getvalue()
    assert text.getvalue().count(shown[:400]) >= 5
    assert text.getvalue().replace("\n", "").isprintable()
