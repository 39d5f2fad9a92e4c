"""A pipeline without Ray, whose workers, clock and training a test plays."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headway_api import wire
from headway_api.bundle import FileDigest
from headway_api.job import TrainingJobSpec
from headway_trainer.data.info import DataInfo
from headway_trainer.export.record import Export, staged
from headway_trainer.pipeline import Pipeline
from headway_trainer.progress import Nowhere
from headway_trainer.ray.runtime import Head
from headway_trainer.report.model import RunResult
from headway_trainer.run import Run, Surroundings
from headway_trainer.stages import Prepare, Results
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import MODEL_FILE, Checkpoints, Manifest, now
from headway_trainer.training.link import TrainEnd

SPEC = TrainingJobSpec.model_validate(
    {
        "data": {"source": {"builtin": {"name": "digits"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 1},
        "workers": {"replicas": 2},
    }
)


class Pods(Head):
    """A head without Ray: workers come as a test says."""

    def __init__(self, temp_dir: Path, places: list[int]) -> None:
        super().__init__(temp_dir=str(temp_dir))
        self.looks = 0
        self._places = places

    def _connect(self) -> None:
        """There is nothing to connect to."""

    def wait_for_processes(self, count: int, deadline: float) -> int:  # noqa: ARG002 - as Head's
        self.looks += 1
        return self._places[min(self.looks, len(self._places)) - 1]


class World:
    """A pipeline, whose clock a test turns."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[int]) -> None:
        self.head, self.stop, self.ready = Pods(tmp_path, places), threading.Event(), threading.Event()
        file = wire.RunFile(namespace="n", name="x", uid="u", storage_uri=str(tmp_path / "run"), spec=SPEC)
        self.said: list[wire.Outcome] = []
        around = Surroundings(
            head=self.head,
            sink=Nowhere(),
            stop=self.stop,
            note=lambda _: None,
            ready=self.ready.set,
            succeeded=self.said.append,
        )
        self.pipeline = Pipeline(file, around)
        self.store = Store.open(file.storage_uri)
        self.now = time.monotonic()
        monkeypatch.setattr("headway_trainer.run.time.monotonic", self.clock)

    def change(self, **fields: Any) -> None:
        """Give the run another spec, or other fields."""
        spec = self.pipeline.file.spec.model_copy(update=fields.pop("spec", {}))
        self.pipeline.file = self.pipeline.file.model_copy(update={"spec": spec, **fields})

    def run(self) -> Run:
        """The run as its stages see it."""
        return Run(self.pipeline.file, self.pipeline.around, self.pipeline.reporter)

    def prepare(self, attempt: int = 1) -> DataInfo:
        """Prepare the data as the pipeline does."""
        run = self.run()
        run.checkpoints = Checkpoints(run.store, attempt)
        assert run.spec.data is not None
        return Prepare().run(run.spec.data, run, Results())

    def execute(self) -> tuple[RunResult, wire.Outcome]:
        """Run the pipeline to its end; what is kept of it, and its last word."""
        try:
            return self.pipeline.execute()
        finally:
            self.head._stopping.set()

    def clock(self) -> float:
        """Half a second passes at each look."""
        self.now += 0.5
        return self.now


ONNX = Export(file=FileDigest(name=staged(1), sha256=hashlib.sha256(b"onnx").hexdigest(), size_bytes=4))
"""A model that was exported and checked."""


def trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training has left the one checkpoint that is published."""

    def train(run: Run, _: object) -> TrainEnd:
        checkpoints = run.checkpoints
        (part,) = checkpoints.write_parts(7, {MODEL_FILE: lambda: [b"weights"]})
        manifest = Manifest(step=7, epoch=1, batch=0, attempt=run.file.attempt, world_size=2, time=now(), files=[part])
        status = checkpoints.commit(manifest)
        return TrainEnd(finished=True, step=7, epochs_run=1, chosen=manifest.name, checkpoint=status)

    monkeypatch.setattr(Run, "on_workers", train)


def exporting(monkeypatch: pytest.MonkeyPatch, export: Export | None, content: bytes = b"onnx") -> None:
    """Training has also left an exported model where the export puts it."""
    trained(monkeypatch)
    train: Any = Run.on_workers

    def with_export(run: Run, function: object) -> TrainEnd:
        run.store.write(staged(1), content)
        metrics: dict[str, dict[str, Any]] = {"test": {"accuracy": 0.9}}
        end: TrainEnd = train(run, function)
        return end.model_copy(update={"export": export, "metrics": metrics})

    monkeypatch.setattr(Run, "on_workers", with_export)
