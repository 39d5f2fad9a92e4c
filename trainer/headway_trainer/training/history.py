"""The epochs of a run, bounded: a run of a million epochs has checkpoints and results of a readable size. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headway_trainer.report.model import EpochRecord
from headway_trainer.training.link import Measured

MOST_RECORDS = 2000
"""More than a plot can show."""


def stride(epochs: int) -> int:
    """Of `epochs` finished epochs, every how manieth is kept: a power of two, so that what is kept stays kept or goes
    for good, whenever a run was stopped and resumed."""
    kept = 1
    while epochs > MOST_RECORDS * kept:
        kept *= 2
    return kept


def thinned(history: Sequence[EpochRecord]) -> list[EpochRecord]:
    """At most about MOST_RECORDS of the records, oldest first: every stride-th epoch, the first, and the newest."""
    if not history:
        return []
    newest = history[-1].epoch
    every = stride(newest)
    return [one for one in history if one.epoch % every == 0 or one.epoch in (1, newest)]


def note(epochs: int) -> str | None:
    """What people should know of the history of so many epochs; none where every epoch is in it."""
    every = stride(epochs)
    return None if every == 1 else f"The history has every {every}th epoch, the first and the last, of {epochs}."


def measured(history: Sequence[EpochRecord], after: int = -1) -> list[Measured]:
    """The epochs that end after a step, as they are told to whoever follows a run."""
    newer: list[Measured] = []
    for one in reversed(history):
        if one.step <= after:
            break
        newer.append(Measured(step=one.step, values=_values(one)))
    return newer[::-1]


def _values(one: EpochRecord) -> dict[str, float]:
    parts = (("train", one.train), ("validation", one.validation))
    values = {f"{part}/{name}": value for part, named in parts for name, value in named.items()}
    values |= {"epoch": float(one.epoch), "learning_rate": one.learning_rate, "epoch_seconds": one.seconds}
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
