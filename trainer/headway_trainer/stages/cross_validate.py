"""K-fold cross-validation: a model for each fold, each a child of the run, before the one that is kept is trained.

The method is as old as Stone, 1974, "Cross-Validatory Choice and Assessment of Statistical Predictions"; each fold's
model is stopped and chosen by its own fold, and judged on it (docs/decisions/0080).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from headway_api.data import Split
from headway_api.job import TrainingJobSpec
from headway_trainer.data import DataInfo
from headway_trainer.data.prepared import by_scope, forget, prepared_folds
from headway_trainer.errors import UserError
from headway_trainer.report.model import CrossValidation, FoldResult, MetricValues
from headway_trainer.run import Run
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.stage import Results
from headway_trainer.stages.train import Train, trained
from headway_trainer.training.checkpoints.store import FOLDER as CHECKPOINTS
from headway_trainer.training.link import TrainEnd


class CrossValidate:
    """Trains and judges the folds' models."""

    name = "crossValidate"

    def spec(self, job: TrainingJobSpec) -> Split | None:
        """How the rows are divided; none without folds."""
        return job.data.split if job.data is not None and job.has_folds else None

    def run(self, spec: Split, run: Run, before: Results) -> CrossValidation:  # noqa: ARG002 - the rows are divided
        """Train the folds that no attempt before has finished: as many at once as the workers suffice for."""
        folds = by_scope(prepared_folds(run.store))
        workers = run.spec.workers.for_each_of(len(folds))
        children = [run.child(scope, workers=workers) for scope in folds]
        whole = before.get(Prepare)
        run.reporter.expect(_weights(run, folds | ({"": whole} if whole is not None else {})))
        ends = run.side_by_side(children, lambda child: _fold(child, folds[child.scope]), workers=workers)
        results = [_told(*one) for one in zip(folds.items(), ends, strict=True)]
        return CrossValidation(folds=results, **over_folds([one.metrics for one in results]))


def _weights(run: Run, infos: dict[str, DataInfo]) -> dict[str, int]:
    """The optimiser steps that each training will take, about."""
    spec = Train().spec(run.spec).training
    return {scope: spec.epochs * math.ceil(info.rows["train"] / spec.batch_size) for scope, info in infos.items()}


def _fold(child: Run, info: DataInfo) -> TrainEnd:
    """Train and judge a fold's model; of it nothing stays but what there is to tell.

    Raises UserError, which names the fold.
    """
    spec = Train().spec(child.spec)
    try:
        end = trained(spec, info, child)
    except UserError as error:
        raise UserError(f"{child.scope}: {error}") from error
    finally:
        child.steps.close()
    child.fence()
    forget(child.store)
    child.store.delete(CHECKPOINTS)
    return end


def _told(fold: tuple[str, DataInfo], end: TrainEnd) -> FoldResult:
    name, info = fold
    return FoldResult(
        name=name,
        rows={part: info.rows[part] for part in ("train", "validation")},
        epochs_run=end.epochs_run,
        steps=end.step,
        early_stopped=end.early_stopped,
        best_epoch=end.kept.epoch if end.kept is not None else None,
        metrics=end.metrics.get("validation", {}),
    )


def over_folds(metrics: Sequence[MetricValues]) -> dict[str, MetricValues]:
    """The mean and the standard deviation (n - 1) of each metric over the folds; none where a fold has no value.

    metrics: of each fold, by name.
    """
    mean: MetricValues = {}
    deviation: MetricValues = {}
    for name in dict.fromkeys(name for one in metrics for name in one):
        values = [one.get(name) for one in metrics]
        known = [value for value in values if value is not None]
        whole = len(known) == len(values)
        mean[name] = math.fsum(known) / len(known) if whole else None
        deviation[name] = statistics.stdev(known) if whole and len(known) > 1 else None
    return {"mean": mean, "standard_deviation": deviation}
