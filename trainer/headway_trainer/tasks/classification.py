"""Classification: one class a row, told by a logit for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.metrics import Metrics
from headway_trainer.metrics.classes import ConfusionCounts, by_counts
from headway_trainer.metrics.ranking import MOST_CLASSES, by_rank
from headway_trainer.tasks.base import ClassPrediction, Reduction

CONFUSION_MATRIX = "confusionMatrix"


class Classification:
    """Cross entropy over logits."""

    name = "classification"
    each = "class"
    costly = frozenset((*by_rank(), CONFUSION_MATRIX))

    def __init__(self, info: DataInfo) -> None:
        self.outputs = info.outputs
        ranked = by_rank() if info.outputs <= MOST_CLASSES else ()
        self.metric_names = (*by_counts(), *ranked, CONFUSION_MATRIX)
        self.prediction = ClassPrediction(classes=info.classes or [])

    def head(self, width: int) -> nn.Module:
        """A linear layer to the logits."""
        return nn.Linear(width, self.outputs)

    def target(self, batch: Batch) -> torch.Tensor:
        """The rows' y."""
        return batch.y

    def loss(self, outputs: torch.Tensor, y: torch.Tensor, reduction: Reduction = "none") -> torch.Tensor:
        """The cross entropy of each row."""
        return functional.cross_entropy(outputs, y, reduction=reduction)

    def compared(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (rows, classes), and labels (rows,)."""
        return outputs.softmax(dim=1), y

    def metrics(self, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:
        """The named metrics; a confusion matrix is an accumulator without a value."""
        known = by_counts() | by_rank()

        def make(kind: type[Any]) -> Any:
            return kind(self.outputs, rows, device)

        metrics = Metrics(self.loss, {name: known[name] for name in names if name in known}, make, device)
        if CONFUSION_MATRIX in names:
            metrics.accumulators[ConfusionCounts] = make(ConfusionCounts)
        return metrics

    def shapes(self, rows: int) -> list[tuple[int, ...]]:
        """(rows, classes)."""
        return [(rows, self.outputs)]
