"""CMA-ES (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016), by the package `cmaes` itself.

Optuna's sampler over it keeps a pickle of its state in each generation's trials, which no log of JSON brings back. Here
the state follows from the trials alone, in the order in which they began and ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from headway_trainer import seeds
from headway_trainer.tuning.space import Choices, Numbers, Space
from headway_trainer.tuning.trial import Parameters, Trial

if TYPE_CHECKING:
    import cmaes
    from numpy.typing import NDArray

_SIGMA = 1 / 6
"""The first standard deviation, where each parameter lies between 0 and 1: nearly all of the space is within three."""


class CmaSearch:
    """A Searcher of numbers: each generation is drawn from a normal distribution that is fitted to the ones before.

    Trials of a generation run at once, and further ones begin from it while they do. It ends once as many of its trials
    have ended with a value as a population has; later ones of it are not learned from. Once it has converged, it begins
    anew with twice the population (Auger and Hansen, "A Restart CMA Evolution Strategy", CEC 2005).
    """

    def __init__(self, space: Space, seed: int) -> None:
        """Raises ValueError where a parameter is a choice."""
        self._space, self._seed = space, seed
        self._numbers = [_numbers(dimension.path, dimension.values) for dimension in space.dimensions]
        self._strategy = _strategy(len(self._numbers), None)
        self._generation = 0
        self._generation_of: dict[int, int] = {}
        self._ended: list[tuple[NDArray[np.float64], float]] = []

    def propose(self, trial: int) -> Parameters:
        """As of Searcher; there is always something."""
        self._strategy.reseed_rng(seeds.proposal_seed(self._seed, trial))
        drawn = self._strategy.ask()
        parameters: dict[str, JsonValue] = {}
        for dimension, numbers, place in zip(self._space.dimensions, self._numbers, drawn, strict=True):
            if dimension.applies(parameters):
                parameters[dimension.path] = numbers.at(float(place))
        self._generation_of[trial] = self._generation
        return parameters

    def add(self, trial: Trial) -> None:
        """As of Searcher."""
        self._generation_of[trial.number] = self._generation

    def learn(self, earlier: Sequence[tuple[Parameters, float]]) -> None:
        """As of Searcher. Raises ValueError."""
        raise ValueError(f"{len(earlier)} earlier trials are given, and this search learns from none")

    def tell(self, trial: Trial, loss: float | None) -> None:
        """As of Searcher."""
        if self._generation_of.pop(trial.number) != self._generation or loss is None:
            return
        self._ended.append((self._place(trial.parameters), loss))
        if len(self._ended) < self._strategy.population_size:
            return
        self._strategy.tell(self._ended)
        self._ended = []
        self._generation += 1
        if self._strategy.should_stop():
            self._strategy = _strategy(len(self._numbers), 2 * self._strategy.population_size)

    def _place(self, parameters: Parameters) -> NDArray[np.float64]:
        """Where a trial lies, from 0 to 1 in each dimension; where one does not apply, at the distribution's mean."""
        place: NDArray[np.float64] = self._strategy.mean.copy()
        for index, (dimension, numbers) in enumerate(zip(self._space.dimensions, self._numbers, strict=True)):
            value = parameters.get(dimension.path)
            if isinstance(value, int | float):
                place[index] = numbers.place(value)
        return place


def _strategy(width: int, population: int | None) -> cmaes.CMA:
    """At the middle of the space, with room to every side. population: as Hansen has it for this width if none."""
    import cmaes

    return cmaes.CMA(
        mean=np.full(width, 0.5),
        sigma=_SIGMA,
        bounds=np.tile([0.0, 1.0], (width, 1)),
        n_max_resampling=10 * width,
        population_size=population,
    )


def _numbers(path: str, values: Numbers | Choices) -> Numbers:
    if isinstance(values, Choices):
        raise ValueError(f"{path} is a choice, and cmaes is for numbers alone: use tpe")
    return values
