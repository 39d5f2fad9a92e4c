"""What `headway run` prints at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from headway_trainer.report.model import RunResult

SPLITS = ("train", "validation", "test")


def print_report(result: RunResult, folder: Path, console: Console) -> None:
    """The metrics by part, how it was trained, and where the files are."""
    table = Table(title=f"{result.job}: the model that was kept")
    table.add_column("metric")
    columns = {"train": result.metrics.train, "validation": result.metrics.validation, "test": result.metrics.test}
    for split in SPLITS:
        rows = result.data.rows.get(split) if result.data else None
        table.add_column(f"{split}\n({rows} rows)" if rows is not None else split, justify="right")
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    for name in names:
        shown = [_shown(columns[split].get(name)) for split in SPLITS]
        table.add_row(name, *shown)
    console.print(table)
    training = result.training
    early = ", stopped early" if training.early_stopped else ""
    console.print(
        f"{training.epochs_run} epochs, {training.steps} steps on {result.world_size} workers ({training.device}) "
        f"in {result.duration_seconds:.1f} s{early}",
        highlight=False,
    )
    if result.message:
        console.print(result.message, highlight=False)
    shown_folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    for name in ("report.md", "result.json", "model.safetensors"):
        console.print(f"  {shown_folder / name}", highlight=False)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
