"""The model and the loop against the data and the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.facts import facts, own_loop, task_of
from headway_api.consistency.known import OWN, Known
from headway_api.metrics import RECONSTRUCTION
from headway_api.model import Rows, TransformerOptions, estimator_of, parse_options
from headway_api.training import Optimizer

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_ROWS: Mapping[Rows, str] = MappingProxyType(
    {"table": "tables", "image": "images", "series": "series", "tokens": "tables with a column of text"}
)
"""How messages call what a model takes."""
_HELD: Mapping[Rows, str] = MappingProxyType(
    {"table": "a table", "image": "images", "series": "series to forecast", "tokens": "texts"}
)
"""How messages call what a source holds."""


def model_of_other_rows(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A model that cannot take what the source holds."""
    entry = known.models.get(spec.model.name or "") if spec.model is not None else None
    if spec.data is None or spec.model is None or entry is None or own_loop(spec):
        return
    source = facts(spec.data)
    if source.may_hold and not source.may_hold & entry.takes:
        held = source.may_hold if source.rows is None else {source.rows}
        fitting = [name for name, other in known.models.items() if held & other.takes]
        yield BrokenRule(
            f"{spec.model.name} is for {' and '.join(_ROWS[rows] for rows in sorted(entry.takes))}, but {source.name}"
            f" holds {_HELD[source.rows] if source.rows is not None else 'arrays of numbers'}: write"
            f" {' or '.join(fitting)}, or give other data",
            ("model", "name"),
        )


def model_of_another_task(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A model that cannot learn what is to be learnt."""
    entry = known.models.get(spec.model.name or "") if spec.model is not None else None
    task = task_of(spec)
    if spec.data is None or spec.model is None or entry is None or own_loop(spec):
        return
    if entry.tasks == RECONSTRUCTION and spec.data.task is None:
        yield BrokenRule(
            f"{spec.model.name} is for reconstruction, which is never guessed: set data.task to reconstruction, and"
            " name no target",
            ("model", "name"),
        )
        return
    if task is None or task in entry.tasks:
        return
    may_hold = facts(spec.data).may_hold
    if may_hold and not may_hold & entry.takes:
        return  # it cannot take the rows either, which is told there
    fitting = [name for name, other in known.models.items() if task in other.tasks]
    yield BrokenRule(
        f"{spec.model.name} is for {' and '.join(sorted(entry.tasks))}, but data.task is {task}: write"
        f" {' or '.join(fitting)}, or correct data.task",
        ("model", "name"),
    )


def heads_without_equal_shares(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Attention heads that do not divide the width."""
    if spec.model is None or spec.model.name != "transformer":
        return
    options = parse_options("transformer", spec.model.options)
    if isinstance(options, TransformerOptions) and options.width % options.heads:
        fitting = next(heads for heads in range(options.heads, 0, -1) if options.width % heads == 0)
        yield BrokenRule(
            f"{options.heads} heads cannot have equal shares of the width {options.width}: write heads: {fitting}, or a"
            f" width that is a multiple of {options.heads}",
            ("model", "options", "heads" if "heads" in spec.model.options else "width"),
        )


def batch_without_a_row_for_each(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Fewer rows a step than training processes."""
    if spec.training is None or own_loop(spec) or estimator_of(spec.model, known.models) is not None:
        return
    size, workers, pods_field = spec.training.batch_size, spec.workers, "workers.replicas"
    if spec.tuning is not None:
        again = spec.tuning.final == "retrain" or spec.has_folds
        workers = (spec.tuning.workers_of_final if again else spec.tuning.workers_of_one)(workers)
        pods_field = "tuning.workersPerTrial"
    if size < workers.world_size:
        several = workers.processes_each > 1
        who = f"{workers.world_size} training processes" if several else f"{workers.replicas} workers"
        pods = f" ({workers.replicas} pods of {workers.processes_each})" if several else ""
        yield BrokenRule(
            f"{size} rows a step are fewer than the {who}{pods}, and each needs a row: write at least"
            f" {workers.world_size}, or lower {pods_field}{' or workers.processes' if several else ''}",
            ("training", "batchSize"),
        )


def momentum_of_adamw(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A momentum that nothing reads."""
    if spec.training is None or own_loop(spec) or estimator_of(spec.model, known.models) is not None:
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
    if spec.training.class_weights == "balanced" and task not in (None, "classification"):
        what = "a forecast" if task == "forecasting" else f"a {task}"
        yield BrokenRule(
            f"balanced is for classes, and {what} has none: take it out, or set data.task to classification",
            ("training", "classWeights"),
        )


OF_NAMES = (model_of_other_rows, model_of_another_task, batch_without_a_row_for_each, momentum_of_adamw)
"""Those that what is known of names decides."""
CHECKS = (*OF_NAMES, heads_without_equal_shares, class_weights_without_classes)
