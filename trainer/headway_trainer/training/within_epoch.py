"""Numbers inside an epoch: a point for the steps since the last one, about every POINT_SECONDS of training.

An epoch that is over sooner has none: what is told at its end says it all. Nothing of this is in a checkpoint; whoever
records the points knows which steps it has.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import torch

from headway_trainer.training.link import PART, Measured
from headway_trainer.training.process_group import Group

POINT_SECONDS = 10.0
MOST_WAITING = 32
"""Points that the driver has not heard of; before more are kept, the oldest are dropped."""


class WithinEpoch:
    """The running epoch's points. Every rank has one, as the loss is that of all ranks."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._seconds = self._loss_sum = 0.0
        self._rows = 0
        self._waiting: deque[Measured] = deque(maxlen=MOST_WAITING)

    def begin(self, seconds: float, loss_sum: float, rows: int) -> None:
        """Begin an epoch, or go on with one: seconds, sum of the loss over rows, and rows so far, of this rank."""
        self._seconds, self._loss_sum, self._rows = seconds, loss_sum, rows

    def is_due(self, seconds: float) -> bool:
        """Whether it is time for a point, so many seconds after the epoch has begun."""
        return seconds - self._seconds >= POINT_SECONDS

    def take(self, step: int, seconds: float, loss_sum: float, rows: int, values: Mapping[str, float]) -> None:
        """Make a point of the steps since the last one; every rank calls it after the same step.

        step: optimiser steps since the first attempt. seconds, loss_sum, rows: as of `begin`. values: others.
        """
        sums = torch.tensor([loss_sum - self._loss_sum, float(rows - self._rows)], dtype=torch.float64)
        loss, all_rows = self._group.sum(sums).tolist()
        told = {f"{PART}/rows_per_second": all_rows / max(seconds - self._seconds, 1e-9), **values}
        if all_rows:
            told[f"{PART}/loss"] = loss / all_rows
        self._waiting.append(
            Measured(step=step, values={name: one for name, one in told.items() if math.isfinite(one)}, within=True)
        )
        self.begin(seconds, loss_sum, rows)

    def told(self, epochs: Sequence[Measured], heard: int) -> list[Measured]:
        """The points that the driver has not heard of, among those of whole epochs, in the order of their steps.

        heard: the newest step that it has heard of.
        """
        while self._waiting and (self._waiting[0].step or 0) <= heard:
            self._waiting.popleft()
        return sorted([*self._waiting, *epochs], key=lambda one: one.step or 0)
