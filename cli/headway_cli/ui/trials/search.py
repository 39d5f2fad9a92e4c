"""What pages keep of a search: the best trial first, and of each trial what is shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import JsonValue

from headway_cli.ui.trials.axes import finite

MOST_CURVE = 60
"""Points that are kept of a trial's curve."""
MOST_EPOCHS = 1_000_000_000
MOST_WORDS = 300
"""Characters of a message, and of a parameter's value that is a text."""
OWN_VALUE = "value"
"""What trials are compared by, where no metric is known by name."""


@dataclass(frozen=True)
class Trial:
    """A trial."""

    number: int
    state: str
    parameters: Mapping[str, JsonValue]
    value: float | None = None
    deviation: float | None = None
    """Over the seeds that it was trained with, where these were several."""
    seeds: int = 1
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Of all objectives and constraints, where there are some."""
    violation: float = 0.0
    front: bool = False
    epochs: int = 0
    seconds: float = 0.0
    cause: str = ""
    message: str = ""
    curve: Sequence[tuple[int, float]] = ()
    """The metric over epochs, thinned."""

    def measured(self, metric: str) -> float | None:
        """Its value of a metric; None where it has none."""
        return finite(self.metrics.get(metric, self.value if not self.metrics else None))


@dataclass(frozen=True)
class Search:
    """The trials of a job."""

    trials: Sequence[Trial]
    """The best first; then those without a value, by number."""
    metrics: Sequence[str]
    """What they are compared by, and the constraints' metrics: the first one first."""
    smaller: frozenset[str] = frozenset()
    """Those of the metrics of which smaller values are better."""
    parameters: Sequence[str] = ()
    """What differs between trials: those that explain most first."""
    scales: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))
    """Parameters of which it is known whether they were searched by their logarithm."""
    importances: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    constrained: bool = False
    ended: str = ""
    """Why it has ended, in words; "" while it goes on."""

    @property
    def valued(self) -> list[Trial]:
        """The trials that have a value, the best first."""
        return [one for one in self.trials if one.value is not None]

    def by_logarithm(self, parameter: str | None) -> bool | None:
        """Whether a parameter was searched by its logarithm; None where that is not known. The number is not."""
        return False if parameter is None else self.scales.get(parameter)

    def counts(self) -> dict[str, int]:
        """How many trials there are of each state."""
        counts: dict[str, int] = {}
        for one in self.trials:
            counts[one.state] = counts.get(one.state, 0) + 1
        return counts

    def trial(self, number: int) -> Trial | None:
        """The trial of a number."""
        return next((one for one in self.trials if one.number == number), None)


def fifths(trials: Sequence[Trial]) -> dict[int, int]:
    """By number, in which fifth of the ranking a trial is: 1 the best, 5 the worst. trials: the best first."""
    return {one.number: 1 + 5 * place // len(trials) for place, one in enumerate(trials)}


def chosen(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most so many of the trials, which have the best first: the best half of them, and the others evenly."""
    if len(trials) <= most:
        return list(trials)
    first = trials[: most // 2]
    rest, room = trials[most // 2 :], most - most // 2
    return [*first, *(rest[place * len(rest) // room] for place in range(room))]


def thinned(curve: Sequence[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    """A curve without what is no number, in at most MOST_CURVE points, the first and the last among them."""
    there = [
        (epoch, value)
        for epoch, value in curve
        if value is not None and finite(value) is not None and 0 < epoch <= MOST_EPOCHS
    ]
    if len(there) <= MOST_CURVE:
        return tuple(there)
    last = len(there) - 1
    return tuple(there[place * last // (MOST_CURVE - 1)] for place in range(MOST_CURVE))


def differing(trials: Sequence[Trial]) -> list[str]:
    """The parameters that trials have, in their order, without those that have one value in all of them."""
    values: dict[str, set[str]] = {}
    for one in trials:
        for name, value in one.parameters.items():
            values.setdefault(name, set()).add(repr(value))
    there = {name: sum(name in one.parameters for one in trials) for name in values}
    return [name for name, seen in values.items() if len(seen) > 1 or there[name] < len(trials)] or list(values)
