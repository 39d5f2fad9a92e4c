"""How much each parameter matters, of functions of which that is known."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from headway_api.parameters import Parameter
from headway_trainer.tuning.importance import MOST_TRIALS, importances
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.trial import Trial

LR, DROPOUT, NAME, MOMENTUM = "training.optimizer.lr", "model.options.dropout", "training.optimizer.name", "training.x"
SPACE = Space(
    {
        path: Parameter.model_validate(values)
        for path, values in {
            LR: {"logUniform": {"min": 1e-5, "max": 1.0}},
            DROPOUT: {"uniform": {"min": 0, "max": 0.5}},
            NAME: {"choice": ["sgd", "adamw", "none"]},
            MOMENTUM: {"uniform": {"min": 0, "max": 1}, "when": {NAME: ["sgd"]}},
        }.items()
    }
)


def tried(value: Callable[[Mapping[str, Any]], float | None], count: int = 60, seed: int = 0) -> list[Trial]:
    """Trials at random, with these values."""
    random_ = random.Random(seed)  # noqa: S311 - no secrets
    trials = []
    for number in range(1, count + 1):
        parameters: dict[str, Any] = {
            LR: 10 ** random_.uniform(-5, 0),
            DROPOUT: random_.uniform(0, 0.5),
            NAME: random_.choice(["sgd", "adamw", "none"]),
        }
        if parameters[NAME] == "sgd":
            parameters[MOMENTUM] = random_.random()
        told = value(parameters)
        state: Any = "completed" if told is not None else "failed"
        trials.append(Trial(number, parameters, state=state, value=told, epochs=1))
    return trials


@pytest.mark.parametrize(
    ("function", "first"),
    [
        (lambda one: (math.log10(one[LR]) + 3) ** 2, LR),
        (lambda one: one[DROPOUT], DROPOUT),
        (lambda one: {"sgd": 1.0, "adamw": 2.0, "none": 5.0}[one[NAME]], NAME),
        (lambda one: -(10 ** (20 * one[DROPOUT])), DROPOUT),
    ],
    ids=["by its logarithm", "a straight line", "a choice", "over many magnitudes"],
)
def test_the_only_parameter_that_matters_explains_nearly_all(
    function: Callable[[Mapping[str, Any]], float], first: str
) -> None:
    told = importances(SPACE, tried(function))
    assert next(iter(told)) == first
    assert told[first] > 0.9
    assert sum(told.values()) == pytest.approx(1.0)


def test_parameters_are_ordered_by_how_much_they_matter() -> None:
    told = importances(SPACE, tried(lambda one: 3 * math.log10(one[LR]) + 8 * one[DROPOUT]))
    assert list(told) == [LR, DROPOUT, NAME]
    assert told[LR] > 2 * told[DROPOUT] > 10 * told[NAME]


def test_one_trial_that_diverged_changes_little() -> None:
    trials = tried(lambda one: math.log10(one[LR]))
    trials[17].value = 1e30
    assert importances(SPACE, trials)[LR] > 0.8


def test_a_conditional_parameter_is_left_out_and_trials_that_failed_do_not_count() -> None:
    told = importances(SPACE, tried(lambda one: one[DROPOUT] if one[NAME] != "none" else None))
    assert MOMENTUM not in told
    assert next(iter(told)) == DROPOUT


@pytest.mark.parametrize(
    "trials",
    [[], tried(lambda one: one[DROPOUT], count=9), tried(lambda _: 0.5), tried(lambda _: None)],
    ids=["none", "too few", "all equal", "all failed"],
)
def test_nothing_is_told_where_nothing_can_be(trials: list[Trial]) -> None:
    assert importances(SPACE, trials) == {}


def test_the_same_trials_give_the_same_figures() -> None:
    trials = tried(lambda one: one[DROPOUT] + math.log(one[LR]))
    assert importances(SPACE, trials) == importances(SPACE, trials)


def test_of_very_many_trials_some_that_are_equally_far_apart_are_looked_at() -> None:
    trials = tried(lambda one: one[DROPOUT], count=2 * MOST_TRIALS)
    assert importances(SPACE, trials) == importances(SPACE, trials[::2])


def test_it_imports_neither_optuna_nor_scikit_learn_before_it_is_asked() -> None:
    code = "import sys, headway_trainer.tuning.importance; print({'optuna', 'sklearn'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
