"""What proposes the parameters of the next trial. Optuna only proposes: what it knows, it is told from our log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

from headway_api.tuning import Search
from headway_trainer import seeds
from headway_trainer.tuning.grid import GridSearch
from headway_trainer.tuning.space import Choices, Dimension, Space
from headway_trainer.tuning.trial import Parameters, Trial

if TYPE_CHECKING:
    import optuna


class Searcher(Protocol):
    """Proposes parameters. What it proposes depends on its seed and on what it was told, and on nothing else."""

    def propose(self, trial: int) -> Parameters | None:
        """The parameters of a trial that begins, which it knows from here on; none if there are no others left.

        trial: counted from 1, one more than the last one.
        """

    def add(self, trial: Trial) -> None:
        """A trial that began in an earlier attempt, in place of proposing it: in order."""

    def tell(self, trial: Trial, loss: float | None) -> None:
        """A trial has ended. loss: its value, of which less is better; none where it has none."""


def searcher(search: Search, space: Space, seed: int) -> Searcher:
    """The searcher of `spec.tuning.search`. seed: the job's, not negative."""
    match search.name:
        case "grid":
            return GridSearch(space)
        case _:
            return OptunaSearch(search, space, seed)


class OptunaSearch:
    """Optuna's samplers behind ask and tell, in memory.

    A sampler's generator is in none of Optuna's storages, so each proposal has a new sampler, whose seed is made of the
    job's and the trial's number: a study that goes on proposes what it would have proposed.
    """

    def __init__(self, search: Search, space: Space, seed: int) -> None:
        import optuna

        # It prints of each trial; what there is to say of trials, the run says.
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self._search, self._space, self._seed = search, space, seed
        self._distributions = {dimension.path: _distribution(dimension) for dimension in space.dimensions}
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, sampler=self._sampler(0), direction="minimize")
        self._identity = self._storage.get_study_id_from_name(self._study.study_name)

    def propose(self, trial: int) -> Parameters:
        """As of Searcher; there is always something."""
        self._study.sampler = self._sampler(trial)
        asked = self._study.ask()
        parameters: dict[str, JsonValue] = {}
        for dimension in self._space.dimensions:
            if dimension.applies(parameters):
                parameters[dimension.path] = _suggested(asked, dimension)
        return parameters

    def add(self, trial: Trial) -> None:
        """As of Searcher."""
        import optuna

        own = {one.path: one for one in self._space.dimensions}
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params={path: _known(own[path], value) for path, value in trial.parameters.items()},
                distributions={path: self._distributions[path] for path in trial.parameters},
            )
        )

    def tell(self, trial: Trial, loss: float | None) -> None:
        """As of Searcher."""
        from optuna.trial import TrialState

        identity = self._storage.get_trial_id_from_study_id_trial_number(self._identity, trial.number - 1)
        if loss is None:
            self._storage.set_trial_state_values(identity, TrialState.FAIL)
            return
        if trial.state == "stopped" and self._search.name == "tpe":
            # TPE ranks these below all that were not stopped: by how far they came, and then by their value.
            self._storage.set_trial_intermediate_value(identity, trial.epochs, loss)
            self._storage.set_trial_state_values(identity, TrialState.PRUNED, [loss])
        else:
            self._storage.set_trial_state_values(identity, TrialState.COMPLETE, [loss])

    def _sampler(self, trial: int) -> optuna.samplers.BaseSampler:
        from optuna import samplers

        seed = seeds.proposal_seed(self._seed, trial)
        match self._search.name:
            case "tpe":
                return samplers.TPESampler(n_startup_trials=self._search.startup_trials, seed=seed)
            case _:
                return samplers.RandomSampler(seed=seed)


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """Choices by their index: Optuna takes `1` and `true` for the same, and knows no lists."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = dimension.values
    if isinstance(values, Choices):
        return CategoricalDistribution(range(len(values.values)))
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=values.step)
    return FloatDistribution(values.low, values.high, log=values.log)


def _suggested(asked: optuna.Trial, dimension: Dimension) -> JsonValue:
    path, values = dimension.path, dimension.values
    if isinstance(values, Choices):
        return values.values[asked.suggest_categorical(path, range(len(values.values)))]
    if values.whole:
        return asked.suggest_int(path, int(values.low), int(values.high), log=values.log, step=values.step)
    return values.nearest(asked.suggest_float(path, values.low, values.high, log=values.log))


def _known(dimension: Dimension, value: JsonValue) -> JsonValue:
    """A value as Optuna knows it."""
    return dimension.values.index(value) if isinstance(dimension.values, Choices) else value
