"""`spec.monitoring` of a ModelDeployment: whether its requests are compared with the rows that its model is of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headway_api.base import Rule, Section

LEAST_ROWS = 100
MOST_ROWS = 1_000_000
MOST_WINDOWS = 10
"""Windows that are remembered, at most, to tell chance from drift."""


class DriftWindow(Section):
    """How much is looked at together."""

    rows: Annotated[int, Field(ge=LEAST_ROWS, le=MOST_ROWS)] = 1000
    """Sampled rows of a window: it ends once it has so many."""
    seconds: Annotated[int, Field(ge=1, le=604_800)] | None = None
    """And not before it has lasted so many seconds, so that for example a window of a day has all of its hours; then it
    may have more rows. No such limit if absent."""


class DriftPersistence(Section):
    """How often an alarm has to be there before it is told."""

    rules = (
        Rule(
            cel="self.need <= self.of",
            message="need is above of: so many windows are never looked at together; correct one of the two",
            holds=lambda persist: persist.need <= persist.of,
            field="need",
        ),
    )

    of: Annotated[int, Field(ge=1, le=MOST_WINDOWS)] = 3
    """The last windows that are looked at together."""
    need: Annotated[int, Field(ge=1, le=MOST_WINDOWS)] = 2
    """In so many of them an alarm makes the deployment Drifted; with fewer, it is Stable again."""


class Drift(Section):
    """By what requests count as unlike the training rows. A window alarms where a feature's difference is both
    significant and large enough to matter."""

    sample: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """The share of the answered requests whose rows are counted."""
    window: DriftWindow = DriftWindow()
    """Windows."""
    alpha: Annotated[float, Field(gt=0.0, le=0.2)] = 0.01
    """The probability, at most, that a window alarms by chance, over all features together."""
    min_effect: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """The least difference that counts: for numbers, how far apart the two cumulative distributions are at most, from 0
    to 1."""
    persist: DriftPersistence = DriftPersistence()
    """Persistence."""


class Monitoring(Section):
    """What is watched of the requests. Servers count rows into the bins of the model's `reference.json`; no value of a
    request leaves them."""

    drift: Drift
    """Tell when requests are unlike the rows that the model was trained on: `drift: {}` takes all defaults."""
