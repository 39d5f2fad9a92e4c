"""What a forecast must beat: saying again what was last, or what was a season ago."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from headway_trainer.data.info import DataInfo

LAST_VALUE, SEASONAL = "lastValue", "seasonalNaive"
_SAYS = {LAST_VALUE: "says the last known value again", SEASONAL: "says again what was a season before"}


class Repeat(nn.Module):
    """Says again what the last steps of the window were, over and over: windows (rows, history, features) to outputs
    (rows, horizon * targets)."""

    offset: torch.Tensor
    divisor: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, info: DataInfo, steps: int) -> None:
        """steps: how many, at most the history."""
        super().__init__()
        forecast = info.forecast
        if forecast is None:
            raise ValueError("no windows were prepared")
        self._targets = forecast.targets
        self._ago = [forecast.history - steps + ahead % steps for ahead in range(forecast.horizon)]
        # The features are scaled as features are, the outputs as targets: back to units, and on from there.
        offset, divisor = info.scaling.offset, info.scaling.divisor
        scaled = [(offset[one], divisor[one]) if offset else (0.0, 1.0) for one in forecast.targets]
        for name, values in (
            ("offset", [one for one, _ in scaled]),
            ("divisor", [one for _, one in scaled]),
            ("mean", info.target_mean),
            ("std", info.target_std),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (rows, history, features)."""
        said = x[:, self._ago][:, :, self._targets].double() * self.divisor + self.offset
        return ((said - self.mean) / self.std).flatten(1).float()


def naive_forecasts(info: DataInfo) -> dict[str, Repeat]:
    """The forecasts that need no model, by name: the last value; and the last season, where there is one."""
    if info.forecast is None:
        return {}
    found = {LAST_VALUE: Repeat(info, 1)}
    if info.forecast.seasonal is not None:
        found[SEASONAL] = Repeat(info, info.forecast.seasonal)
    return found


def best_naive(naive: Mapping[str, Mapping[str, float | None]]) -> str:
    """Which of the naive forecasts, whose metrics these are, errs least: by the mean absolute error."""
    return min(naive, key=lambda name: _value(naive[name], "mae"))


def beaten_by_naive(scalars: Mapping[str, float | None], naive: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """A sentence, where a forecast that needs no model errs no more than the model, whose metrics are the scalars."""
    if not naive:
        return []
    best, name = best_naive(naive), "mae" if "mae" in scalars else "loss"
    model, other = _value(scalars, name), _value(naive[best], name)
    if model < other:
        return []
    told = "mean absolute error" if name == "mae" else "loss"
    return [
        f"The model does not beat the forecast that {_SAYS[best]}: its {told} on the test part is {model:.4g}, that of "
        f"the other {other:.4g}."
    ]


def _value(values: Mapping[str, float | None], name: str) -> float:
    value = values.get(name)
    return math.inf if value is None or math.isnan(value) else value
