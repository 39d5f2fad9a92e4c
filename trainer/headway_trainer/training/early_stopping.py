"""Which values of a metric are better, and when a run no longer gets better. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from headway_api.training import EarlyStopping

Mode = Literal["min", "max"]


def is_better(value: float, than: float | None, mode: Mode, min_delta: float = 0.0) -> bool:
    """Whether value is better than another by more than min_delta; a NaN is never better."""
    if math.isnan(value):
        return False
    if than is None or math.isnan(than):
        return True
    return value < than - min_delta if mode == "min" else value > than + min_delta


@dataclass
class Patience:
    """The state of early stopping: the best value so far, and the epochs since."""

    best: float | None = None
    waited: int = 0

    def update(self, value: float, spec: EarlyStopping) -> bool:
        """Take in an epoch's value; whether training should stop now."""
        if is_better(value, self.best, spec.better, spec.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= spec.patience
