"""The stages of a run, one after the other: data, training, evaluation, result. It is the same under `headway run` and
in a head pod; what differs is handed in."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from headway_api import wire
from headway_api.model import Model
from headway_api.pods import Workers
from headway_api.status import Result
from headway_api.training import Training
from headway_trainer import publish
from headway_trainer.data import DataInfo, prepare
from headway_trainer.data.preparation import forget, source_changes
from headway_trainer.errors import GateFailed, UserError
from headway_trainer.export.record import ModelInfo, Provenance
from headway_trainer.fetch_code import resolved_commit
from headway_trainer.outcome import Interrupted, Lost, Verdict, bounded_warnings
from headway_trainer.progress import Sink, to_file
from headway_trainer.ray.runtime import Head
from headway_trainer.registry import MODELS
from headway_trainer.report.gates import failed, judge
from headway_trainer.report.model import DataSummary, Metrics, ModelSummary, RunResult, TrainingSummary
from headway_trainer.run_record import RunRecord, changed_modules, module_digests, read_record, write_record
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.last_step import StepKeeper
from headway_trainer.training.checkpoints.store import MODEL_FILE, RAY_FOLDER, RAY_RUN, Checkpoints, now
from headway_trainer.training.link import TrainEnd, TrainProgress
from headway_trainer.training.threads import threads

log = logging.getLogger("headway.pipeline")

HEARTBEAT_SECONDS = wire.HEARTBEAT_SECONDS - 15
"""When a driver with nothing new says that it is alive: early enough for the patch to come in time."""
BEAT_SECONDS = 5.0


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
    code_dir: str | None = None
    """A folder of the user's code, which training processes put on their path; none where PYTHONPATH has it."""


