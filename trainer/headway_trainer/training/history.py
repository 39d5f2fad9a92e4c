"""The epochs of a run, bounded: a run of a million epochs has checkpoints and results of a readable size. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headway_trainer.report.model import EpochRecord

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
