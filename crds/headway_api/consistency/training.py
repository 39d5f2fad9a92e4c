"""The model and the loop against the data and the workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.facts import facts, own_loop, task_of
from headway_api.metrics import NUMBERS
from headway_api.model import MODELS, Rows, estimator_of
from headway_api.training import Optimizer

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_PLURAL: dict[Rows, str] = {"table": "tables", "image": "images", "series": "series"}
_HELD: dict[Rows, str] = {"table": "a table", "image": "images", "series": "series to forecast"}


def model_of_other_rows(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A model that cannot take what the source holds."""
    entry = MODELS.get(spec.model.name or "") if spec.model is not None else None
    if spec.data is None or spec.model is None or entry is None or own_loop(spec):
        return
    known = facts(spec.data)
    if known.rows is not None and known.rows not in entry.takes:
        fitting = [name for name, other in MODELS.items() if known.rows in other.takes]
        yield BrokenRule(
            f"{spec.model.name} is for {' and '.join(_PLURAL[rows] for rows in sorted(entry.takes))}, but {known.name}"
            f" holds {_HELD[known.rows]}: write {' or '.join(fitting)}, or give other data",
            ("model", "name"),
        )


def model_of_another_task(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A model that cannot learn what is to be learnt."""
    entry = MODELS.get(spec.model.name or "") if spec.model is not None else None
    task = task_of(spec)
    if spec.model is None or entry is None or task is None or own_loop(spec) or task in entry.tasks:
        return
    if spec.data is not None and facts(spec.data).rows not in (None, *entry.takes):
        return  # it cannot take the rows either, which is told there
    fitting = [name for name, other in MODELS.items() if task in other.tasks]
    yield BrokenRule(
        f"{spec.model.name} is for {' and '.join(sorted(entry.tasks))}, but data.task is {task}: write"
        f" {' or '.join(fitting)}, or correct data.task",
        ("model", "name"),
    )


def batch_without_a_row_for_each(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Fewer rows a step than training processes."""
    if spec.training is None or own_loop(spec) or estimator_of(spec.model) is not None:
        return
    size, workers = spec.training.batch_size, spec.workers
    if size < workers.world_size:
        several = workers.processes_each > 1
        who = f"{workers.world_size} training processes" if several else f"{workers.replicas} workers"
        pods = f" ({workers.replicas} pods of {workers.processes_each})" if several else ""
        yield BrokenRule(
            f"{size} rows a step are fewer than the {who}{pods}, and each needs a row: write at least"
            f" {workers.world_size}, or lower workers.replicas{' or workers.processes' if several else ''}",
            ("training", "batchSize"),
        )


def momentum_of_adamw(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A momentum that nothing reads."""
    if spec.training is None or own_loop(spec) or estimator_of(spec.model) is not None:
        return
    optimizer = spec.training.optimizer
    if optimizer.name != "sgd" and optimizer.momentum != Optimizer().momentum:
        yield BrokenRule(
            f"momentum is for sgd, and {optimizer.name} has none: take it out, or set optimizer.name to sgd",
            ("training", "optimizer", "momentum"),
        )


def class_weights_without_classes(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Weights of classes where numbers are learnt."""
    if spec.training is None or own_loop(spec):
        return
    task = task_of(spec)
    if spec.training.class_weights == "balanced" and task in NUMBERS:
        what = "a forecast" if task == "forecasting" else f"a {task}"
        yield BrokenRule(
            f"balanced is for classes, and {what} has none: take it out, or set data.task to classification",
            ("training", "classWeights"),
        )


CHECKS = (
    model_of_other_rows,
    model_of_another_task,
    batch_without_a_row_for_each,
    momentum_of_adamw,
    class_weights_without_classes,
)
