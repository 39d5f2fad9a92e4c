"""A run of a trainer without any workers, and a sink that keeps what it tells: what tests of a run's children share."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.ray.runtime import Head
from headway_trainer.reporter import Reporter
from headway_trainer.run import Run, Surroundings


class Heard:
    """A sink that keeps what was told."""

    def __init__(self) -> None:
        self.files: list[wire.ProgressFile] = []

    def update(self, progress: wire.ProgressFile) -> None:
        """Keep it."""
        self.files.append(progress)

    def close(self) -> None:
        """Nothing is left."""


def made_run(
    folder: Path, spec: dict[str, Any], *, attempt: int = 1, gpus: int = 0, cores: int = 0
) -> tuple[Run, Heard]:
    """A run of a spec whose files are in a folder, and what hears of it; gpus and cores: what is lent to it."""
    sink = Heard()
    file = wire.RunFile(
        namespace="n",
        name="x",
        uid="u",
        attempt=attempt,
        storage_uri=str(folder / "run"),
        spec=TrainingJobSpec.model_validate(spec),
    )
    head = Head(temp_dir=str(folder))
    around = Surroundings(head=head, sink=sink, stop=threading.Event(), note=lambda _: None, gpus=gpus, cores=cores)
    return Run(file, around, Reporter(file, sink, lambda _: None)), sink
