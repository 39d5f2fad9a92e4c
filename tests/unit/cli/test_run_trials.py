"""What `headway run` prints of trials: while they run, and at the end."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.status import BestTrial, Progress, RunningTrial, TuningStatus
from headway_cli.run_report import print_report
from headway_cli.run_terminal import Terminal, progress_line, trial_lines
from headway_trainer.report.model import RunResult
from headway_trainer.report.tuning_model import Retrained, TrialResult, TuningResult

SPEC = TrainingJobSpec.model_validate(
    {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "mlp"}, "training": {"epochs": 4}}
)
BEST = BestTrial(trial=2, value="0.98", parameters={"training.optimizer.lr": "0.01", "model.options.hidden": "[64]"})
RUNNING = [RunningTrial(trial=5, epoch=3, value="0.9"), RunningTrial(trial=6)]


def told(progress: dict[str, Any], **tuning: Any) -> wire.ProgressFile:
    status = TuningStatus.model_validate({"metric": "validation/accuracy", "planned": 12, **tuning})
    return wire.ProgressFile(attempt=1, progress=Progress.model_validate(progress), tuning=status)


TRAINING = {"stage": "Training", "scope": "trial-5, trial-6 (4 of 12 done)", "percent": 40, "eta_seconds": 9}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (told({"stage": "Preparing"}, running=1), "0 of 12 trials have ended (1 running)"),
        (told({"stage": "Training"}, running=2, waiting=6), "0 of 12 trials have ended (2 running, 6 waiting)"),
        (told({"stage": "Training"}, waiting=8), "0 of 12 trials have ended (8 waiting)"),
        (
            told(TRAINING, running=2, completed=1, stopped=2, failed=1, best=BEST),
            "4 of 12 trials have ended (2 running, 1 completed, 2 stopped, 1 failed)  best validation/accuracy 0.98 "
            "(trial 2)  40%  ETA 9s",
        ),
        (told(TRAINING, completed=3), "3 of 12 trials have ended (3 completed)  40%  ETA 9s"),
        (told({"stage": "Evaluating"}, completed=12, best=BEST), "Evaluating"),
        (told({"stage": "Publishing", "scope": "trial-5"}, completed=12, best=BEST), "Publishing"),
        (told({"stage": "Training", "step": 7}, completed=12), "step 7"),
    ],
)
def test_the_progress_line_tells_how_many_trials_have_ended_and_the_best(file: wire.ProgressFile, line: str) -> None:
    assert progress_line(file, None) == line


def test_a_terminal_has_a_line_for_each_trial_that_runs_and_the_best_ones_parameters() -> None:
    assert trial_lines(told(TRAINING, running=2, running_trials=RUNNING, best=BEST)) == [
        "  trial 5  epoch 3  validation/accuracy 0.9",
        "  trial 6",
        "  best: training.optimizer.lr 0.01, model.options.hidden [64]",
    ]
    assert trial_lines(told({"stage": "Evaluating"}, completed=12, best=BEST)) == []
    many = [RunningTrial(trial=number) for number in range(1, 16)]
    assert len(trial_lines(told(TRAINING, running=15, running_trials=many))) == 8


def test_a_log_gets_one_line_a_trial_that_has_ended() -> None:
    text = io.StringIO()
    with Terminal(Console(file=text, width=200), SPEC) as terminal:
        for ended in (0, 0, 1, 1, 1, 2):
            terminal.update(told(TRAINING, running=2, completed=ended))
    assert [line.split(" of ")[0] for line in text.getvalue().splitlines()] == ["0", "1", "2"]


def test_what_a_tenant_writes_cannot_steer_the_terminal() -> None:
    text = io.StringIO()
    evil = BEST.model_copy(update={"parameters": {"model.name": '"\x07\u202e[bold]'}})
    with Terminal(Console(file=text, force_terminal=True, width=200), SPEC) as terminal:
        terminal.update(told(TRAINING, running=2, best=evil))
    assert "\x07" not in text.getvalue()
    assert "\u202e" not in text.getvalue()
    assert "[bold]" in text.getvalue()


def test_the_end_tells_the_best_trials_parameters_and_how_many_trials_there_were(tmp_path: Any) -> None:
    tuning = TuningResult(
        metric="validation/accuracy",
        better="max",
        parameters={"training.optimizer.lr": "logUniform", "model.name": "choice"},
        search="tpe",
        ended="all 3 trials have begun",
        counts={"completed": 2, "failed": 1},
        epochs=1234,
        seconds=5,
        best=2,
        trials=[
            TrialResult(
                number=2,
                parameters={"training.optimizer.lr": 0.01, "model.name": "[red]mlp\x1b"},
                state="completed",
                value=0.98,
            )
        ],
    )
    result = RunResult(
        job="small",
        outcome="Succeeded",
        seed=1,
        world_size=2,
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:01:00Z",
        duration_seconds=60.0,
        tuning=tuning,
    )
    text = io.StringIO()
    print_report(result, tmp_path, Console(file=text, width=120))
    said = text.getvalue()
    assert "small: the best trial, 2: validation/accuracy 0.9800" in " ".join(said.split())
    assert "training.optimizer.lr │ 0.01" in said
    assert "model.name            │ [red]mlp\\u001b" in said
    assert "Trials: 3: 2 completed, 1 failed; 1,234 epochs." in said
    assert "trained again" not in said
    tuning = tuning.model_copy(update={"retrained": Retrained(rows=90, epochs=7)})
    print_report(result.model_copy(update={"tuning": tuning}), tmp_path, Console(file=text, width=300))
    assert "The model is not the best trial's: it was trained again for 7 epochs" in text.getvalue()
