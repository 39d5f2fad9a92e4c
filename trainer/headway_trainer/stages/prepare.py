"""The rows: read, checked, divided, transformed and written, once for all attempts.

What it leaves is `data/info.json`, which has the digests of the arrays beside it, and of what they came from.
"""

from __future__ import annotations

from headway_api import quantities
from headway_api.data import Data
from headway_api.job import TrainingJobSpec
from headway_api.model import tokens_of
from headway_api.pods import Workers
from headway_trainer.data import DataInfo, prepare
from headway_trainer.data.preparation import source_changes
from headway_trainer.data.read.memory import limit_bytes
from headway_trainer.errors import UserError
from headway_trainer.process_resources import at_once
from headway_trainer.report.gates import of_another_task
from headway_trainer.run import Run
from headway_trainer.stages.compare import Compare
from headway_trainer.stages.stage import Results
from headway_trainer.storage import Store


class Prepare:
    """Prepares the data."""

    name = "prepare"

    def spec(self, job: TrainingJobSpec) -> Data | None:
        """What the model learns from."""
        return job.data

    def run(self, spec: Data, run: Run, before: Results) -> DataInfo:
        """Prepare the rows, or find those of the attempt before.

        Raises UserError where a gate compares with a run that has learnt something else.
        """
        with run.reporter.alive_meanwhile():
            _tell_of_changes(spec, run)
            info = prepare_rows(run, run.spec, run.store, retrain=_retrains(run))
        standards = before.get(Compare)
        other = of_another_task(standards, info.task) if standards is not None else None
        if other is not None:  # the file alone does not tell what a target is
            raise UserError(other)
        for sentence in info.warnings:
            run.reporter.warn(sentence)
        return info


def _retrains(run: Run) -> bool:
    """Whether the run's own model learns from the rows by which trials are compared."""
    return run.spec.tuning is not None and run.spec.tuning.final == "retrain"


def prepare_rows(run: Run, spec: TrainingJobSpec, store: Store, *, retrain: bool = False) -> DataInfo:
    """Prepare the rows of a run, or of a trial of it, or find those that were prepared before.

    spec: the run's, or the trial's. store: the folder they belong to. retrain: as of `prepare`. Raises UserError, and
    StorageError.
    """
    if spec.data is None:
        raise ValueError("there is nothing to prepare")
    around = run.around
    return prepare(
        spec.data,
        seed=spec.seed,
        store=store,
        tokens=tokens_of(spec.model),
        retrain=retrain,
        volume_dir=around.data_volume_dir,
        secret_dir=around.data_secret_dir,
        fence=run.fence,
        processes=_workers_of_one(run.spec).world_size,
        fold_processes=_workers_of_one(run.spec, folds=True).world_size,
        process_memory=_process_memory(run),
    )


def _workers_of_one(job: TrainingJobSpec, *, folds: bool = False) -> Workers:
    """The workers that a model is trained on, or that of a fold: those of a trial, where there are trials."""
    if job.tuning is not None:
        return job.tuning.workers_of_one(job.workers)
    divided = (job.data.split.folds if job.data is not None and folds else None) or 1
    return job.workers.model_copy(update={"replicas": job.workers.for_each_of(divided)})


def _process_memory(run: Run) -> int | None:
    """Bytes that each training process has: its share of what its pod may take, or of this machine."""
    workers, limit = run.spec.workers, limit_bytes()
    if run.file.uid:
        return int(quantities.parse(workers.resources.memory)) // at_once(run.spec)
    return None if limit is None else limit // (workers.replicas * at_once(run.spec))


def _tell_of_changes(spec: Data, run: Run) -> None:
    """Tell people where the source is not what the rows of this run were prepared from."""
    folders = (run.around.data_volume_dir, run.around.data_secret_dir)
    tokens = tokens_of(run.spec.model)
    change = source_changes(
        spec, seed=run.spec.seed, store=run.store, tokens=tokens, retrain=_retrains(run), folders=folders
    )
    if change is not None:
        run.reporter.warn(
            f"The source has changed since the rows of this run were prepared ({change}): it goes on with those "
            f"rows; {run.begin_anew} takes the new ones."
        )
