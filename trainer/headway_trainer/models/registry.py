"""The models that a job can name: plain torch modules with typed options."""

from __future__ import annotations

import math

from torch import nn

from headway_api.model import CnnOptions, MlpOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.tasks import task_of

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}
_IMAGE_AXES = 3
_SMALLEST_SIDE = 2


def mlp(info: DataInfo, options: MlpOptions) -> nn.Module:
    """Fully connected layers over flattened rows: (rows, *input_shape) to (rows, outputs)."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = info.features
    for hidden in options.hidden:
        layers += [nn.Linear(width, hidden), ACTIVATIONS[options.activation]()]
        if options.dropout > 0:
            layers.append(nn.Dropout(options.dropout))
        width = hidden
    return nn.Sequential(*layers, task_of(info).head(width))


def cnn(info: DataInfo, options: CnnOptions) -> nn.Module:
    """Convolution blocks with batch normalisation (Ioffe and Szegedy, 2015) and one hidden layer, for images.

    (rows, channels, height, width) to (rows, outputs). Raises UserError for rows that are no images.
    """
    if len(info.input_shape) != _IMAGE_AXES:
        raise UserError(
            f"model.name cnn is for images, but a row of this data has the shape {info.input_shape} and not "
            "(channels, height, width): set model.name to mlp"
        )
    channels, height, width = info.input_shape
    layers: list[nn.Module] = []
    for filters in options.channels:
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        pool = (2 if height > _SMALLEST_SIDE else 1, 2 if width > _SMALLEST_SIDE else 1)
        if pool != (1, 1):
            layers.append(nn.MaxPool2d(pool))
        channels, height, width = filters, height // pool[0], width // pool[1]
    features = math.prod((channels, height, width))
    layers += [nn.Flatten(), nn.Linear(features, options.hidden), nn.ReLU()]
    if options.dropout > 0:
        layers.append(nn.Dropout(options.dropout))
    return nn.Sequential(*layers, task_of(info).head(options.hidden))
