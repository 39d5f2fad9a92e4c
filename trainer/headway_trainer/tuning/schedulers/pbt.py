"""Population based training (Jaderberg et al., "Population Based Training of Neural Networks", 2017, arXiv:1711.09846).

All trials are trained to the same epoch before they are compared, where the paper compares each as it comes: so what
becomes of them depends on their values alone, and neither on how many are trained at once nor on which is fastest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import JsonValue

from headway_api import schedulers
from headway_trainer import seeds
from headway_trainer.tuning.events import Move
from headway_trainer.tuning.space import Dimension, Numbers, Space
from headway_trainer.tuning.trial import Parameters

FACTORS = (0.8, 1.2)
"""What a value is multiplied by, one of them at random: as in section 4 of the paper."""


class Pbt:
    """Exploits by truncation selection, and explores by perturbing values or drawing them anew. Pure."""

    def __init__(self, spec: schedulers.Scheduler, space: Space, seed: int) -> None:
        """space: the parameters, none of them conditional. seed: the job's, not negative."""
        self._spec, self._space, self._seed = spec, space, seed

    def ends(self, generation: int) -> int:
        """The epoch, counted from 1, after which a generation ends. generation: counted from 0."""
        return (generation + 1) * self._spec.interval_epochs

    def moves(self, epoch: int, losses: Mapping[int, float], parameters: Mapping[int, Parameters]) -> list[Move]:
        """Which trials take over from which after an epoch, by the number of the trial that goes on.

        losses: of all trials, by their numbers; less is better, and of equal ones the earlier trial is. parameters:
        those that each has had. A trial takes over only from one that is better.
        """
        ranked = sorted(losses, key=lambda trial: (losses[trial], trial))
        # 0.29 * 100 is a little less than 29.
        many = min(max(1, int(self._spec.quantile * len(ranked) + 1e-9)), len(ranked) // 2)
        best, worst = ranked[:many], ranked[len(ranked) - many :]
        moves = []
        for trial in sorted(worst):
            chance = np.random.default_rng(seeds.generation_seed(self._seed, trial, epoch))
            source = best[int(chance.integers(len(best)))]
            if losses[source] < losses[trial]:
                moves.append(Move(trial=trial, source=source, parameters=self._explored(parameters[source], chance)))
        return moves

    def _explored(self, parameters: Parameters, chance: np.random.Generator) -> dict[str, JsonValue]:
        return {one.path: self._other(one, parameters[one.path], chance) for one in self._space.dimensions}

    def _other(self, dimension: Dimension, value: JsonValue, chance: np.random.Generator) -> JsonValue:
        """Another value; it may be the same, at the end of a range or where there are few."""
        # Always as many draws: what becomes of one parameter does not depend on what becomes of another.
        anew, place, turn = (float(drawn) for drawn in chance.random(3))
        up, values = round(turn), dimension.values
        if isinstance(values, Numbers):
            if anew < self._spec.resample_probability or isinstance(value, bool) or not isinstance(value, int | float):
                return values.at(place)
            return values.nearest(value * FACTORS[up])
        count = len(values.values)
        index = values.index(value)
        ordered = dimension.parameter.grid is not None
        if anew < self._spec.resample_probability or not ordered or index is None:
            return values.values[min(int(place * count), count - 1)]
        return values.values[min(max(index + 2 * up - 1, 0), count - 1)]