@dataclass
class Told:
    """What is known of a run so far: for the Outcome, however it ends."""

    progress: wire.ProgressFile
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What people should know of the data and the model: the status has it as `warnings`."""
    result: Result | None = None
    """What is published, if anything is."""


def gpus_for_each(workers: Workers, there: int) -> int:
    """GPUs to lend to each training process: those that the job asks for, or as many as there are for each."""
    return min(max(1, workers.resources.gpu), there // workers.replicas)


def gpus_unused(workers: Workers, there: int) -> str | None:
    """Why GPUs that are there, or were asked for, are not used, in a sentence for people; none if all are."""
    if there == 0:
        asked = workers.resources.gpu > 0
        return "The job asks for GPUs, and this machine has none: it trains on the CPU." if asked else None
    each = gpus_for_each(workers, there)
    if each == 0:
        return (
            f"This machine's GPUs ({there}) are not used, as each of the {workers.replicas} workers needs one of its "
            f"own: it trains on the CPU. Set workers.replicas to {there} to use them."
        )
    if (used := each * workers.replicas) < there:
        return f"The job uses {used} of this machine's {there} GPUs: more workers (workers.replicas) would use more."
    return None


class Pipeline:
    """One attempt of a run."""

    def __init__(self, run: wire.RunFile, surroundings: Surroundings) -> None:
        self.run = run
        self.around = surroundings
        self.told = Told(wire.ProgressFile(uid=run.uid, attempt=run.attempt))
        self._began = time.monotonic()
        self._started = now()
        self._keeper: StepKeeper | None = None
        self._told_at = time.monotonic()

    def execute(self) -> tuple[RunResult, wire.Outcome]:
        """Run all stages. Raises UserError, StorageError, Lost, Interrupted, and GateFailed once all is published."""
        self.around.head.start(self._head_up)
        store = Store.open(self.run.storage_uri, self.around.storage_secret_dir)
        self._keeper = StepKeeper(store, self.run.attempt)
        checkpoints = Checkpoints(store, self.run.attempt)
        try:
            return self._execute(store, checkpoints)
        except UserError:
            self._drop_rows_of_the_last_attempt(store, checkpoints)
            raise

    def _execute(self, store: Store, checkpoints: Checkpoints) -> tuple[RunResult, wire.Outcome]:
        assert self._keeper is not None  # noqa: S101 - set before any stage
        with self._alive_meanwhile():
            checkpoints.claim()
            self._compare_code(store, checkpoints)
            info = self._prepare(store, checkpoints)
            # torch and Ray Train take seconds to import: while Ray starts.
            from headway_trainer.ray import train_stage as _stage  # noqa: F401

            self.around.head.wait()
        self._await_workers()
        log.info("%d workers have joined", self.run.spec.workers.replicas)
        end = self._train(store, info)
        self._tell_stage("Publishing")
        self._keeper.close()
        with self._alive_meanwhile():
            result, last_word = self._publish(store, checkpoints, info, end)
        failure = failed(result.gates)
        if failure is None:
            self.around.succeeded(last_word)
        # Not before: a next attempt would need it, and what goes wrong with it is no failure of the run.
        try:
            checkpoints.refuse_if_fenced()
            publish.tidy(store)
        except Exception:
            log.warning("what only an unfinished run needs was left there", exc_info=True)
        if failure is not None:
            raise GateFailed(failure)
        return result, last_word

    def _head_up(self) -> None:
        """Called in the head's thread: how long the data takes says nothing of whether the pods came up in time."""
        log.info("Ray's head is up")
        self.around.ready()

    def last_word(self, verdict: Verdict) -> wire.Outcome:
        """The Outcome of an attempt that did not succeed."""
        told = self.told.progress
        return wire.Outcome(
            uid=self.run.uid,
            attempt=self.run.attempt,
            outcome="Interrupted" if verdict.exit_code == wire.EXIT_INTERRUPTED else "Failed",
            cause=verdict.cause,
            message=" ".join([verdict.message, *(each for each in self.told.notes if each not in self.told.warnings)]),
            progress=told.progress,
            checkpoint=told.checkpoint,
            resumed_from_step=told.resumed_from_step,
            steps_lost=told.steps_lost,
            result=self.told.result,
            warnings=bounded_warnings(self.told.warnings),
        )

    def _prepare(self, store: Store, checkpoints: Checkpoints) -> DataInfo | None:
        data, model = self.run.spec.data, self.run.spec.model
        if model is not None and model.name is not None:
            MODELS.check(model.name)  # before hours of reading: the file alone does not tell what the image holds
        if data is None:
            return None
        seed, folders = self.run.spec.seed, (self.around.data_volume_dir, self.around.data_secret_dir)
        if (change := source_changes(data, seed=seed, store=store, folders=folders)) is not None:
            self.warn(
                f"The source has changed since the rows of this run were prepared ({change}): it goes on with those "
                f"rows; {self._begin_anew} takes the new ones."
            )
        info = prepare(
            data,
            seed=seed,
            store=store,
            volume_dir=self.around.data_volume_dir,
            secret_dir=self.around.data_secret_dir,
            fence=checkpoints.refuse_if_fenced,
        )
        for sentence in info.warnings:
            self.warn(sentence)
        return info

    @property
    def _begin_anew(self) -> str:
        return "a job of another name" if self.run.uid else "headway run --fresh"

    def _compare_code(self, store: Store, checkpoints: Checkpoints) -> None:
        """Tell people where the code of their own that goes on is not the code that began."""
        training, model = self.run.spec.training, self.run.spec.model
        if not (training and training.entrypoint) and not (model and model.entrypoint):
            return
        before, now_there = read_record(store), module_digests(self.around.code_dir or wire.CODE_DIR)
        change = None if before is None else changed_modules(before.code, now_there)
        if change is not None and (checkpoints.reached() is not None or store.exists(f"{RAY_FOLDER}/{RAY_RUN}")):
            self.warn(
                f"The code has changed since this run's last attempt ({change}): it goes on from the newest checkpoint "
                f"with the code of now; {self._begin_anew} begins anew."
            )
        write_record(store, RunRecord(code=now_there))

    def _drop_rows_of_the_last_attempt(self, store: Store, checkpoints: Checkpoints) -> None:
        """Leave no copy of the training data where no attempt follows. A local run may go on, and keeps it."""
        if not self.run.uid or self.run.spec.retry.user_error > 0:
            return
        try:
            checkpoints.refuse_if_fenced()
            forget(store)
        except Exception:
            log.warning("the prepared rows were left there", exc_info=True)

    def _await_workers(self) -> None:
        """Wait for all workers. They had the time of preparing, too, so the deadline may well have no work to do."""
        wanted = self.run.spec.workers.replicas
        seconds = self.run.spec.scheduling.startup_deadline_seconds
        deadline = time.monotonic() + seconds
        while not self.around.stop.is_set():
            self._alive()
            places = self.around.head.wait_for_workers(wanted, time.monotonic() + 1)
            if places >= wanted:
                return
            if time.monotonic() > deadline:
                raise Lost(f"{places} of {wanted} workers came within {seconds} seconds", memory=False)
        raise Interrupted("stopped before training began")

    def _train(self, store: Store, info: DataInfo | None) -> TrainEnd:
        from headway_trainer.ray.train_stage import TrainingStage, train, train_own

        if (sentence := gpus_unused(self.run.spec.workers, self.around.gpus)) is not None:
            self.warn(sentence)
        stage = TrainingStage(
            run=self.run,
            store=store,
            secret_dir=self.around.storage_secret_dir,
            code_dir=self.around.code_dir,
            gpus=gpus_for_each(self.run.spec.workers, self.around.gpus),
            threads=threads(self.run, self.around.cores),
            stop=self.around.stop,
            on_progress=self._on_progress,
            note=self.around.note,
            alive=self._alive,
            warn=self.warn,
        )
        if self.run.spec.training is not None and self.run.spec.training.entrypoint is not None:
            return train_own(stage, info)
        if info is None:
            raise UserError("set data: the built-in training has nothing to learn from")
        return train(stage, info)

    def warn(self, sentence: str) -> None:
        """Tell people a sentence that is no error; once is enough."""
        if sentence not in self.told.warnings:
            self.told.warnings.append(sentence)
            self.told.notes.append(sentence)
            self.around.note(sentence)

    def _on_progress(self, progress: TrainProgress) -> None:
        assert self._keeper is not None  # noqa: S101 - set before any stage
        for sentence in progress.notes:
            if sentence not in self.told.notes:
                self.told.notes.append(sentence)
                self.around.note(sentence)
        told = to_file(self.run, progress, self._keeper.take(progress))
        if not told.progress.metrics:
            kept = told.progress.model_copy(update={"metrics": self.told.progress.progress.metrics})
            told = told.model_copy(update={"progress": kept})
        self._tell(told)

    def _publish(
        self, store: Store, checkpoints: Checkpoints, info: DataInfo | None, end: TrainEnd
    ) -> tuple[RunResult, wire.Outcome]:
        # A driver that was thought dead, and comes back, may put nothing in the place of what its successor leaves.
        checkpoints.refuse_if_fenced()
        weights = None
        if end.chosen is not None:
            chosen = checkpoints.named(end.chosen)
            weights = checkpoints.copy(chosen, chosen.candidate.file, store, MODEL_FILE)
        artifacts = publish.publish_model(store, weights, end.export, self._model_info(info, end))
        if end.export is not None and end.export.problem is not None:
            self.warn(_sentence(end.export.problem))
        if not artifacts:
            self.warn(_without_model(end))
        checkpoints.refuse_if_fenced()
        result, own = publish.publish_result(store, self._result(info, end).model_copy(update={"artifacts": artifacts}))
        self.told.result = publish.to_status(store, result, own)
        outcome = wire.Outcome(
            uid=self.run.uid,
            attempt=self.run.attempt,
            outcome="Succeeded",
            message=" ".join(end.notes),
            progress=self.told.progress.progress,
            checkpoint=end.checkpoint,
            resumed_from_step=end.resumed_from_step,
            steps_lost=self.told.progress.steps_lost,
            result=self.told.result,
            warnings=bounded_warnings(self.told.warnings),
        )
        return result, outcome

    def _tell_stage(self, stage: str) -> None:
        progress = self.told.progress.progress.model_copy(update={"stage": stage, "update_time": now()})
        self._tell(self.told.progress.model_copy(update={"progress": progress}))

    def _tell(self, told: wire.ProgressFile) -> None:
        """Everything that is told carries a heartbeat."""
        warnings = bounded_warnings(self.told.warnings)
        self.told.progress = told.model_copy(update={"heartbeat_time": now(), "warnings": warnings})
        self._told_at = time.monotonic()
        self.around.sink.update(self.told.progress)

    def _alive(self) -> None:
        """Called at each turn of a loop of the driver's: so the heartbeat proves that it turns."""
        if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            self._tell(self.told.progress)

    @contextlib.contextmanager
    def _alive_meanwhile(self) -> Iterator[None]:
        """For work that has no loop of the driver's, and tells nothing: a thread proves that the process runs."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                self._alive()

        thread = threading.Thread(target=beat, name="headway-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _model_info(self, info: DataInfo | None, end: TrainEnd) -> ModelInfo:
        run, spec = self.run, self.run.spec
        read = spec.data.read if spec.data is not None else None
        return ModelInfo(
            model=spec.model,
            data=info,
            read=read.model_dump(mode="json", exclude_none=True, by_alias=True) if read is not None else {},
            signature=end.export.signature if end.export else None,
            parity=end.export.parity if end.export else None,
            provenance=Provenance(
                job=run.name,
                namespace=run.namespace or None,
                uid=run.uid or None,
                attempt=run.attempt,
                seed=spec.seed,
                code_commit=resolved_commit(self.around.code_dir or wire.CODE_DIR),
                image=spec.image,
                data_hash=info.content_hash if info else None,
                finished=now(),
                packages=publish.packages(),
            ),
        )

    def _warnings_of_the_run(self, info: DataInfo | None) -> list[str]:
        """Those that the data's profile does not hold."""
        known = info.warnings if info is not None else []
        return [sentence for sentence in self.told.warnings if sentence not in known]

    def _result(self, info: DataInfo | None, end: TrainEnd) -> RunResult:
        spec = self.run.spec
        training = spec.training or Training()
        metrics = Metrics.model_validate(end.metrics | {"by_target": end.by_target})
        gates = judge(spec.evaluation.gates or [], metrics)
        failure = failed(gates)
        return RunResult(
            job=self.run.name,
            namespace=self.run.namespace or None,
            uid=self.run.uid or None,
            outcome="Succeeded" if failure is None else "Failed",
            message=" ".join([*([failure] if failure else []), *end.notes, *self._warnings_of_the_run(info)]),
            seed=spec.seed,
            world_size=spec.workers.replicas,
            attempt=self.run.attempt,
            started=self._started,
            finished=now(),
            duration_seconds=round(time.monotonic() - self._began, 3),
            data=DataSummary.of(info) if info else None,
            model=_model_summary(spec.model, end.parameters),
            training=TrainingSummary(
                entrypoint=training.entrypoint,
                epochs_run=end.epochs_run if end.reports is None else None,
                steps=end.step if end.reports is None else end.own_steps,
                reports=end.reports,
                early_stopped=end.early_stopped,
                device=end.device,
                threads=threads(self.run, self.around.cores),
                precision_asked=training.precision,
                precision_used=end.precision_used,
                resumed_from_step=end.resumed_from_step,
                first_step_time=end.first_step_time,
                kept=end.kept,
                history=end.history,
            ),
            metrics=metrics,
            confusion_matrix=end.confusion_matrix,
            confusions=end.confusions,
            export=end.export.model_copy(update={"signature": None}) if end.export else None,
            gates=gates,
            checkpoint=end.checkpoint,
            environment=publish.environment(resolved_commit(self.around.code_dir or wire.CODE_DIR)),
        )


def _without_model(end: TrainEnd) -> str:
    """What a training function that has never called save_model leaves."""
    left = (
        "it reported no checkpoint either"
        if end.checkpoint is None
        else f"its newest checkpoint is {end.checkpoint.uri}"
    )
    return f"No model was saved, as the training function has not called headway_trainer.save_model; {left}."


def _model_summary(spec: Model | None, parameters: int | None) -> ModelSummary | None:
    if spec is None:
        return None
    return ModelSummary(name=spec.name, entrypoint=spec.entrypoint, options=spec.options, parameters=parameters)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
