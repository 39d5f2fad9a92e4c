"""What a model must beat: saying the same of every row."""

from __future__ import annotations

import torch
from torch import nn

from headway_trainer.data.info import DataInfo


class Constant(nn.Module):
    """Gives the same outputs for every row: (rows, ...) to (rows, ...)."""

    outputs: torch.Tensor

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("outputs", outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: rows of any shape; only their number matters."""
        return self.outputs.expand(len(x), *self.outputs.shape[1:])


def baseline(info: DataInfo, features: torch.Tensor | None = None) -> Constant:
    """The best that can be said without looking at a row: the classes' shares in the training part, or the means.

    features: the means of the features, (*input_shape), which a reconstruction needs.
    """
    if features is not None:
        return Constant(features.unsqueeze(0).float())
    if info.class_balance is None:
        return Constant(torch.zeros(1, info.outputs))
    counts = torch.tensor([list(info.class_balance["train"].values())], dtype=torch.float64)
    # A class without a row in the training part is not impossible.
    return Constant(((counts + 1) / (counts + 1).sum()).log().float())
