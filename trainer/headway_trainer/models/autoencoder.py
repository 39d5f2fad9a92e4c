"""Autoencoders: rows go through a layer with fewer numbers than they have, and come out again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from headway_api.model import AutoencoderOptions
from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.models.registry import ACTIVATIONS
from headway_trainer.programs import JudgedRows, Program, Turn
from headway_trainer.tasks import Task, task_of


class Autoencoder(nn.Module):
    """An encoder to `latent` numbers, and a decoder back: (rows, *input_shape) to the same shape."""

    def __init__(self, info: DataInfo, options: AutoencoderOptions, codes: int) -> None:
        """codes: the numbers that the encoder gives for a row."""
        super().__init__()
        activation = ACTIVATIONS[options.activation]
        back = [options.latent, *reversed(options.hidden)]
        way = [info.features, *options.hidden]
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(way, activation), nn.Linear(way[-1], codes))
        self.decoder = nn.Sequential(*_layers(back, activation), task_of(info).head(back[-1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The rows as they come out."""
        decoded: torch.Tensor = self.decoder(self.encoder(x))
        return decoded


class VariationalAutoencoder(Autoencoder):
    """Its encoder gives a normal distribution: the mean, and the logarithm of the variance, of each latent number."""

    def __init__(self, info: DataInfo, options: AutoencoderOptions) -> None:
        super().__init__(info, options, 2 * options.latent)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The rows as they come out of the distributions' means: nothing is drawn."""
        mean, _ = self.encode(x)
        decoded: torch.Tensor = self.decoder(mean)
        return decoded

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and logarithm of the variance, each (rows, latent)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance


class Variational(Program):
    """Learns by the evidence lower bound (Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014) with a
    Gaussian decoder of variance 1, and beta as in Higgins et al. (ICLR 2017).

    The loss of a row is `-ELBO * 2 / features`, without its constant: the mean squared error of the features, and
    `beta * 2 / features` times the Kullback-Leibler divergence from the standard normal distribution. So it is on the
    scale of an autoencoder's that is not variational.
    """

    model: VariationalAutoencoder

    def __init__(self, model: VariationalAutoencoder, task: Task, beta: float) -> None:
        super().__init__(model, task)
        self._beta = beta

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        """One update, by a latent row that is drawn for each row (the reparameterisation trick)."""
        with turn.autocast():
            mean, log_variance = self.model.encode(batch.x)
            latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
            errors, divergence = self._parts(self.model.decoder(latent), batch.x, mean, log_variance)
            loss = _mean(errors + divergence, batch.weights)
        turn.update(loss)
        turn.log("reconstruction", _mean(errors, batch.weights))
        turn.log("kl", _mean(divergence, batch.weights))
        return loss

    def judge(self, batch: Batch) -> JudgedRows:
        """By the means of the latent rows: the same each time."""
        mean, log_variance = self.model.encode(batch.x)
        outputs = self.model.decoder(mean)
        errors, divergence = self._parts(outputs, batch.x, mean, log_variance)
        return JudgedRows(outputs, batch.x, errors + divergence)

    def _parts(
        self, outputs: torch.Tensor, x: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The two parts of each row's loss, each (rows,); in float32 also where the outputs are not."""
        mean, log_variance = mean.float(), log_variance.float()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return self.task.loss(outputs.float(), x), self._beta * 2 / self.task.outputs * divergence


def autoencoder(info: DataInfo, options: AutoencoderOptions) -> nn.Module | Program:
    """The module; a variational one comes with its program."""
    if options.variational:
        return Variational(VariationalAutoencoder(info, options), task_of(info), options.beta)
    return Autoencoder(info, options, options.latent)


def _mean(losses: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return losses.mean() if weights is None else (losses * weights).mean()


def _layers(widths: Sequence[int], activation: type[nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), activation()]
    return layers
