"""A run of a trainer without any workers, a sink that keeps what it tells, and the run's end in the middle of a write:
what tests of a run's children share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.ray.runtime import Head
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.reporter import Reporter
from headway_trainer.run import Run, Surroundings
from headway_trainer.stages import Prepare, Results, Tune
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainEnd
from training_runs import Killed, data_info


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


def is_killed_at_write(work: Callable[[], object], number: int) -> bool:
    """Whether the work has so many writes to a store; it is killed in the middle of the last of them."""
    writes, lock, open_output = 0, threading.Lock(), Store.open_output

    @contextlib.contextmanager
    def counted(self: Store, path: str, *, durable_name: bool = True) -> Iterator[BinaryIO]:
        nonlocal writes
        with open_output(self, path, durable_name=durable_name) as stream:
            yield stream
            if not path.startswith("progress"):  # written by a thread of its own
                with lock:
                    writes += 1
                if writes >= number:
                    raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "open_output", counted)
        try:
            work()
        except Killed:
            return True
    return False


def tuned(run: Run, trainer: Callable[[Run, object], TrainEnd], *, rows: str | None = None) -> TuningResult:
    """What the search of a run comes to. trainer: stands for the workers. rows: identifies the content of its rows."""
    info = data_info(100, 50)
    results = Results()
    results.add(Prepare(), info if rows is None else info.model_copy(update={"content_hash": rows}))

    def on_workers(child: Run, function: object) -> TrainEnd:
        return trainer(child, function)

    assert run.spec.tuning is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "on_workers", on_workers)
        return Tune().run(run.spec.tuning, run, results)
