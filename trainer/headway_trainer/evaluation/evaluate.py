"""The evaluation of a model on one part: the same at the end of each epoch and at the end of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from pydantic import Field

from headway_api.base import StatusSection
from headway_api.catalogue import of_another_package
from headway_trainer.data.batches import Batch
from headway_trainer.data.stored import StoredRows
from headway_trainer.errors import UserError
from headway_trainer.metrics import Metrics, Ranks
from headway_trainer.metrics.base import finite
from headway_trainer.metrics.classes import MATRIX_CLASSES, MOST_CONFUSIONS, ConfusionCounts
from headway_trainer.metrics.forecasts import ForecastErrors
from headway_trainer.metrics.packages import PackageValues
from headway_trainer.metrics.ranking import Ranking
from headway_trainer.programs import JudgedRows, Program
from headway_trainer.registry import package_metric
from headway_trainer.report.model import Confusion
from headway_trainer.tasks import Task
from headway_trainer.tasks.base import ForecastPrediction, ValuePrediction

JUDGED_ROWS = 1024
"""The outputs of so many rows are judged at once."""

JUDGED_NUMBERS = 1 << 22
"""So many outputs are judged at once, where rows have many."""


class Evaluation(StatusSection):
    """How good a model is on one part."""

    scalars: dict[str, float] = Field(default_factory=dict)
    """The loss and the metrics by name; NaN where one is undefined. Empty where there was no row."""
    by_target: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The metrics of each of several targets, by the target's name."""
    by_horizon: dict[str, list[float | None]] = Field(default_factory=dict)
    """Of a forecast, the mean absolute error of each step ahead, by the target's name, in its units."""
    confusion_matrix: list[list[int]] | None = None
    """Rows of the class (first index) that were predicted as the class (second index)."""
    confusions: list[Confusion] = Field(default_factory=list)
    """The most frequent ones, where there are too many classes for a matrix."""
    notes: list[str] = Field(default_factory=list)
    """What people should know of these numbers."""


@dataclass(frozen=True)
class Shard:
    """A rank's own rows of a part, and how many all ranks have."""

    x: torch.Tensor | StoredRows
    y: torch.Tensor
    rows: int
    weights: torch.Tensor | None = None
    """float32 (rows,); without them each row's loss counts 1."""


def chosen_metrics(task: Task, metrics: Sequence[str] | None, others: Sequence[str] = ()) -> tuple[str, ...]:
    """The metrics to compute: all of Headway's that fit the task where none is named, and others, which are named
    elsewhere in the spec, of other packages. Raises UserError for one that does not fit."""
    for name in dict.fromkeys((*(metrics or ()), *others)):
        if of_another_package(name):
            _refuse_other_task(task, name)
    for index, name in enumerate(metrics or ()):
        if name != "loss" and name not in task.metric_names and not of_another_package(name):
            raise UserError(
                f"evaluation.metrics[{index}]: {name} does not fit this {task.name} of {task.outputs} outputs, "
                f"which has {', '.join(('loss', *task.metric_names))}: take it out, or set data.task"
            )
    # The loss is always there.
    chosen = tuple(name for name in metrics if name != "loss") if metrics else task.metric_names
    return tuple(dict.fromkeys((*chosen, *others)))


def _refuse_other_task(task: Task, name: str) -> None:
    tasks = package_metric(name).tasks
    if task.name not in tasks:
        raise UserError(
            f"{name} is a metric of {' and '.join(sorted(tasks))}, and this is a {task.name}, which has"
            f" {', '.join(('loss', *task.metric_names))}: take it out, or set data.task"
        )


