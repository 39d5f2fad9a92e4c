"""NSGA-II (Deb et al., 2002) by Optuna's sampler: which trials survive, and what is bred of them.

Optuna's sampler finds generations and their parents in the attributes of all trials of a study, and keeps the parents
in the study's own. Here they follow from the trials alone, in the order in which they began and ended, and the sampler
is shown the parents of the running generation and nothing else: so a study that is replayed proposes the same, and a
proposal does not take longer with each trial.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from headway_trainer import seeds
from headway_trainer.tuning.optuna_values import CONSTRAINT, distribution, drawn, told
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.trial import Parameters, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

MOST_REDRAWS = 20
"""How often a proposal that was tried already is drawn anew before it is taken, the second half of these at random: a
space may have no others left."""
_BRED = 1
"""The generation of the trials that begin, as Optuna's sampler is told: those that it is shown have the one before."""


class NsgaSearch:
    """A Searcher for several objectives, under constraints or not.

    The trials of the first generation are drawn at random. A generation ends once as many of its trials have ended with
    values as the population is large; later ones of it are not learned from. Then the best of them and of their parents
    are the parents of the next one. Trials of a generation run at once, and further ones are bred from the same parents
    while they do.
    """

    def __init__(self, space: Space, seed: int, population: int, objectives: int) -> None:
        """population: the trials of a generation, and how many survive. objectives: how many there are."""
        import optuna  # noqa: F401 - it sets the level of its logger

        # It prints of each study; what there is to say of trials, the run says.
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self._space, self._seed, self._population, self._objectives = space, seed, population, objectives
        self._distributions = {one.path: distribution(one.values) for one in space.dimensions}
        self._generation = 0
        self._generation_of: dict[int, int] = {}
        """Of the trials that run."""
        self._parents: list[Trial] = []
        self._ended: list[Trial] = []
        """The trials of this generation that have ended with values."""
        self._bred: optuna.Study | None = None
        """Optuna's, with the parents; none before something is proposed in this generation."""
        self._tried: set[str] = set()
        """The parameters of all trials: a child may be its parents' copy, and would train to the same model again."""

    def propose(self, trial: int) -> Parameters:
        """As of Searcher; there is always something."""
        if self._bred is None:
            self._bred = self._study(self._parents)
        parameters = self._drawn(seeds.proposal_seed(self._seed, trial), self._bred)
        for redraw in range(1, MOST_REDRAWS + 1):
            if _key(parameters) not in self._tried:
                break
            study = self._bred if redraw <= MOST_REDRAWS // 2 else self._study(())
            parameters = self._drawn(seeds.redrawn_seed(self._seed, trial, redraw), study)
        self._begin(trial, parameters)
        return parameters

    def add(self, trial: Trial) -> None:
        """As of Searcher."""
        self._begin(trial.number, trial.parameters)

    def learn(self, earlier: Sequence[tuple[Parameters, float]]) -> None:  # noqa: ARG002 - as of Searcher
        """As of Searcher."""
        raise ValueError("nsga2 learns from no earlier trials")

    def tell(self, trial: Trial, loss: float | None) -> None:
        """As of Searcher. What it learns of a trial is its outcome."""
        if self._generation_of.pop(trial.number) != self._generation or loss is None or trial.outcome is None:
            return
        self._ended.append(trial)
        if len(self._ended) == self._population:
            self._parents = self._survivors()
            self._ended, self._bred = [], None
            self._generation += 1

    @property
    def parents(self) -> tuple[Trial, ...]:
        """The trials that the running generation descends from, by number; none of the first one."""
        return tuple(self._parents)

    def _begin(self, trial: int, parameters: Parameters) -> None:
        self._generation_of[trial] = self._generation
        self._tried.add(_key(parameters))

    def _drawn(self, seed: int, study: optuna.Study) -> Parameters:
        """Parameters of a child of the trials of a study that have ended; without any, at random."""
        study.sampler = _sampler(seed, self._population)
        asked = study.ask()
        parameters: dict[str, JsonValue] = {}
        for dimension in self._space.dimensions:
            if dimension.applies(parameters):
                parameters[dimension.path] = drawn(asked, dimension.path, dimension.values)
        return parameters

    def _survivors(self) -> list[Trial]:
        """The best of this generation and its parents, in the order of their numbers."""
        candidates = sorted((*self._parents, *self._ended), key=lambda one: one.number)
        sampler = _sampler(0, self._population)  # nothing is drawn
        chosen = {one.number for one in sampler.select_parent(self._study(candidates), _BRED)}
        return [one for place, one in enumerate(candidates) if place in chosen]

    def _study(self, shown: Sequence[Trial]) -> optuna.Study:
        """A study of these trials, which are numbered by their places."""
        import optuna

        study = optuna.create_study(directions=["minimize"] * self._objectives)
        study.add_trials([self._frozen(one) for one in shown])
        return study

    def _frozen(self, trial: Trial) -> FrozenTrial:
        """A trial as Optuna knows it."""
        import optuna

        outcome = trial.outcome
        return optuna.trial.create_trial(
            values=list(outcome.losses) if outcome is not None else None,
            params={
                one.path: told(one.values, trial.parameters[one.path])
                for one in self._space.dimensions
                if one.path in trial.parameters
            },
            distributions={path: self._distributions[path] for path in trial.parameters},
            system_attrs={CONSTRAINT: outcome.violation if outcome is not None else 0.0},
        )


def _key(parameters: Parameters) -> str:
    return json.dumps(parameters, sort_keys=True)


def _sampler(seed: int, population: int) -> optuna.samplers.NSGAIISampler:
    """Optuna's sampler, for a study of which all trials that have ended are the parents of those that begin."""
    from optuna.samplers import NSGAIISampler
    from optuna.trial import TrialState

    class Breeding(NSGAIISampler):
        def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:  # noqa: ARG002 - all that begin
            return _BRED

        def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if generation == _BRED - 1 else []

        def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            return self.get_population(study, generation - 1)

    return Breeding(population_size=population, seed=seed)
