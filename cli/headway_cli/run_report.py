"""What `headway run` prints at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headway_api.wording import printable
from headway_cli.profile_table import print_profile

if TYPE_CHECKING:
    from headway_trainer.report.model import CrossValidation, RunResult, TrainingSummary
    from headway_trainer.report.tuning_model import TuningResult

_FIRST_FILES = ("model", "onnx", "trials")
"""The artifacts that people look for first."""


def print_report(result: RunResult, folder: Path, console: Console) -> None:
    """The metrics by part, or those that a training function reported; how it was trained; where the files are."""
    columns = {"train": result.metrics.train, "validation": result.metrics.validation, "test": result.metrics.test}
    if any(columns.values()):
        console.print(_by_part(result, columns))
    if result.tuning is not None:
        _print_tuning(result.tuning, result.job, console)
    if result.cross_validation is not None:
        console.print(_by_fold(result.cross_validation, result.job))
    if result.metrics.reported:
        console.print(_reported(result))
    if result.data is not None and result.data.profile.columns:
        print_profile(result.data.profile, console)
    training = result.training
    early = ", stopped early" if training.early_stopped else ""
    done = _done(training)
    workers = f"{_workers(result)} ({training.device})"
    console.print(f"{done} on {workers} in {result.duration_seconds:.1f} s{early}", highlight=False, markup=False)
    if training.kept is not None:
        from headway_trainer.report.markdown import described

        console.print(f"The model that was kept: {described(training.kept)}.", highlight=False, markup=False)
    if result.message:
        console.print(printable(result.message), highlight=False, markup=False)
    shown_folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    for name in ("report.md", "result.json", *(one.path for one in result.artifacts if one.name in _FIRST_FILES)):
        console.print(f"  {shown_folder / name}", highlight=False, markup=False)


def _workers(result: RunResult) -> str:
    count = result.world_size // result.processes
    workers = f"{count} worker{'s' if count > 1 else ''}"
    return workers if result.processes == 1 else f"{workers} of {result.processes} processes"


def _done(training: TrainingSummary) -> str:
    if training.entrypoint is not None:
        return "trained"
    if training.iterations is not None:
        return f"fitted in one process{f', {training.iterations} iterations' if training.iterations else ''}"
    return f"{training.epochs_run} epochs, {training.steps} steps"


def _by_part(result: RunResult, columns: dict[str, dict[str, float | None]]) -> Table:
    table = Table(title=f"{result.job}: the model that was kept")
    table.add_column("metric")
    for split in columns:
        rows = result.data.rows.get(split) if result.data else None
        table.add_column(f"{split}\n({rows} rows)" if rows is not None else split, justify="right")
    for name in dict.fromkeys(name for values in columns.values() for name in values):
        table.add_row(name, *(_shown(values.get(name)) for values in columns.values()))
    return table


def _print_tuning(tuning: TuningResult, job: str, console: Console) -> None:
    from headway_trainer.report.tuning import (
        best_trial,
        broken_told,
        counts_told,
        parameter_names,
        repeats_told,
        retrained_told,
        spread_told,
        value_told,
    )

    best = best_trial(tuning)
    if best is not None:
        shown = _shown(best.value) if best.deviation is None else spread_told(best)
        table = Table(title=f"{job}: the best trial, {best.number}: {tuning.metric} {shown}")
        table.add_column("parameter", overflow="fold")
        table.add_column("value", overflow="fold")
        for name in parameter_names(tuning):
            if name in best.parameters:
                table.add_row(escape(printable(name)), escape(printable(value_told(best.parameters[name]))))
        console.print(table, highlight=False)
    epochs = f"; {tuning.epochs:,} epochs" if tuning.epochs else ""
    if tuning.front_trials:
        said = f"The front has {tuning.front_trials:,} {'trial' if tuning.front_trials == 1 else 'trials'}, by"
        console.print(printable(f"{said} {' and '.join(one.metric for one in tuning.objectives)}."), markup=False)
    if (broken := broken_told(tuning)) is not None:
        console.print(printable(broken), highlight=False, markup=False)
    told = f"Trials: {counts_told(tuning.counts)}{epochs}. The search ended, as {tuning.ended}."
    console.print(printable(told), highlight=False, markup=False)
    if repeats_told(tuning):
        console.print(repeats_told(tuning), highlight=False, markup=False)
    if tuning.retrained is not None:
        console.print(retrained_told(tuning.retrained), highlight=False, markup=False)


def _by_fold(folds: CrossValidation, job: str) -> Table:
    table = Table(title=f"{job}: {len(folds.folds)}-fold cross-validation")
    table.add_column("metric")
    for title in ("mean", "standard deviation", "lowest", "highest"):
        table.add_column(title, justify="right")
    for name, mean in folds.mean.items():
        values = [value for one in folds.folds if (value := one.metrics.get(name)) is not None]
        ends = (min(values), max(values)) if values else (None, None)
        table.add_row(name, *(_shown(value) for value in (mean, folds.standard_deviation.get(name), *ends)))
    return table


def _reported(result: RunResult) -> Table:
    table = Table(title=f"{result.job}: what the training function reported last")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in result.metrics.reported.items():
        table.add_row(escape(printable(name)), _shown(value))
    return table


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
