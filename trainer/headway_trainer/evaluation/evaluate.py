"""The final evaluation of a model on one part, with torchmetrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import nn

from headway_api.base import StatusSection
from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.evaluation.running import as_targets, loss_function

if TYPE_CHECKING:
    from torchmetrics import Metric

CONFUSION_MATRIX = "confusionMatrix"
METRICS = {
    "classification": ("accuracy", "precision", "recall", "f1", "specificity", CONFUSION_MATRIX),
    "regression": ("mse", "mae"),
}
"""The metrics that fit each task, beside the loss, which is always there."""
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
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    metrics: Sequence[str] | None = None,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Judge the model on the rows x, y in batches; it is left in the mode that it was in.

    No process but the caller's takes part, whatever group of workers there is.
    Raises UserError for a metric that does not fit the task.
    """
    names = chosen_metrics(info, metrics)
    mean_loss = loss_function(info)
    if len(y) == 0:
        return Evaluation()
    computed = _metrics(info, names, device)
    loss = 0.0
    was_training = model.training
    model = model.to(device).eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(y), batch_size):
                labels = y[start : start + batch_size].to(device)
                outputs = model(x[start : start + batch_size].to(device)).float()
                if info.task == "regression":
                    outputs = as_targets(outputs, labels)
                loss += float(mean_loss(outputs, labels)) * len(labels)
                for metric in computed.values():
                    metric.update(outputs, labels)
    finally:
        model.train(was_training)
    values = {name: metric.compute() for name, metric in computed.items()}
    matrix = values.pop(CONFUSION_MATRIX, None)
    return Evaluation(
        scalars={"loss": loss / len(y)} | {name: float(value) for name, value in values.items()},
        confusion_matrix=None if matrix is None else matrix.tolist(),
    )


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
