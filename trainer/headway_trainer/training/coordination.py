"""How the ranks agree on what the driver asks for, without an exchange in each step."""

from __future__ import annotations

from collections.abc import Callable

from headway_trainer.training.link import Request
from headway_trainer.training.loop_inputs import LoopInputs

CONTROL_SECONDS = 0.25
"""About how often the ranks agree on requests and rank 0 tells its progress."""
MAX_CONTROL_STEPS = 10_000
_SMOOTHING = 0.3
"""The weight of the newest measurement in the rows a second that people see."""


class Coordination:
    """The ranks' agreement on what to do after a step, about every CONTROL_SECONDS.

    Rank 0 decides, and says in the same small broadcast after how many steps it will speak again: so a request reaches
    every rank in the same step, and most steps cost no exchange at all.
    """

    def __init__(self, inputs: LoopInputs) -> None:
        self._inputs = inputs
        self._left = 1
        self._since = self._told = inputs.clock()
        self._steps = 0
        self._rows = 0
        self.samples_per_second: float | None = None
        self.steps_per_second: float | None = None

    def while_judging(self, tell: Callable[[], None]) -> None:
        """Tell about every CONTROL_SECONDS that a validation pass goes on: no step does meanwhile."""
        if self._inputs.clock() - self._told >= CONTROL_SECONDS:
            tell()
            self._told = self._inputs.clock()

    def after_step(
        self, rows: int, overdue: bool, tell: Callable[[], None], *, due: bool, point: Callable[[], None]
    ) -> Request:
        """Count a step of `rows` rows over all ranks; what all ranks have to do now.

        due: whether it is time for a point inside the epoch. point: makes it, on all ranks, where rank 0 finds so.
        """
        self._steps += 1
        self._rows += rows
        self._left -= 1
        if self._left > 0:
            return Request.NONE
        elapsed = max(self._inputs.clock() - self._since, 1e-9)
        request = self._inputs.link.request() if self._inputs.group.rank == 0 else Request.NONE
        if request == Request.NONE and overdue:
            request = Request.CHECKPOINT
        gap = min(MAX_CONTROL_STEPS, max(1, round(self._steps * CONTROL_SECONDS / elapsed)))
        decided, self._left, measured = self._inputs.group.from_first([int(request), gap, int(due)])
        self.samples_per_second = _smoothed(self.samples_per_second, self._rows / elapsed)
        self.steps_per_second = _smoothed(self.steps_per_second, self._steps / elapsed)
        if measured:
            point()
        tell()
        self._since, self._steps, self._rows = self._inputs.clock(), 0, 0
        self._told = self._since
        return Request(decided)


def _smoothed(before: float | None, rate: float) -> float:
    return rate if before is None else (1 - _SMOOTHING) * before + _SMOOTHING * rate
