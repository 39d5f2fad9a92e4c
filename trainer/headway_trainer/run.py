"""A run, as its stages see it: what it is asked to do, where its files are, whom it tells, and its workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.model import estimator_of
from headway_trainer.outcome import Interrupted, Lost
from headway_trainer.process_resources import cores_short, gpus_for_each, gpus_unused, idle_beside, threads
from headway_trainer.progress import Sink
from headway_trainer.ray.runtime import Head
from headway_trainer.reporter import Reporter
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.last_step import StepKeeper
from headway_trainer.training.checkpoints.store import Checkpoints, now
from headway_trainer.training.link import TrainEnd

if TYPE_CHECKING:
    from headway_trainer.ray.train_stage import TrainingStage

log = logging.getLogger("headway.run")


@dataclass(frozen=True)
class Surroundings:
    """Where a run takes place."""

    head: Head
    sink: Sink
    stop: threading.Event
    """Set when the run is asked to stop."""
    note: Callable[[str], None]
    """Takes a sentence for people."""
    ready: Callable[[], None] = lambda: None
    """Called when Ray's head is up."""
    succeeded: Callable[[wire.Outcome], None] = lambda _: None
    """Takes the last word of a run that has succeeded."""
    gpus: int = 0
    """GPUs that the training processes can have, all together."""
    cores: int = 0
    """Cores that are lent to the training processes, all together; 0 where they have what the job asks for."""
    storage_secret_dir: str | None = None
    data_secret_dir: str = wire.DATA_SECRET_DIR
    data_volume_dir: str = wire.DATA_VOLUME_DIR
    results_uri: str | None = None
    """The folder in which the finished runs of other jobs are; none for the one that holds this run's own."""
    code_dir: str | None = None
    """A folder of the user's code, which training processes put on their path; none where PYTHONPATH has it."""

    @property
    def code(self) -> str:
        """Where the user's code is, if there is any."""
        return self.code_dir or wire.CODE_DIR


class Run:
    """One attempt of a run."""

    def __init__(self, file: wire.RunFile, around: Surroundings, reporter: Reporter) -> None:
        """Raises UserError for a storage that cannot be meant, and StorageError."""
        self.file, self.around, self.reporter = file, around, reporter
        self.started, self.began = now(), time.monotonic()
        """When this attempt began: for people, and to tell how long it took."""
        self.store = Store.open(file.storage_uri, around.storage_secret_dir)
        self.checkpoints = Checkpoints(self.store, file.attempt)
        self.steps = StepKeeper(self.store, file.attempt)
        """Knows the last step of the attempt before, and keeps that of this one."""

    @property
    def spec(self) -> TrainingJobSpec:
        """What the run is asked to do."""
        return self.file.spec

    @property
    def begin_anew(self) -> str:
        """How a user begins anew, in words."""
        return "a job of another name" if self.file.uid else "headway run --fresh"

    @property
    def threads(self) -> int:
        """What each training process computes with on the CPU."""
        return threads(self.spec.workers, self.around.cores)

    def fence(self) -> None:
        """Raise StorageError if a newer attempt has claimed the run: then nothing may be written or deleted here."""
        self.checkpoints.refuse_if_fenced()

    def on_workers(self, function: Callable[[TrainingStage], TrainEnd]) -> TrainEnd:
        """Call a function of `ray.train_stage` once all workers have joined; what it returns.

        Raises what it raises, Lost where the workers do not come in time, and Interrupted when a stop was asked for.
        """
        with self.reporter.alive_meanwhile():
            # torch and Ray Train take seconds to import: while Ray starts.
            from headway_trainer.ray.train_stage import TrainingStage

            self.around.head.wait()
        self._await_workers()
        log.info("%d workers have joined", self.spec.workers.replicas)
        workers, estimator = self.spec.workers, estimator_of(self.spec.model)
        unused = idle_beside(estimator, workers) if estimator else gpus_unused(workers, self.around.gpus)
        for sentence in (unused, cores_short(workers, self.around.cores)):
            if sentence is not None:
                self.reporter.warn(sentence)
        return function(
            TrainingStage(
                run=self.file,
                store=self.store,
                secret_dir=self.around.storage_secret_dir,
                code_dir=self.around.code_dir,
                gpus=0 if estimator else gpus_for_each(workers, self.around.gpus),
                threads=self.threads,
                stop=self.around.stop,
                on_progress=lambda progress: self.reporter.progress(progress, self.steps),
                note=self.around.note,
                alive=self.reporter.alive,
                warn=self.reporter.warn,
            )
        )

    def _await_workers(self) -> None:
        """Wait for all workers. They had the time of preparing, too, so the deadline may well have no work to do."""
        wanted, processes = self.spec.workers.replicas, self.spec.workers.processes_each
        seconds = self.spec.scheduling.startup_deadline_seconds
        deadline = time.monotonic() + seconds
        while not self.around.stop.is_set():
            self.reporter.alive()
            there = self.around.head.wait_for_processes(wanted * processes, time.monotonic() + 1) // processes
            if there >= wanted:
                return
            if time.monotonic() > deadline:
                raise Lost(f"{there} of {wanted} workers came within {seconds} seconds", memory=False)
        raise Interrupted("stopped before training began")
