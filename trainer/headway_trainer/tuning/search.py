"""What proposes the parameters of the next trial. Optuna only proposes: what it knows, it is told from our log."""

from __future__ import annotations

import copy
import logging
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from pydantic import JsonValue

from headway_api import trials
from headway_api.tuning import Search, Tuning
from headway_trainer import seeds
from headway_trainer.tuning.cma import CmaSearch
from headway_trainer.tuning.grid import GridSearch
from headway_trainer.tuning.known import Known
from headway_trainer.tuning.space import Choices, Numbers, Space
from headway_trainer.tuning.trial import Parameters, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.storages import InMemoryStorage
    from optuna.trial import FrozenTrial, TrialState

MOST_KNOWN = {"random": 0, "tpe": 1000, "gp": 200}
"""Trials that ended and are learned from: more of them take `tpe` 0.03 s a proposal and longer, and `gp` a second."""
MOST_WHOLE = 10_000
"""Of a range of more whole numbers, Optuna is told that they are real: `gp` makes a list of them."""


class Searcher(Protocol):
    """Proposes parameters. What it proposes depends on its seed and on what it was told, and on nothing else."""

    def propose(self, trial: int) -> Parameters | None:
        """The parameters of a trial that begins, which it knows from here on; none if there are no others left.

        trial: counted from 1, one more than the last one.
        """

    def add(self, trial: Trial) -> None:
        """A trial that began in an earlier attempt, in place of proposing it: in order."""

    def learn(self, earlier: Sequence[tuple[Parameters, float]]) -> None:
        """Trials of earlier studies, each with its loss: before the first one of this one. Raises ValueError where
        nothing is learnt from trials."""

    def tell(self, trial: Trial, loss: float | None) -> None:
        """A trial has ended. loss: its value, of which less is better; none where it has none."""


def searcher(tuning: Tuning, space: Space, seed: int) -> Searcher:
    """The searcher of `spec.tuning`. space: its parameters. seed: the job's, not negative."""
    match tuning.search.name:
        case "grid":
            return GridSearch(trials.grid(tuning))
        case "cmaes":
            return CmaSearch(space, seed)
        case "random" | "tpe" | "gp":
            return OptunaSearch(tuning.search, space, seed)


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
        self._distributions = {one.path: _distribution(one.values) for one in space.dimensions}
        self._known = Known(MOST_KNOWN[search.name])
        self._earlier = 0
        """Trials of earlier studies, which have the first numbers here."""
        self._storage = _storage(self._known)
        self._study = optuna.create_study(storage=self._storage, sampler=self._sampler(0), direction="minimize")
        self._identity = self._storage.get_study_id_from_name(self._study.study_name)

    def propose(self, trial: int) -> Parameters:
        """As of Searcher; there is always something."""
        parameters: dict[str, JsonValue] = {}
        # In a very wide space, densities that a sampler computes are 0: their logarithm is what it should be.
        with np.errstate(all="ignore"):
            self._study.sampler = self._sampler(trial)
            asked = self._study.ask()
            for dimension in self._space.dimensions:
                if dimension.applies(parameters):
                    parameters[dimension.path] = _drawn(asked, dimension.path, dimension.values)
        self._known.begun(self._earlier + trial)
        # As it is told of a trial of an earlier attempt: rounded.
        self._storage.get_trial(self._trial_id(trial)).params.update(self._told(parameters))
        return parameters

    def add(self, trial: Trial) -> None:
        """As of Searcher."""
        import optuna

        self._known.begun(self._earlier + trial.number)
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=self._told(trial.parameters),
                distributions={path: self._distributions[path] for path in trial.parameters},
            )
        )

    def learn(self, earlier: Sequence[tuple[Parameters, float]]) -> None:
        """As of Searcher."""
        import optuna

        for parameters, loss in earlier:
            self._earlier += 1
            self._known.begun(self._earlier)
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.COMPLETE,
                    params=self._told(parameters),
                    distributions={path: self._distributions[path] for path in parameters},
                    value=loss,
                )
            )
            self._known.ended(self._earlier, loss)

    def tell(self, trial: Trial, loss: float | None) -> None:
        """As of Searcher."""
        from optuna.trial import TrialState

        self._known.ended(self._earlier + trial.number, loss)
        identity = self._trial_id(trial.number)
        if loss is None:
            self._storage.set_trial_state_values(identity, TrialState.FAIL)
            return
        if trial.state == "stopped" and self._search.name == "tpe":
            # TPE ranks these below all that were not stopped: by how far they came, and then by their value.
            self._storage.set_trial_intermediate_value(identity, trial.epochs, loss)
            self._storage.set_trial_state_values(identity, TrialState.PRUNED, [loss])
        else:
            self._storage.set_trial_state_values(identity, TrialState.COMPLETE, [loss])

    def _trial_id(self, trial: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._identity, self._earlier + trial - 1)

    def _told(self, parameters: Parameters) -> dict[str, JsonValue]:
        """Parameters as Optuna knows them."""
        return {
            one.path: _told(one.values, parameters[one.path])
            for one in self._space.dimensions
            if one.path in parameters
        }

    def _sampler(self, trial: int) -> optuna.samplers.BaseSampler:
        from optuna import samplers

        seed = seeds.proposal_seed(self._seed, trial)
        match self._search.name:
            case "tpe":
                return samplers.TPESampler(n_startup_trials=self._search.startup_trials, seed=seed)
            case "gp":
                # Conditional parameters are no part of its space.
                independent = samplers.TPESampler(n_startup_trials=self._search.startup_trials, seed=seed)
                return samplers.GPSampler(
                    n_startup_trials=self._search.startup_trials,
                    independent_sampler=independent,
                    warn_independent_sampling=False,
                    seed=seed,
                )
            case _:
                return samplers.RandomSampler(seed=seed)


