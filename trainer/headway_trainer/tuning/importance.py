"""How much each parameter matters: by fANOVA, over a forest that is fitted to the trials. Pure.

Hutter, Hoos, Leyton-Brown, 2014, "An Efficient Approach for Assessing Hyperparameter Importance"; Optuna computes it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from headway_trainer.tuning.space import Choices, Dimension, Space
from headway_trainer.tuning.trial import Trial

if TYPE_CHECKING:
    import optuna

FEWEST_TRIALS = 10
"""Of fewer trials a forest learns nothing worth telling."""
MOST_TRIALS = 200
"""Of more, as many that are equally far apart are looked at: so it takes seconds and not minutes."""


def importances(space: Space, trials: Iterable[Trial]) -> dict[str, float]:
    """Of what single parameters explain of the differences between the trials' ranks, the share of each; they add up
    to 1. Empty where there are too few trials, or their values do not differ.

    Ranks are taken in place of values, as one trial that diverged would explain all. Trials that were stopped count
    with the value that they had come to, and parameters that did not apply to all trials are left out.
    """
    valued = [one for one in trials if one.value is not None and one.state != "running"]
    count = min(len(valued), MOST_TRIALS)
    chosen = [valued[index * len(valued) // count] for index in range(count)]
    dimensions = [one for one in space.dimensions if all(one.path in trial.parameters for trial in chosen)]
    ranks = _ranks([one.value or 0.0 for one in chosen])
    if count < FEWEST_TRIALS or len(set(ranks)) == 1 or not dimensions:
        return {}
    return _fanova(dimensions, [one.parameters for one in chosen], ranks)


def _fanova(
    dimensions: Sequence[Dimension], parameters: Sequence[Mapping[str, JsonValue]], values: Sequence[float]
) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    own = {one.path: _distribution(one) for one in dimensions}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's own, of what is experimental there
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={one.path: _place(one, given[one.path]) for one in dimensions},
                    distributions=own,
                    value=value,
                )
                for given, value in zip(parameters, values, strict=True)
            ]
        )
        told = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=list(own))
    return {path: float(share) for path, share in told.items() if math.isfinite(share)}


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """Numbers by their place in their range: Optuna's fANOVA takes ranges as they are, and not by their logarithm."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(dimension.values, Choices):
        return CategoricalDistribution(range(len(dimension.values.values)))
    return FloatDistribution(0.0, 1.0)


def _place(dimension: Dimension, value: JsonValue) -> float | int:
    values = dimension.values
    if isinstance(values, Choices):
        return values.index(value) or 0
    return values.place(value) if isinstance(value, int | float) else math.nan


def _ranks(values: Sequence[float]) -> list[float]:
    """The place of each value among the different ones, from 0 on."""
    order = {value: place for place, value in enumerate(sorted(set(values)))}
    return [float(order[value]) for value in values]
