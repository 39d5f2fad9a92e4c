"""Weights of rows by which each class counts alike in the loss."""

from __future__ import annotations

import torch

from headway_api.training import Training
from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.metrics import Ranks


def balanced_weights(y: torch.Tensor, classes: int, weights: torch.Tensor | None, ranks: Ranks) -> torch.Tensor:
    """The weights of a rank's rows, float32 (rows,): all rows together weigh 1 each on average, each class as much as
    any other (King and Zeng, 2001; scikit-learn's `class_weight="balanced"`).

    y: labels (rows,). weights: what the rows weigh within their classes; 1 each without them. Every rank calls it.
    """
    own = torch.ones(len(y), dtype=torch.float64) if weights is None else weights.double()
    totals = ranks.sum(torch.bincount(y, weights=own, minlength=classes))
    factors = totals.sum() / (totals > 0).sum() / totals  # of an absent class infinite, and used by no row
    return (own * factors[y]).float()


def train_weights(
    spec: Training, info: DataInfo, y: torch.Tensor, weights: torch.Tensor | None, ranks: Ranks
) -> torch.Tensor | None:
    """What each of a rank's rows of the training part counts, float32 (rows,), by its own weight and by
    `training.classWeights`; none where each counts 1. Every rank calls it.

    y and weights: of those rows. Raises UserError for weights of classes where there are none.
    """
    if spec.class_weights == "none":
        return weights
    if info.classes is None:
        raise UserError(
            f"training.classWeights: balanced is for classes, and this is a {info.task}: take it out, or set "
            "data.task to classification"
        )
    return balanced_weights(y, info.outputs, weights, ranks)