def evaluate(
    program: Program,
    shard: Shard,
    *,
    metrics: Sequence[str],
    ranks: Ranks,
    batch_size: int = JUDGED_ROWS,
    context: Callable[[], AbstractContextManager[None]] = nullcontext,
    device: torch.device | str = "cpu",
    feed: Callable[[torch.Tensor], torch.Tensor] | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Judge a program's model, which is left in the mode that it was in, on the rows of all ranks.

    Every rank has to call it with its own shard, which may be empty; each gets the same answer. It takes batch_size
    rows at once, each forward pass in the context: as in training, and the memory that did there does here. feed puts
    rows on the device as the model takes them (`data.batches.Feed`); without it they are as the model takes them.
    """
    device = torch.device(device)
    model, task = program.model, program.task
    judged = _metrics(task, metrics, rows=shard.rows, device=device)
    was_training = model.training
    model.to(device).eval()
    batches = _Batches(program, batch_size, context, device, feed or _as_it_is(device), after_batch)
    try:
        with torch.no_grad():
            for rows, weights in _joined(batches.of(shard)):
                judged.update(rows.outputs, rows.target, weights, rows.losses)
            judged.reduce(ranks)
    finally:
        model.train(was_training)
    return _told(judged, task, shard.rows)


def _metrics(task: Task, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:
    """The task's metrics of these names, and those of other packages."""
    judged = task.metrics([name for name in names if not of_another_package(name)], rows=rows, device=device)
    for name in names:
        if of_another_package(name):
            values = PackageValues(name, package_metric(name), task.compared)
            judged.add(name, values, values.value)
    return judged


def _told(judged: Metrics, task: Task, rows: int) -> Evaluation:
    scalars = judged.scalars()
    if not scalars:
        return Evaluation()
    prediction = task.prediction
    targets = prediction.targets if isinstance(prediction, ValuePrediction | ForecastPrediction) else []
    steps = judged.accumulators.get(ForecastErrors)
    ahead = steps.mae_by_step.T.tolist() if isinstance(steps, ForecastErrors) else []
    notes = []
    ranking = judged.accumulators.get(Ranking)
    if isinstance(ranking, Ranking) and not ranking.exact:
        notes.append(
            f"With {rows:,} rows of {task.outputs:,} classes, scores were counted in bins: rocAuc is exact to within "
            f"{float(ranking.mean('roc_auc_error')):.1g}, averagePrecision to within "
            f"{float(ranking.mean('average_precision_error')):.1g}."
        )
    confusions = judged.accumulators.get(ConfusionCounts)
    told = confusions.told() if isinstance(confusions, ConfusionCounts) else None
    if told is not None and told.matrix is None:
        notes.append(
            f"A confusion matrix has at most {MATRIX_CLASSES} classes, and these are {task.outputs:,}: "
            f"the {MOST_CONFUSIONS:,} most frequent confusions are told in its place."
        )
    return Evaluation(
        scalars=scalars,
        by_horizon=dict(zip(targets, map(_finite_list, ahead), strict=False)),
        by_target=dict(zip(targets, (finite(values) for values in judged.by_target()), strict=False)),
        confusion_matrix=told.matrix if told else None,
        confusions=[Confusion(actual=one, predicted=other, rows=rows) for one, other, rows in told.pairs]
        if told
        else [],
        notes=notes,
    )


_Rows = tuple[JudgedRows, torch.Tensor | None]
"""JudgedRows rows, and their weights, if they have some."""


def _finite_list(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


@dataclass
class _Batches:
    """What a program makes of rows, batch by batch; in smaller batches from where the GPU's memory did not do for
    one."""

    _program: Program
    _size: int
    _context: Callable[[], AbstractContextManager[None]]
    _device: torch.device
    _feed: Callable[[torch.Tensor], torch.Tensor]
    _after_batch: Callable[[], None]

    def of(self, shard: Shard) -> Iterator[_Rows]:
        """JudgedRows rows, with the outputs as fp32; on the device."""
        start = 0
        while start < len(shard.y):
            rows = slice(start, min(start + self._size, len(shard.y)))
            y = shard.y[rows].to(self._device)
            weights = None if shard.weights is None else shard.weights[rows].to(self._device)
            judged = self._judged(shard.x[rows], y, weights)
            if judged is None:
                self._size = (rows.stop - start) // 2
                torch.cuda.empty_cache()
                continue
            yield judged, weights
            self._after_batch()
            start = rows.stop

    def _judged(self, x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor | None) -> JudgedRows | None:
        try:
            with self._context():
                judged = self._program.judge(Batch(self._feed(x), y, weights))
            return judged._replace(outputs=judged.outputs.float())
        except torch.OutOfMemoryError:
            if len(x) == 1:
                raise
            return None


def _as_it_is(device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x.to(device)


def _joined(batches: Iterable[_Rows]) -> Iterator[_Rows]:
    """Batches of at least JUDGED_ROWS rows, but for the last: metrics cost about as much for one row as for many."""
    waiting: list[_Rows] = []
    rows = numbers = 0
    for batch in batches:
        waiting.append(batch)
        rows, numbers = rows + len(batch[0].outputs), numbers + batch[0].outputs.numel()
        if rows >= JUDGED_ROWS or numbers >= JUDGED_NUMBERS:
            yield _concatenated(waiting)
            waiting, rows, numbers = [], 0, 0
    if waiting:
        yield _concatenated(waiting)


def _concatenated(batches: list[_Rows]) -> _Rows:
    judged, weights = zip(*batches, strict=True)
    outputs, target, losses = zip(*judged, strict=True)
    together = JudgedRows(torch.cat(outputs), torch.cat(target), None if losses[0] is None else torch.cat(losses))
    return together, None if weights[0] is None else torch.cat(weights)
