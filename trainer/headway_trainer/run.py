"""A run, as its stages see it: what it is asked to do, where its files are, whom it tells, and its workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.data.prepared import CHILDREN
from headway_trainer.outcome import Interrupted, Lost
from headway_trainer.process_resources import (
    ALONE,
    Sharing,
    cores_short,
    gpus_for_each,
    gpus_unused,
    idle_beside,
    processes_can_stay,
    shared,
    threads,
)
from headway_trainer.progress import Sink
from headway_trainer.ray.pool import WorkerGroupPool
from headway_trainer.ray.runtime import Head
from headway_trainer.registry import estimator_name
from headway_trainer.reporter import Reporter
from headway_trainer.resolve_names import resolve_names
from headway_trainer.seeds import child_seed
from headway_trainer.side_by_side import side_by_side
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.last_step import StepKeeper
from headway_trainer.training.checkpoints.store import Checkpoints, now
from headway_trainer.training.link import Compared

if TYPE_CHECKING:
    from headway_trainer.ray.train_stage import TrainingStage

log = logging.getLogger("headway.run")
Value = TypeVar("Value")


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
    sharing: Sharing = ALONE
    """With how many trials a trial shares a worker."""
    storage_secret_dir: str | None = None
    data_secret_dir: str = wire.DATA_SECRET_DIR
    signing_secret_dir: str = wire.SIGNING_SECRET_DIR
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
    """One attempt of a run: the job's own (scope ""), or that of a child, such as a fold.

    A child is a run in all respects: it has a folder of its own in its parent's, with rows, checkpoints and results of
    stages; seeds, keys in Ray's key-value store and names in progress of its own; and it can be stopped by itself.
    """

    def __init__(self, file: wire.RunFile, around: Surroundings, reporter: Reporter, *, scope: str = "") -> None:
        """Raises UserError for a storage that cannot be meant, and StorageError."""
        self.file, self.around, self.reporter, self.scope = file, around, reporter, scope
        self.stop = threading.Event() if scope else around.stop
        """Set when this run is asked to stop."""
        self.pool: WorkerGroupPool | None = None
        """Where its training processes come from, and stay for a run beside it; none if they are its own."""
        self.rows_uri: str | None = None
        """Of a trial, the folder of the run whose rows it learns from; none where the rows are its own."""
        self.compared: Compared | None = None
        """Of a trial, how it is compared with others while it is trained."""
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

    def resolve_names(self) -> None:
        """Find what the spec names in this image. Raises UserError."""
        self.file = self.file.model_copy(update={"spec": resolve_names(self.spec)})

    @property
    def begin_anew(self) -> str:
        """How a user begins anew, in words."""
        return "a job of another name" if self.file.uid else "headway run --fresh"

    @property
    def threads(self) -> int:
        """What each training process computes with on the CPU."""
        return threads(self.spec.workers, self.around.cores)

    def child(self, scope: str, *, workers: int, on_each: int = 1, spec: TrainingJobSpec | None = None) -> Run:
        """A run beside this one, for so many of its workers. scope: its name, for example `fold-1`.

        on_each: how many such children share each worker, which then is one. spec: of a trial, what it is asked to do
        with this run's rows; without it the child has this run's, with a seed and rows of its own. It takes this
        attempt's place in the child's folder: no older attempt can commit there any more. Raises StorageError.
        """
        each = self.spec.workers if on_each == 1 else self.spec.workers.shared_by(on_each)
        each = each.model_copy(update={"replicas": workers})
        own = {"seed": child_seed(self.spec.seed, scope)} if spec is None else {}
        spec = (spec or self.spec).model_copy(update={"workers": each, **own})
        uri = wire.below(self.file.storage_uri, f"{CHILDREN}/{scope}")
        file = self.file.model_copy(update={"storage_uri": uri, "spec": spec})
        child = Run(file, self._share(workers, on_each), self.reporter, scope=f"{self.scope}/{scope}".lstrip("/"))
        child.rows_uri = None if own else self.file.storage_uri
        child.checkpoints.claim()
        return child

    def become(self, spec: TrainingJobSpec, *, on_each: int = 1) -> None:
        """Go on with another spec, for as many of this run's workers as it has. on_each: as of a child."""
        self.around = self._share(spec.workers.replicas, on_each)
        self.file = self.file.model_copy(update={"spec": spec})

    def _share(self, workers: int, on_each: int = 1) -> Surroundings:
        """What so many of the workers have of the machine, or one of so many children that share a worker."""
        all_of_them = self.spec.workers.replicas
        gpus, cores = self.around.gpus * workers // all_of_them, self.around.cores * workers // all_of_them
        if on_each == 1:
            return replace(self.around, gpus=gpus, cores=cores)
        own, sharing = shared(self.spec.workers, on_each, gpus)
        return replace(self.around, gpus=own, cores=max(1, cores // on_each) if cores else 0, sharing=sharing)

    def side_by_side(
        self,
        children: Iterable[Run],
        work: Callable[[Run], Value],
        *,
        workers: int,
        on_each: int = 1,
        most: int | None = None,
        turn: Callable[[], None] = lambda: None,
        stay: bool = False,
    ) -> list[Value]:
        """What work gives for each child of so many workers: as many at once as this run's suffice for, without another
        Ray, with `on_each` on a worker, and no more than `most`. Each child is asked for when there is room for it.
        turn: is called now and then.

        When one raises, or a stop is asked for, the others are stopped, too, and take a checkpoint. Raises what the
        first one has raised. The training processes of one that has ended take the next one; stay: and in the end this
        run itself, which then has as many workers.
        """
        room = max(1, self.spec.workers.replicas * on_each // workers)
        pool = WorkerGroupPool()

        def pooled() -> Iterator[Run]:
            for child in children:
                child.pool = pool if processes_can_stay(child.spec) else None
                yield child

        def alive() -> None:
            self.reporter.alive()
            turn()

        try:
            values = side_by_side(pooled(), work, at_once=min(room, most or room), stop=self.stop, alive=alive)
        except BaseException:
            pool.close()
            raise
        if stay:
            self.pool = pool
        else:
            pool.close()
        return values

    def fence(self) -> None:
        """Raise StorageError if a newer attempt has claimed the run: then nothing may be written or deleted here."""
        self.checkpoints.refuse_if_fenced()

    def on_workers(self, function: Callable[[TrainingStage], Value]) -> Value:
        """Call a function of `ray.train_stage` once all workers have joined; what it returns.

        Raises what it raises, Lost where the workers do not come in time, and Interrupted when a stop was asked for.
        """
        with self.reporter.alive_meanwhile():
            # torch and Ray Train take seconds to import: while Ray starts.
            from headway_trainer.ray.train_stage import TrainingStage

            self.around.head.wait()
        self._await_workers()
        log.info("%d workers have joined", self.spec.workers.replicas)
        workers, estimator = self.spec.workers, estimator_name(self.spec.model)
        unused = idle_beside(estimator, workers) if estimator else gpus_unused(workers, self.around.gpus)
        for sentence in (unused, cores_short(workers, self.around.cores)):
            if sentence is not None and not self.scope:
                self.reporter.warn(sentence)
        return function(
            TrainingStage(
                run=self.file,
                store=self.store,
                secret_dir=self.around.storage_secret_dir,
                code_dir=self.around.code_dir,
                gpus=0 if estimator else gpus_for_each(workers, self.around.gpus),
                threads=self.threads,
                stop=self.stop,
                on_progress=lambda progress: self.reporter.progress(progress, self.steps, self.scope),
                note=self.around.note,
                alive=self.reporter.alive,
                warn=self.reporter.warn,
                scope=self.scope,
                pool=self.pool,
                sharing=self.around.sharing,
                rows_uri=self.rows_uri,
                compared=self.compared,
            )
        )

    def _await_workers(self) -> None:
        """Wait for all workers. They had the time of preparing, too, so the deadline may well have no work to do."""
        wanted, processes = self.spec.workers.replicas, self.spec.workers.processes_each
        seconds = self.spec.scheduling.startup_deadline_seconds
        deadline = time.monotonic() + seconds
        while not self.stop.is_set():
            self.reporter.alive()
            there = self.around.head.wait_for_processes(wanted * processes, time.monotonic() + 1) // processes
            if there >= wanted:
                return
            if time.monotonic() > deadline:
                raise Lost(f"{there} of {wanted} workers came within {seconds} seconds", memory=False)
        raise Interrupted("stopped before training began")
