"""Writes `report.md` and its plots beside the result."""

from __future__ import annotations

import hashlib

from headway_trainer.report.front_plot import front_plot
from headway_trainer.report.markdown import render
from headway_trainer.report.model import Artifact, RunResult
from headway_trainer.report.plots import confusion_plot, loss_plot
from headway_trainer.report.tuning_curves import curves_plot
from headway_trainer.report.tuning_plots import best_plot, parallel_plot, slices_plot
from headway_trainer.storage import Store

REPORT_FILE = "report.md"
LOSS_PLOT = "plots/loss.png"
CONFUSION_PLOT = "plots/confusion.png"
TUNING_PLOTS = {
    "plots/tuning-front.png": ("Trials by two objectives, and their front", front_plot),
    "plots/tuning-best.png": ("Trials and the best so far", best_plot),
    "plots/tuning-curves.png": ("The metric over epochs, of each trial", curves_plot),
    "plots/tuning-slices.png": ("Trials by each parameter", slices_plot),
    "plots/tuning-parallel.png": ("Trials through all parameters", parallel_plot),
}
"""By path: the title, and what draws it."""


def write_report(store: Store, result: RunResult) -> list[Artifact]:
    """Write report.md and plots/*.png into the run's folder. Raises StorageError."""
    plots = {LOSS_PLOT: loss_plot(result), CONFUSION_PLOT: confusion_plot(result)}
    if result.tuning is not None:
        plots |= {path: draw(result.tuning) for path, (_, draw) in TUNING_PLOTS.items()}
    files = {path: data for path, data in plots.items() if data is not None}
    tuning = [(title, path) for path, (title, _) in TUNING_PLOTS.items() if path in files]
    report = render(result, loss=LOSS_PLOT in files, confusion=CONFUSION_PLOT in files, tuning=tuning).encode()
    artifacts = [_write(store, "plot", path, data) for path, data in files.items()]
    return [*artifacts, _write(store, "report", REPORT_FILE, report)]


def _write(store: Store, name: str, path: str, data: bytes) -> Artifact:
    store.write(path, data)
    return Artifact(name=name, path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
