"""Writes `report.md` and its plots beside the result."""

from __future__ import annotations

import hashlib

from headway_trainer.report.markdown import render
from headway_trainer.report.model import Artifact, RunResult
from headway_trainer.report.plots import confusion_plot, loss_plot
from headway_trainer.storage import Store

REPORT_FILE = "report.md"
LOSS_PLOT = "plots/loss.png"
CONFUSION_PLOT = "plots/confusion.png"


def write_report(store: Store, result: RunResult) -> list[Artifact]:
    """Write report.md and plots/*.png into the run's folder. Raises StorageError."""
    plots = {LOSS_PLOT: loss_plot(result), CONFUSION_PLOT: confusion_plot(result)}
    files = {path: data for path, data in plots.items() if data is not None}
    report = render(result, loss=LOSS_PLOT in files, confusion=CONFUSION_PLOT in files).encode()
    artifacts = [_write(store, "plot", path, data) for path, data in files.items()]
    return [*artifacts, _write(store, "report", REPORT_FILE, report)]


def _write(store: Store, name: str, path: str, data: bytes) -> Artifact:
    store.write(path, data)
    return Artifact(name=name, path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
