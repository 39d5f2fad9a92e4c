"""`spec.tuning.scheduler`: what becomes of a trial before its last epoch, by its metric beside that of other trials."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from headway_api.base import Rule, Section

_HALVING = ("asha", "hyperband")
_STOPPING = ("median", *_HALVING)
_GRACE_EPOCHS, _REDUCTION_FACTOR = 1, 3
_INTERVAL_EPOCHS, _QUANTILE, _RESAMPLE = 1, 0.25, 0.25
MOST_OF_A_POPULATION = 1000
"""The trials of `pbt`: each has a checkpoint until the last one has ended."""
CHANGED_WHILE_TRAINED = (
    "training.optimizer.lr",
    "training.optimizer.weightDecay",
    "training.optimizer.momentum",
    "training.clip.norm",
    "model.options.dropout",
)
"""What may change in the middle of a trial: it changes neither what the model and its optimiser hold nor how long an
epoch is."""


def _of_pbt(field: str, default: float) -> Rule:
    return Rule(
        cel=f"self.name == 'pbt' || self.{field} == {default}",
        message=f"{field} is for pbt: set name to it, or take {field} out",
        holds=lambda one: one.name == "pbt" or getattr(one, to_snake(field)) == default,
        field=field,
    )


class Scheduler(Section):
    """What ends a trial before its last epoch, or changes its values, by its metric beside that of other trials."""

    rules = (
        Rule(
            cel=f"self.name != 'none' || self.graceEpochs == {_GRACE_EPOCHS}",
            message="graceEpochs is of a scheduler, and name is none: set name, or take graceEpochs out",
            holds=lambda one: one.name != "none" or one.grace_epochs == _GRACE_EPOCHS,
            field="graceEpochs",
        ),
        Rule(
            cel=f"self.name != 'pbt' || self.graceEpochs == {_GRACE_EPOCHS}",
            message=f"graceEpochs is for {', '.join(_STOPPING)}, and pbt stops no trial: write intervalEpochs",
            holds=lambda one: one.name != "pbt" or one.grace_epochs == _GRACE_EPOCHS,
            field="graceEpochs",
        ),
        Rule(
            cel=f"self.name in {list(_HALVING)} || self.reductionFactor == {_REDUCTION_FACTOR}",
            message=f"reductionFactor is for {' and '.join(_HALVING)}: set name to one of them, or take it out",
            holds=lambda one: one.name in _HALVING or one.reduction_factor == _REDUCTION_FACTOR,
            field="reductionFactor",
        ),
        _of_pbt("intervalEpochs", _INTERVAL_EPOCHS),
        _of_pbt("quantile", _QUANTILE),
        _of_pbt("resampleProbability", _RESAMPLE),
    )

    name: Literal["none", "median", "asha", "hyperband", "pbt"] = "none"
    """`median`: stops what is below the median of the running averages (Golovin et al., 2017).

    `asha`: asynchronous successive halving (Li et al., 2020). `hyperband`: several of it, with other grace epochs each
    (Li et al., 2018). `pbt`: population based training (Jaderberg et al., 2017), which stops none: all `trials` are
    trained side by side, and now and then the worst continue from checkpoints of the best, with other values.
    """
    grace_epochs: Annotated[int, Field(ge=1, le=1_000_000)] = _GRACE_EPOCHS
    """No trial is stopped before so many epochs."""
    reduction_factor: Annotated[int, Field(ge=2, le=100)] = _REDUCTION_FACTOR
    """Of `asha` and `hyperband`: about one trial in so many continues from each rung to the next.

    The next rung is so many times as many epochs.
    """
    interval_epochs: Annotated[int, Field(ge=1, le=1_000_000)] = _INTERVAL_EPOCHS
    """Of `pbt`: the epochs that each trial is trained before the worst take over from the best, and again after it."""
    quantile: Annotated[float, Field(gt=0.0, le=0.5)] = _QUANTILE
    """Of `pbt`: this share of the trials, the worst, takes over from as many of the best; at least one trial."""
    resample_probability: Annotated[float, Field(ge=0.0, le=1.0)] = _RESAMPLE
    """Of `pbt`: how likely a value is drawn again by a trial that takes over. Else it is multiplied by 0.8 or 1.2."""
