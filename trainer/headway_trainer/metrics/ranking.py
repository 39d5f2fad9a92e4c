"""Metrics of how well a classifier ranks rows: the area under the ROC curve, and average precision.

For two classes they are those of the second class (the one with label 1); for more, macro averages of each class
against the rest, over the classes of which the part has rows both of the class and of others.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from headway_trainer.metrics.base import Metric, Ranks

EXACT_SCORES = 1 << 22
"""With more rows times classes than this, scores are counted in bins."""
MOST_CLASSES = 1000
"""Of more classes there is no such metric: it would cost more than the model."""
_CELLS = 1 << 22
_FEWEST_BINS, _MOST_BINS = 16, 4096
_ROOM = 1 << 18
"""So many scores are counted at once: each takes about 64 bytes on the way."""
_LARGEST_LOGIT = 30.0
"""Probabilities nearer to 0 or 1 than this logit fall into the outermost bin."""


class Ranking:
    """The scores of the rows: all of them, and of a part with more than EXACT_SCORES their histogram by class.

    A bin holds probabilities that are near to each other by their logit. How far that can be from exact is known for
    each result: `rocAuc_error` and `averagePrecision_error`.
    """

    def __init__(self, classes: int, rows: int, device: torch.device) -> None:
        """rows: of the part over all ranks, so that each rank decides alike."""
        self._curves = 1 if classes == 2 else classes  # noqa: PLR2004 - the scores of one tell those of the other
        self.exact = rows * self._curves <= EXACT_SCORES
        self._bins = max(_FEWEST_BINS, min(_MOST_BINS, _CELLS // self._curves))
        self._scores: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []
        size = 0 if self.exact else 2 * self._curves * self._bins
        self._histogram = torch.zeros(size, dtype=torch.int64, device=device)
        self._areas: list[_Areas] = []

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """outputs: logits (rows, classes); y: labels (rows,)."""
        rows = max(1, _ROOM // self._curves)
        for start in range(0, len(y), rows):
            self._take(outputs[start : start + rows], y[start : start + rows])

    def _take(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        scores = functional.log_softmax(outputs, dim=1)
        if self._curves == 1:
            scores, y = outputs[:, 1:] - outputs[:, :1], y - 1  # class 1 is the only curve, number 0
        if self.exact:
            self._scores.append(scores)
            self._labels.append(y)
            return
        logits = scores if self._curves == 1 else scores - torch.log(-torch.expm1(scores.clamp(max=-1e-16)))
        share = (logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT) + _LARGEST_LOGIT) / (2 * _LARGEST_LOGIT)
        bins = (share.nan_to_num() * (self._bins - 1)).long()
        curves = torch.arange(self._curves, device=y.device)
        cells = ((y.unsqueeze(1) == curves).long() * self._curves + curves) * self._bins + bins
        self._histogram += torch.bincount(cells.flatten(), minlength=len(self._histogram))

    def reduce(self, ranks: Ranks) -> None:
        """Hold the scores of all ranks."""
        if self.exact:
            device = self._histogram.device
            empty = torch.zeros(0, self._curves, dtype=torch.float64, device=device)
            scores = ranks.gather_rows(torch.cat([*self._scores, empty])).cpu()
            labels = ranks.gather_rows(torch.cat([*self._labels, empty[:, 0].long()])).cpu()
            counted = [_counted(scores[:, curve], labels == curve) for curve in range(self._curves)]
        else:
            negatives, positives = ranks.sum(self._histogram).cpu().double().reshape(2, self._curves, self._bins)
            counted = [(one.flip(0), other.flip(0)) for one, other in zip(positives, negatives, strict=True)]
        self._areas = [_Areas(*pair) for pair in counted if pair[0].sum() > 0 and pair[1].sum() > 0]

    def mean(self, name: str) -> torch.Tensor:
        """The mean over the curves; NaN where there is none."""
        return torch.tensor([getattr(area, name) for area in self._areas], dtype=torch.float64).mean()


class _Areas:
    """The areas under one class's curves, from its rows and all others at each score, highest score first."""

    def __init__(self, positives: torch.Tensor, negatives: torch.Tensor) -> None:
        true, false = positives.cumsum(0), negatives.cumsum(0)
        before_true, before_false = true - positives, false - negatives
        all_true, all_false = true[-1], false[-1]
        self.roc_auc = float(((before_true + true) / 2 * negatives).sum() / (all_true * all_false))
        # Rows in one bin might be in any order: at best all positives come first, at worst all negatives.
        self.roc_auc_error = float((positives * negatives).sum() / (2 * all_true * all_false))
        weight = positives / all_true
        precision = _ratio(true, true + false)
        self.average_precision = float((weight * precision).sum())
        best = _ratio(true, true + before_false)
        worst = _ratio(before_true + 1, before_true + 1 + false)
        self.average_precision_error = float((weight * torch.maximum(best - precision, precision - worst)).sum())


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    return part / whole.clamp(min=1)


def _counted(scores: torch.Tensor, positive: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positive and negative rows at each different score, highest first."""
    different, where = torch.unique(scores, return_inverse=True)
    counts = torch.zeros(2, len(different), dtype=torch.float64)
    for index, rows in enumerate((positive, ~positive)):
        counts[index].index_add_(0, where, rows.double())
    return counts[0].flip(0), counts[1].flip(0)


def by_rank() -> dict[str, Metric]:
    """The metrics by name."""
    return {
        "rocAuc": Metric(Ranking, lambda ranking: ranking.mean("roc_auc")),
        "averagePrecision": Metric(Ranking, lambda ranking: ranking.mean("average_precision")),
    }
