"""Metrics of other packages: fed with what the model says and what is true, and put together over the ranks, by us."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from headway_trainer.declared import NamedMetric
from headway_trainer.entrypoints import describe
from headway_trainer.errors import UserError
from headway_trainer.metrics.base import Ranks

_MOST_AXES = 8
Compared = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Outputs and stored targets as `NamedMetric` has them: predicted and actual."""


class PackageValues:
    """What a package's metric is computed from: the sums over the rows seen so far, or what is kept of each row."""

    def __init__(self, name: str, metric: NamedMetric, compared: Compared) -> None:
        self._name, self._metric, self._compared = name, metric, compared
        self._keeps_rows = metric.rows is not None
        self._parts: list[torch.Tensor] = []
        self._whole: torch.Tensor | None = None

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """Take in a batch. Raises UserError for what the package raises, or gives wrongly."""
        what = "rows" if self._keeps_rows else "sums"
        made = self._called(what, self._metric.rows or self._metric.sums, *self._compared(outputs, y))
        if not isinstance(made, torch.Tensor) or made.is_complex() or made.dim() > _MOST_AXES:
            raise self._mistake(
                f"{what} must give a tensor of real numbers with at most {_MOST_AXES} axes, and gave {_told(made)}"
            )
        if self._keeps_rows and (made.dim() == 0 or len(made) != len(outputs)):
            raise self._mistake(f"rows must give (rows, ...), and gave {_told(made)} for {len(outputs)} rows")
        made = made.detach().double().cpu()
        if self._parts and self._shape(made) != self._shape(self._parts[0]):
            raise self._mistake(
                f"{what} must always give the same shape, and gave {_told(self._parts[0])}, {_told(made)}"
            )
        self._parts = [*self._parts, made] if self._keeps_rows else [sum(self._parts, made)]

    def reduce(self, ranks: Ranks) -> None:
        """Hold what all ranks hold together. A rank without rows hears from the others what there is to add up."""
        own = torch.cat(self._parts) if self._parts and self._keeps_rows else next(iter(self._parts), None)
        self._parts = []
        told = ranks.gather_rows(_described(None if own is None else self._shape(own))).tolist()
        shapes = sorted({tuple(one[1 : 1 + one[0]]) for one in told})
        if not shapes:
            return
        if len(shapes) > 1:
            raise self._mistake(f"training processes made the shapes {', '.join(map(str, shapes))}, and not the same")
        empty = (0, *shapes[0]) if self._keeps_rows else shapes[0]
        own = torch.zeros(empty, dtype=torch.float64) if own is None else own
        self._whole = ranks.gather_rows(own) if self._keeps_rows else ranks.sum(own)

    def value(self) -> torch.Tensor:
        """The metric, float64 (); NaN where there was no row. Raises UserError as update does."""
        if self._whole is None:
            return torch.tensor(math.nan, dtype=torch.float64)
        made = self._called("value", self._metric.value, self._whole)
        if not isinstance(made, float | int | torch.Tensor) or (isinstance(made, torch.Tensor) and made.numel() != 1):
            raise self._mistake(f"value must give one number, and gave {_told(made)}")
        return torch.tensor(float(made), dtype=torch.float64)

    def _shape(self, made: torch.Tensor) -> tuple[int, ...]:
        return tuple(made.shape[1:] if self._keeps_rows else made.shape)

    def _called(self, what: str, function: Callable[..., Any] | None, *given: torch.Tensor) -> Any:
        assert function is not None  # noqa: S101 - a metric has sums or rows
        try:
            return function(*given)
        except MemoryError:
            raise  # not a mistake of the function's
        except Exception as error:
            raise self._mistake(f"{what} raised {describe(error)}") from error

    def _mistake(self, words: str) -> UserError:
        return UserError(f"the metric {self._name}: {words}")


def _told(made: object) -> str:
    return f"the shape {tuple(made.shape)}" if isinstance(made, torch.Tensor) else f"a {type(made).__name__}"


def _described(shape: tuple[int, ...] | None) -> torch.Tensor:
    """A shape as a row of numbers, (1, 1 + _MOST_AXES), its length first; no row where there is none."""
    if shape is None:
        return torch.zeros(0, 1 + _MOST_AXES, dtype=torch.int64)
    return torch.tensor([[len(shape), *shape, *[0] * (_MOST_AXES - len(shape))]], dtype=torch.int64)
