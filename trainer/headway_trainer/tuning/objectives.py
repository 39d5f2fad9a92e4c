"""Which of two trials is the better one, by one metric or several and under constraints. Pure.

A trial that keeps all constraints is better than one that does not; of two that do not, the one with the smaller
violation is; of two that do, the one that dominates the other (Deb, 2000, "An efficient constraint handling method for
genetic algorithms"; Deb et al., 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headway_api.objectives import Constraint
from headway_api.tuning import Tuning


@dataclass(frozen=True)
class Outcome:
    """What a trial is ranked by."""

    losses: tuple[float, ...]
    """Of each objective, or of the metric: the value, negated where more is better."""
    violation: float = 0.0
    """How far it is from keeping the constraints; 0 where it keeps them."""

    @property
    def feasible(self) -> bool:
        """Whether it keeps the constraints."""
        return self.violation <= 0

    @property
    def rank(self) -> tuple[float, ...]:
        """The smaller, the better, where one trial is chosen: by the violation, then by the objectives in their order.

        The least one of several is dominated by none of them.
        """
        return (self.violation, *self.losses)


def front(outcomes: Sequence[Outcome]) -> list[int]:
    """The indices of those that keep the constraints and that none dominates, the best by the first objective first.

    Equal ones are all there. Takes a time proportional to the outcomes times the size of their front.
    """
    feasible = [index for index, one in enumerate(outcomes) if one.feasible]
    if not feasible:
        return []
    # What comes later in this order dominates nothing before it.
    ordered = sorted(feasible, key=lambda index: (outcomes[index].losses, index))
    known = np.empty((len(ordered), len(outcomes[ordered[0]].losses)))
    found: list[int] = []
    for index in ordered:
        losses = np.array(outcomes[index].losses)
        before = known[: len(found)]
        if not ((before <= losses).all(axis=1) & (before < losses).any(axis=1)).any():
            known[len(found)] = losses
            found.append(index)
    return found


@dataclass(frozen=True)
class Goals:
    """What trials of a search are compared by."""

    metrics: tuple[str, ...]
    """The objectives, or the one metric; as `part/name`."""
    signs: tuple[float, ...]
    """Of each of them: 1 where less is better, else -1."""
    constraints: tuple[Constraint, ...] = ()

    @staticmethod
    def of(tuning: Tuning, metric: str) -> Goals:
        """The goals of `spec.tuning`. metric: what trials are compared by where it has no objectives."""
        names = tuple(one.metric for one in tuning.objectives) if tuning.objectives is not None else (metric,)
        signs = tuple(1.0 if tuning.better(name) == "min" else -1.0 for name in names)
        return Goals(names, signs, tuple(tuning.constraints or ()))

    @property
    def first(self) -> str:
        """The metric that decides between trials of which none dominates the other."""
        return self.metrics[0]

    @property
    def named(self) -> tuple[str, ...]:
        """All metrics that a trial has to have a value of, each once; none where one metric says it all."""
        if len(self.metrics) == 1 and not self.constraints:
            return ()
        return tuple(dict.fromkeys((*self.metrics, *(one.metric for one in self.constraints))))

    def missing(self, values: Mapping[str, float]) -> str | None:
        """The first metric that there is no finite value of."""
        return next((name for name in self.named if not math.isfinite(values.get(name, math.nan))), None)

    def violation(self, values: Mapping[str, float]) -> float:
        """The violations of all constraints together, each as a part of its bound. values: of all that is `named`."""
        return math.fsum(one.violation(values[one.metric]) for one in self.constraints)

    def outcome(self, value: float, values: Mapping[str, float]) -> Outcome:
        """What a trial is ranked by. value: of the first metric. values: of all that is `named`."""
        losses = [sign * values.get(name, value) for name, sign in zip(self.metrics, self.signs, strict=True)]
        return Outcome(tuple(losses), self.violation(values))
