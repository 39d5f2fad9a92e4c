"""`gru`: a gated recurrent unit over the steps of a series."""

from __future__ import annotations

import torch
from torch import nn

from headway_api.model import GruOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.tasks import task_of

_SERIES_AXES = 2


class Gru(nn.Module):
    """Gated recurrent units (Cho et al., 2014), and a linear layer over the last state: (rows, steps, features) to
    (rows, outputs)."""

    def __init__(self, features: int, options: GruOptions, head: nn.Module) -> None:
        super().__init__()
        between = options.dropout if options.layers > 1 else 0.0
        self.steps = nn.GRU(features, options.hidden, options.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(options.dropout)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (rows, steps, features)."""
        states, _ = self.steps(x)
        outputs: torch.Tensor = self.head(self.dropout(states[:, -1]))
        return outputs


def gru(info: DataInfo, options: GruOptions) -> nn.Module:
    """A recurrent network for windows of a forecast, and for series of an array (rows, steps, channels).

    Raises UserError for rows that are no series.
    """
    if len(info.input_shape) != _SERIES_AXES:
        raise UserError(
            f"model.name gru is for series, but a row of this data has the shape {info.input_shape} and not "
            "(steps, features): set model.name to mlp"
        )
    return Gru(info.input_shape[1], options, task_of(info).head(options.hidden))