def _storage(known: Known) -> InMemoryStorage:
    """A storage that shows a sampler the trials that it is to learn from."""
    from optuna.storages import InMemoryStorage
    from optuna.trial import TrialState

    class Bounded(InMemoryStorage):
        def get_all_trials(
            self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
        ) -> list[FrozenTrial]:
            if states == (TrialState.WAITING,):  # asked before each trial, and there are none
                return []
            everything = super().get_all_trials(study_id, deepcopy=False)
            shown = [everything[number - 1] for number in known.numbers()]
            shown = [trial for trial in shown if states is None or trial.state in states]
            return copy.deepcopy(shown) if deepcopy else shown

    return Bounded()


def _distribution(values: Numbers | Choices) -> optuna.distributions.BaseDistribution:
    """What Optuna is told that values are.

    Choices are told by their index: it takes `1` and `true` for the same, and knows no lists. Real numbers are told by
    their place from 0 to 1, as it computes with the distance of bounds, which may be no number.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, Choices):
        return CategoricalDistribution(range(len(values.values)))
    if _is_told_whole(values):
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=values.step)
    return FloatDistribution(0.0, 1.0)


def _is_told_whole(numbers: Numbers) -> bool:
    return numbers.count is not None and numbers.count <= MOST_WHOLE


def _drawn(asked: optuna.Trial, path: str, values: Numbers | Choices) -> JsonValue:
    """What Optuna proposes for one parameter."""
    if isinstance(values, Choices):
        return values.values[asked.suggest_categorical(path, range(len(values.values)))]
    if _is_told_whole(values):
        return asked.suggest_int(path, int(values.low), int(values.high), log=values.log, step=values.step)
    return values.at(asked.suggest_float(path, 0.0, 1.0))


def _told(values: Numbers | Choices, value: JsonValue) -> JsonValue:
    """A value as Optuna knows it."""
    if isinstance(values, Choices):
        return values.index(value)
    if _is_told_whole(values) or not isinstance(value, int | float):
        return value
    return values.place(value)
