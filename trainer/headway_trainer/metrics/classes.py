"""Metrics of a classification that follow from counts: of rows, of each class's rows, and of pairs of classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from headway_trainer.metrics.base import Metric, Ranks

TOP = 5
"""topKAccuracy counts a row where its class is among so many with the highest outputs."""
MATRIX_CLASSES = 200
"""A confusion matrix has at most so many classes; of more, the most frequent confusions are told in its place."""
MOST_CONFUSIONS = 1000
"""So many of them."""
_COMPACT_ROWS = 1 << 20


class ClassCounts:
    """Rows by class: found, actual and predicted; and rows whose class is among the TOP with the highest outputs."""

    def __init__(self, classes: int, rows: int, device: torch.device) -> None:  # noqa: ARG002 - as all are made
        self._classes = classes
        self._sums = torch.zeros(3 * classes + 1, dtype=torch.float64, device=device)

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """outputs: logits (rows, classes); y: labels (rows,)."""
        predicted = outputs.argmax(dim=1)
        counts = [torch.bincount(labels, minlength=self._classes) for labels in (y[predicted == y], y, predicted)]
        if self._classes > TOP:
            near = (outputs.topk(TOP, dim=1).indices == y.unsqueeze(1)).sum()
        else:
            near = torch.tensor(len(y), device=y.device)
        self._sums += torch.cat([*counts, near.reshape(1)])

    def reduce(self, ranks: Ranks) -> None:
        """Hold the counts of all ranks."""
        self._sums = ranks.sum(self._sums).cpu()

    @property
    def hits(self) -> torch.Tensor:
        """Rows of each class that were predicted as it."""
        return self._sums[: self._classes]

    @property
    def actual(self) -> torch.Tensor:
        """Rows of each class."""
        return self._sums[self._classes : 2 * self._classes]

    @property
    def predicted(self) -> torch.Tensor:
        """Rows that were predicted as each class."""
        return self._sums[2 * self._classes : 3 * self._classes]

    @property
    def near(self) -> torch.Tensor:
        """Rows whose class was among the TOP."""
        return self._sums[-1]

    @property
    def rows(self) -> torch.Tensor:
        """All rows."""
        return self.actual.sum()

    def macro(self, part: torch.Tensor, whole: torch.Tensor, among: torch.Tensor | None = None) -> torch.Tensor:
        """The mean of part / whole over the classes among (those that were seen or predicted at all); 0 / 0 is 0."""
        ratio = torch.where(whole > 0, part / whole.clamp(min=1), torch.zeros_like(part))
        return ratio[(self.actual + self.predicted > 0) if among is None else among].mean()


def _specificity(counts: ClassCounts) -> torch.Tensor:
    negatives = counts.rows - counts.actual
    return counts.macro(negatives - (counts.predicted - counts.hits), negatives)


@dataclass(frozen=True)
class Confusions:
    """Which classes were taken for which."""

    matrix: list[list[int]] | None = None
    """Rows of one class (first index) predicted as another (second index); none of more than MATRIX_CLASSES."""
    pairs: list[tuple[int, int, int]] = field(default_factory=list)
    """In its place: the MOST_CONFUSIONS most frequent (actual, predicted, rows) of two different classes."""


class ConfusionCounts:
    """Rows by actual and predicted class: densely for few classes; for many, only the pairs that occur."""

    def __init__(self, classes: int, rows: int, device: torch.device) -> None:  # noqa: ARG002 - as all are made
        self._classes, self._dense = classes, classes <= MATRIX_CLASSES
        self._matrix = torch.zeros(classes**2 if self._dense else 0, dtype=torch.int64, device=device)
        self._pairs = torch.zeros(0, 2, dtype=torch.int64, device=device)
        self._waiting: list[torch.Tensor] = []

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """outputs: logits (rows, classes); y: labels (rows,)."""
        predicted = outputs.argmax(dim=1)
        codes = y * self._classes + predicted
        if self._dense:
            self._matrix += torch.bincount(codes, minlength=self._classes**2)
            return
        self._waiting.append(codes[predicted != y])
        if sum(len(waiting) for waiting in self._waiting) >= _COMPACT_ROWS:
            self._compact()

    def reduce(self, ranks: Ranks) -> None:
        """Hold the counts of all ranks."""
        if self._dense:
            self._matrix = ranks.sum(self._matrix)
            return
        self._compact()
        self._pairs = _merged(ranks.gather_rows(self._pairs))

    def told(self) -> Confusions:
        """What people are told of them."""
        if self._dense:
            return Confusions(matrix=self._matrix.reshape(self._classes, self._classes).tolist())
        order = torch.argsort(self._pairs[:, 1], descending=True, stable=True)[:MOST_CONFUSIONS]
        return Confusions(
            pairs=[(*divmod(code, self._classes), count) for code, count in self._pairs[order].cpu().tolist()]
        )

    def _compact(self) -> None:
        codes = torch.cat([*self._waiting, self._pairs.new_zeros(0)])
        self._waiting = []
        self._pairs = _merged(torch.cat([self._pairs, torch.stack([codes, torch.ones_like(codes)], dim=1)]))


def _merged(pairs: torch.Tensor) -> torch.Tensor:
    """(n, 2) codes and counts, each code once, in ascending order."""
    codes, where = torch.unique(pairs[:, 0], return_inverse=True)
    counts = torch.zeros_like(codes).index_add_(0, where, pairs[:, 1])
    return torch.stack([codes, counts], dim=1)


def by_counts() -> dict[str, Metric]:
    """The metrics by name. Those over classes are macro averages; absent classes count as in scikit-learn."""
    return {
        "accuracy": Metric(ClassCounts, lambda counts: counts.hits.sum() / counts.rows),
        "balancedAccuracy": Metric(
            ClassCounts, lambda counts: counts.macro(counts.hits, counts.actual, among=counts.actual > 0)
        ),
        "precision": Metric(ClassCounts, lambda counts: counts.macro(counts.hits, counts.predicted)),
        "recall": Metric(ClassCounts, lambda counts: counts.macro(counts.hits, counts.actual)),
        "f1": Metric(ClassCounts, lambda counts: counts.macro(2 * counts.hits, counts.actual + counts.predicted)),
        "specificity": Metric(ClassCounts, _specificity),
        "topKAccuracy": Metric(ClassCounts, lambda counts: counts.near / counts.rows),
    }
