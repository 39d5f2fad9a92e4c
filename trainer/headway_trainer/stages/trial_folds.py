"""Cross-validation inside a trial: a model for each fold, one after the other on the trial's workers.

The trial's value is the mean over the folds (docs/decisions/0096). What the best trial's folds came to is kept for the
stage that tells of the folds, which trains none of them again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence

from headway_api import wire
from headway_trainer.data import DataInfo
from headway_trainer.data.prepared import CHILDREN, fold_folder, fold_scope
from headway_trainer.errors import NotFound, UserError
from headway_trainer.kept_results import kept_path
from headway_trainer.run import Run
from headway_trainer.stages.train import Train, trained
from headway_trainer.stages.trial_ends import value_of
from headway_trainer.training.checkpoints.store import FOLDER as CHECKPOINTS
from headway_trainer.training.link import TrainEnd
from headway_trainer.tuning.events import Ended


def train_folds(
    trial: Run, folds: Mapping[str, DataInfo], rows_uri: str, begins: Callable[[Run], None]
) -> list[TrainEnd]:
    """Train the folds that no attempt before has finished; what each came to.

    folds: by scope, in order. rows_uri: the folder of the run that has the folds' rows. begins: is called with each
    fold's run before it is trained. Raises UserError, which names the fold, and what ends a training.
    """
    ends: list[TrainEnd] = []
    for number, (scope, info) in enumerate(folds.items(), 1):
        fold = trial.child(scope, workers=trial.spec.workers.replicas)
        fold.rows_uri, fold.stop, fold.pool = wire.below(rows_uri, fold_folder(number)), trial.stop, trial.pool
        begins(fold)
        try:
            ends.append(trained(Train().spec(fold.spec), info, fold))
        except UserError as error:
            raise UserError(f"{scope}: {error}") from error
        finally:
            fold.steps.close()
            fold.reporter.ended(fold.scope)
        fold.fence()
        fold.store.delete(CHECKPOINTS)
    return ends


def of_folds(number: int, metric: str, ends: Sequence[TrainEnd]) -> Ended:
    """How a trial ended whose folds came to this: with the mean of their values. number: of the trial."""
    values = [value_of(end, metric) for end in ends]
    known = [value for value in values if value is not None]
    ended = Ended(trial=number, state="completed", epochs=sum(end.epochs_run for end in ends), folds=values)
    if len(known) < len(values):
        message = f"{fold_scope(values.index(None) + 1)}: {metric} was no finite number after any epoch"
        return ended.model_copy(update={"state": "failed", "cause": "NotANumber", "message": message})
    return ended.model_copy(update={"value": math.fsum(known) / len(known)})


def keep_folds(run: Run, trial: str, count: int) -> None:
    """Let what the folds of a trial came to be what the run's own folds did: they are of the same spec and rows.

    trial: the scope of the trial, which has ended. Raises StorageError.
    """
    its = run.store.child(CHILDREN, trial)
    for path in (kept_path(Train.name, fold_folder(number)) for number in range(1, count + 1)):
        with contextlib.suppress(NotFound):  # a fold of which nothing is kept is trained again
            kept = its.read(path)
            run.fence()
            run.store.write(path, kept)
