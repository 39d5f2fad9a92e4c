"""What proposes the parameters of the next trial. Optuna only proposes: what it knows, it is told from our log."""

from __future__ import annotations

import copy
import logging
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from pydantic import JsonValue

from headway_api import trials
from headway_api.search import Search
from headway_api.tuning import Tuning
from headway_trainer import seeds
from headway_trainer.tuning.cma import CmaSearch
from headway_trainer.tuning.grid import GridSearch
from headway_trainer.tuning.known import Known
from headway_trainer.tuning.nsga2 import NsgaSearch
from headway_trainer.tuning.optuna_values import CONSTRAINT, distribution, drawn, told
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.trial import Parameters, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.storages import InMemoryStorage
    from optuna.trial import FrozenTrial, TrialState

MOST_KNOWN = {"random": 0, "tpe": 1000, "gp": 200}
"""Trials that ended and are learned from: more of them take `tpe` 0.03 s a proposal and longer, and `gp` a second."""


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
        """A trial has ended. loss: its first objective, or its metric, of which less is better; none where it has none.
        What is known of constraints and of other objectives is in its outcome."""


def searcher(tuning: Tuning, space: Space, seed: int) -> Searcher:
    """The searcher of `spec.tuning`. space: its parameters. seed: the job's, not negative."""
    match tuning.search.name:
        case "grid":
            return GridSearch(trials.grid(tuning))
        case "cmaes":
            return CmaSearch(space, seed)
        case "nsga2":
            return NsgaSearch(space, seed, tuning.search.population, len(tuning.objectives or ()))
        case "random" | "tpe" | "gp":
            return OptunaSearch(tuning.search, space, seed, constrained=tuning.constraints is not None)


class OptunaSearch:
    """Optuna's samplers behind ask and tell, in memory.

    A sampler's generator is in none of Optuna's storages, so each proposal has a new sampler, whose seed is made of the
    job's and the trial's number: a study that goes on proposes what it would have proposed.
    """

    def __init__(self, search: Search, space: Space, seed: int, *, constrained: bool = False) -> None:
        """constrained: whether trials have constraints to keep, which `tpe` alone learns from."""
        import optuna

        # It prints of each trial; what there is to say of trials, the run says.
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self._search, self._space, self._seed, self._constrained = search, space, seed, constrained
        self._distributions = {one.path: distribution(one.values) for one in space.dimensions}
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
                    parameters[dimension.path] = drawn(asked, dimension.path, dimension.values)
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
            self._known.ended(self._earlier, (0.0, loss))

    def tell(self, trial: Trial, loss: float | None) -> None:
        """As of Searcher."""
        from optuna.trial import TrialState

        violation = trial.outcome.violation if trial.outcome is not None else 0.0
        self._known.ended(self._earlier + trial.number, None if loss is None else (violation, loss))
        identity = self._trial_id(trial.number)
        if loss is None:
            self._storage.set_trial_state_values(identity, TrialState.FAIL)
            return
        if self._constrained:
            self._storage.set_trial_system_attr(identity, CONSTRAINT, violation)
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
            one.path: told(one.values, parameters[one.path]) for one in self._space.dimensions if one.path in parameters
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
