"""Parameters as Optuna knows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import JsonValue

from headway_trainer.tuning.space import Choices, Numbers

if TYPE_CHECKING:
    import optuna

MOST_WHOLE = 10_000
"""Of a range of more whole numbers, Optuna is told that they are real: `gp` makes a list of them."""
CONSTRAINT = "constraints:all"
"""The attribute of a trial by which Optuna's samplers know how far it is from keeping its constraints: above 0 where it
breaks them."""


def distribution(values: Numbers | Choices) -> optuna.distributions.BaseDistribution:
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


def drawn(asked: optuna.Trial, path: str, values: Numbers | Choices) -> JsonValue:
    """What Optuna proposes for one parameter."""
    if isinstance(values, Choices):
        return values.values[asked.suggest_categorical(path, range(len(values.values)))]
    if _is_told_whole(values):
        return asked.suggest_int(path, int(values.low), int(values.high), log=values.log, step=values.step)
    return values.at(asked.suggest_float(path, 0.0, 1.0))


def told(values: Numbers | Choices, value: JsonValue) -> JsonValue:
    """A value as Optuna knows it."""
    if isinstance(values, Choices):
        return values.index(value)
    if _is_told_whole(values) or not isinstance(value, int | float):
        return value
    return values.place(value)
