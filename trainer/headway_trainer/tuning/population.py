"""The trials of a study that are trained side by side, generation by generation: `tuning.scheduler.name: pbt`. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from headway_trainer.tuning.events import Generation, Move
from headway_trainer.tuning.schedulers.pbt import Pbt
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.trial import Trial


class Population:
    """Which generation it is, and what comes after it."""

    def __init__(self, pbt: Pbt, space: Space, epochs: int) -> None:
        """epochs: of each trial."""
        self._pbt, self._space, self._epochs = pbt, space, epochs
        self._generation = 0

    @property
    def until(self) -> int:
        """The epoch, counted from 1, up to which the trials of this generation are trained."""
        return min(self._pbt.ends(self._generation), self._epochs)

    def has_come(self, trial: Trial) -> bool:
        """Whether a running trial has come to the end of this generation, and waits for the others."""
        return trial.epochs >= self.until

    def next(self, running: Mapping[int, Trial], sign: float) -> Generation | None:
        """What follows this generation; none while some have yet to come to its end, and of the last one.

        sign: 1 where less of the metric is better, else -1.
        """
        if self.until >= self._epochs or not running or not all(map(self.has_come, running.values())):
            return None
        losses = {number: _loss(trial.reports.get(self.until), sign) for number, trial in running.items()}
        parameters = {number: trial.parameters for number, trial in running.items()}
        return Generation(epoch=self.until, moves=self._pbt.moves(self.until, losses, parameters))

    def take(self, generation: Generation, running: Mapping[int, Trial]) -> None:
        """Begin the next generation. Raises ValueError for one that does not follow this one."""
        if generation.epoch != self.until:
            raise ValueError(f"a generation ends after epoch {generation.epoch} where one ends after {self.until}")
        for move in generation.moves:
            if fault := self._fault(move, running):
                raise ValueError(f"trial {move.trial} takes over from trial {move.source}, and {fault}")
        for move in generation.moves:
            trial, source = running[move.trial], running[move.source]
            trial.parameters, trial.reports = move.parameters, dict(source.reports)
        self._generation += 1

    def _fault(self, move: Move, running: Mapping[int, Trial]) -> str | None:
        for number in (move.trial, move.source):
            if number not in running:
                return f"trial {number} does not run"
        return self._space.fault(move.parameters)


def _loss(value: float | None, sign: float) -> float:
    return math.inf if value is None else sign * value
