"""The final evaluation of a model on one part, with torchmetrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import nn

from headway_api.base import StatusSection
from headway_api.training import Precision
from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.evaluation.running import as_targets, loss_function
from headway_trainer.training.precision import autocast

if TYPE_CHECKING:
    from torchmetrics import Metric

CONFUSION_MATRIX = "confusionMatrix"
METRICS = {
    "classification": ("accuracy", "precision", "recall", "f1", "specificity", CONFUSION_MATRIX),
    "regression": ("mse", "mae"),
}
"""The metrics that fit each task, beside the loss, which is always there."""
JUDGED_ROWS = 1024
"""The outputs of so many rows are judged at once."""
_ALONE: dict[str, Any] = {"sync_on_compute": False}
"""Without it, torchmetrics would wait for all workers of a process group, which take no part here."""


class Evaluation(StatusSection):
    """How good a model is on one part."""

    scalars: dict[str, float] = Field(default_factory=dict)
    """The metrics by name; precision, recall, f1 and specificity are macro averages."""
    confusion_matrix: list[list[int]] | None = None
    """Rows of the class (first index) that were predicted as the class (second index)."""


def chosen_metrics(info: DataInfo, metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics to compute: all that fit the task where none is named. Raises UserError for one that does not."""
    fitting = METRICS[info.task]
    for index, name in enumerate(metrics or ()):
        if name not in fitting:
            raise UserError(
                f"evaluation.metrics[{index}]: {name} does not fit {info.task}, which has {', '.join(fitting)}: "
                "take it out, or set data.task"
            )
    return tuple(metrics) if metrics else fitting


def evaluate(
    model: nn.Module,
    info: DataInfo,
    parts: Iterable[tuple[torch.Tensor, torch.Tensor]],
    *,
    metrics: Sequence[str] | None = None,
    batch_size: int = JUDGED_ROWS,
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Judge the model on the rows of all parts (x, y), one after the other; it is left in the mode that it was in.

    It takes batch_size rows at once, in the precision: as many as in training, and the memory that did there does here.
    No process but the caller's takes part, whatever group of workers there is.
    Raises UserError for a metric that does not fit the task.
    """
    names = chosen_metrics(info, metrics)
    mean_loss = loss_function(info)
    computed = _metrics(info, names, device)
    loss, rows = 0.0, 0
    was_training = model.training
    batches = _Batches(model.to(device).eval(), info, batch_size, precision, torch.device(device))
    try:
        with torch.inference_mode():
            for outputs, labels in _joined(batches.of(parts)):
                loss += float(mean_loss(outputs, labels)) * len(labels)
                rows += len(labels)
                for metric in computed.values():
                    metric.update(outputs, labels)
    finally:
        model.train(was_training)
    if rows == 0:
        return Evaluation()
    values = {name: metric.compute() for name, metric in computed.items()}
    matrix = values.pop(CONFUSION_MATRIX, None)
    return Evaluation(
        scalars={"loss": loss / rows} | {name: float(value) for name, value in values.items()},
        confusion_matrix=None if matrix is None else matrix.tolist(),
    )


class _Batches:
    """A model's outputs, batch by batch; in smaller batches from where the GPU's memory did not do for one."""

    def __init__(self, model: nn.Module, info: DataInfo, size: int, precision: Precision, device: torch.device) -> None:
        self._model, self._size, self._precision, self._device = model, size, precision, device
        self._targets = info.task == "regression"

    def of(self, parts: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The outputs, as fp32 and in the labels' shape where they are numbers, and the labels; on the device."""
        for x, y in parts:
            start = 0
            while start < len(y):
                stop = min(start + self._size, len(y))
                outputs = self._outputs(x[start:stop])
                if outputs is None:
                    self._size = (stop - start) // 2
                    torch.cuda.empty_cache()
                    continue
                labels = y[start:stop].to(self._device)
                yield as_targets(outputs, labels) if self._targets else outputs, labels
                start = stop

    def _outputs(self, x: torch.Tensor) -> torch.Tensor | None:
        try:
            with autocast(self._precision, self._device):
                outputs: torch.Tensor = self._model(x.to(self._device))
            return outputs.float()
        except torch.OutOfMemoryError:
            if len(x) == 1:
                raise
            return None


def _joined(batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of at least JUDGED_ROWS rows, but for the last: metrics cost about as much for one row as for many."""
    waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(y) for _, y in waiting) >= JUDGED_ROWS:
            yield _concatenated(waiting)
            waiting = []
    if waiting:
        yield _concatenated(waiting)


def _concatenated(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    outputs, labels = zip(*batches, strict=True)
    return torch.cat(outputs), torch.cat(labels)


def _metrics(info: DataInfo, names: Sequence[str], device: torch.device | str) -> dict[str, Metric]:
    from torchmetrics import MeanAbsoluteError, MeanSquaredError
    from torchmetrics import classification as by_class

    classes = info.outputs
    makers: dict[str, Callable[[], Metric]] = {
        "accuracy": lambda: by_class.MulticlassAccuracy(classes, average="micro", **_ALONE),
        "precision": lambda: by_class.MulticlassPrecision(classes, average="macro", **_ALONE),
        "recall": lambda: by_class.MulticlassRecall(classes, average="macro", **_ALONE),
        "f1": lambda: by_class.MulticlassF1Score(classes, average="macro", **_ALONE),
        "specificity": lambda: by_class.MulticlassSpecificity(classes, average="macro", **_ALONE),
        CONFUSION_MATRIX: lambda: by_class.MulticlassConfusionMatrix(classes, **_ALONE),
        "mse": lambda: MeanSquaredError(**_ALONE),
        "mae": lambda: MeanAbsoluteError(**_ALONE),
    }
    return {name: makers[name]().to(device) for name in names}
