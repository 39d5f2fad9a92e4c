"""Models that read texts as sequences of tokens; what other columns hold joins them after the pooling.

A row is one tensor: the numbers of each text's tokens stand where `DataInfo.tokens` says, as whole numbers in float32.
What stands after a text's end changes nothing of its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from headway_api.model import LstmOptions, TransformerOptions
from headway_trainer.data.info import DataInfo, TokenColumns
from headway_trainer.data.transform.tokens import FIRST, PADDING
from headway_trainer.errors import UserError
from headway_trainer.tasks import task_of

_WAVELENGTHS = 10_000.0


def lstm(info: DataInfo, options: LstmOptions) -> nn.Module:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) over each text, averaged over its tokens.

    (rows, *input_shape) to (rows, outputs). Raises UserError for rows without a text.
    """
    return _model(info, lambda text: _Lstm(text, options), options.dropout, "lstm")


def transformer(info: DataInfo, options: TransformerOptions) -> nn.Module:
    """A transformer's encoder (Vaswani et al., 2017), with normalisation first, averaged over each text's tokens.

    (rows, *input_shape) to (rows, outputs). Raises UserError for rows without a text.
    """
    return _model(info, lambda text: _Transformer(text, options), options.dropout, "transformer")


def _model(info: DataInfo, encoder: Callable[[TokenColumns], _Encoder], dropout: float, name: str) -> nn.Module:
    if not info.tokens:
        raise UserError(
            f"model.name {name} is for tables with a column of text, and this data has none: set model.name to mlp"
        )
    return _Texts(info, encoder, dropout)


class _Texts(nn.Module):
    """An encoder for each text, the features of other columns beside what they give, and the task's head."""

    def __init__(self, info: DataInfo, encoder: Callable[[TokenColumns], _Encoder], dropout: float) -> None:
        super().__init__()
        self._texts = info.tokens
        self._others = _between(self._texts, info.features)
        self.encoders = nn.ModuleList([encoder(text) for text in self._texts])
        width = sum(one.width for one in self.encoders) + sum(stop - start for start, stop in self._others)  # type: ignore[misc]
        self.dropout = nn.Dropout(dropout)
        self.head = task_of(info).head(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        texts = [
            encoder(x[:, text.start : text.stop].long())
            for encoder, text in zip(self.encoders, self._texts, strict=True)
        ]
        others = [x[:, start:stop] for start, stop in self._others]
        outputs: torch.Tensor = self.head(torch.cat([self.dropout(torch.cat(texts, dim=1)), *others], dim=1))
        return outputs


class _Encoder(nn.Module):
    """From the numbers of tokens, int64 (rows, length), to (rows, width)."""

    width: int


class _Lstm(_Encoder):
    """Each direction and layer is a module of its own: what runs backwards begins at the last token of its row."""

    def __init__(self, text: TokenColumns, options: LstmOptions) -> None:
        super().__init__()
        self.width = options.hidden * (2 if options.bidirectional else 1)
        self.embedding = _embedding(text, options.embedding)
        self.dropout = nn.Dropout(options.dropout)
        widths = [options.embedding, *[self.width] * (options.layers - 1)]
        self.forwards = nn.ModuleList([nn.LSTM(width, options.hidden, batch_first=True) for width in widths])
        backwards = widths if options.bidirectional else []
        self.backwards = nn.ModuleList([nn.LSTM(width, options.hidden, batch_first=True) for width in backwards])

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        there = _there(numbers)
        reverse = _reversed_places(there)
        values = self.embedding(numbers)
        for layer, run in enumerate(self.forwards):
            values = self.dropout(values)
            found = [run(values)[0]]
            if self.backwards:
                found.append(_at(self.backwards[layer](_at(values, reverse))[0], reverse))
            values = torch.cat(found, dim=2)
        return _mean(values, there)


class _Transformer(_Encoder):
    """Self-attention within each text."""

    def __init__(self, text: TokenColumns, options: TransformerOptions) -> None:
        super().__init__()
        self.width = options.width
        self.embedding = _embedding(text, options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.register_buffer("places", _places(text.stop - text.start, options.width), persistent=False)
        layer = nn.TransformerEncoderLayer(
            options.width,
            options.heads,
            options.hidden,
            options.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        # With nested tensors, PyTorch would leave out rows of padding, and the exported graph would not.
        self.layers = nn.TransformerEncoder(
            layer, options.layers, norm=nn.LayerNorm(options.width), enable_nested_tensor=False
        )
        for parameter in self.layers.parameters():  # copies of one layer begin with the same weights
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        there = _there(numbers)
        values = self.dropout(self.embedding(numbers) * math.sqrt(self.width) + self.places)
        return _mean(self.layers(values, src_key_padding_mask=~there), there)


def _embedding(text: TokenColumns, width: int) -> nn.Embedding:
    embedding = nn.Embedding(text.vocabulary + FIRST, width, padding_idx=PADDING)
    nn.init.normal_(embedding.weight, std=width**-0.5)
    with torch.no_grad():
        embedding.weight[PADDING].zero_()
    return embedding


def _there(numbers: torch.Tensor) -> torch.Tensor:
    """Which places hold a token, (rows, length). The first one counts in each row: over nothing there is no mean."""
    return torch.cat([torch.ones_like(numbers[:, :1], dtype=torch.bool), numbers[:, 1:] != PADDING], dim=1)


def _reversed_places(there: torch.Tensor) -> torch.Tensor:
    """Where each place of a row goes when its tokens are read from the last to the first; twice is as before."""
    places = torch.arange(there.shape[1], device=there.device)
    return (there.sum(dim=1, keepdim=True) - 1 - places).clamp(min=0)


def _at(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """values (rows, length, width) at other places of the same row."""
    return torch.gather(values, 1, places.unsqueeze(2).expand(-1, -1, values.shape[2]))


def _mean(values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens that are there, (rows, width)."""
    weights = there.unsqueeze(2).to(values.dtype)
    return (values * weights).sum(dim=1) / weights.sum(dim=1)


def _places(length: int, width: int) -> torch.Tensor:
    """Sines and cosines that tell places apart (Vaswani et al., 2017), (length, width)."""
    angles = torch.arange(length).unsqueeze(1) / _WAVELENGTHS ** (torch.arange(0, width, 2) / width)
    both = torch.stack([angles.sin(), angles.cos()], dim=2)
    return both.reshape(length, -1)[:, :width]


def _between(texts: list[TokenColumns], features: int) -> list[tuple[int, int]]:
    """The ranges of features that belong to no text."""
    starts = [0, *(text.stop for text in texts)]
    stops = [*(text.start for text in texts), features]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]
