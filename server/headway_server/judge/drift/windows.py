"""Rows add up to windows, and what a window tells. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headway_api.drift_wire import (
    MOST_TOLD,
    DriftedFeature,
    FeatureCounts,
    QualityProblem,
    Watch,
    WatchedFeature,
    WatchedReference,
)
from headway_server.judge.drift.features import Finding, compare

_TESTS = 2
"""Of each feature: the probability of a false alarm is divided among all."""
_SCORE_DIGITS = 4
_MOST_SCORE = 1e6
"""However little is asked for as the least effect."""


class CountsError(ValueError):
    """Counts that are not of this reference. The message says why."""


class Window:
    """What servers have counted, added up, until it is over. Its size does not depend on how many rows there are."""

    def __init__(self, reference: WatchedReference, now: float) -> None:
        """now: when it begins."""
        self.rows = 0
        self.since = now
        self._features = [_Sum([0] * len(one.cells)) for one in reference.features]

    def add(self, rows: int, counts: Sequence[FeatureCounts]) -> None:
        """The rows of a batch. Raises CountsError, and adds nothing then."""
        if len(counts) != len(self._features):
            raise CountsError(f"counts: {len(counts)} features, but the reference has {len(self._features)}")
        for place, (one, known) in enumerate(zip(counts, self._features, strict=True)):
            if len(one.cells) != len(known.cells):
                raise CountsError(f"counts.{place}.cells: {len(one.cells)}, but the reference has {len(known.cells)}")
            if sum(one.cells) + one.missing + one.below + one.above + one.unseen > rows:
                raise CountsError(f"counts.{place}: they add up to more than the {rows} rows of the batch")
        for one, known in zip(counts, self._features, strict=True):
            known.add(one)
        self.rows += rows

    def over(self, watch: Watch, now: float) -> bool:
        """Whether it has as many rows as it needs, and has lasted for long enough."""
        return self.rows >= watch.rows and now - self.since >= watch.seconds

    @property
    def counts(self) -> list[FeatureCounts]:
        """The sums, in the reference's order."""
        return [one.told() for one in self._features]


@dataclass(slots=True)
class _Sum:
    cells: list[int]
    missing: int = 0
    below: int = 0
    above: int = 0
    unseen: int = 0

    def add(self, more: FeatureCounts) -> None:
        self.cells = [a + b for a, b in zip(self.cells, more.cells, strict=True)]
        self.missing += more.missing
        self.below += more.below
        self.above += more.above
        self.unseen += more.unseen

    def told(self) -> FeatureCounts:
        return FeatureCounts(
            cells=self.cells, missing=self.missing, below=self.below, above=self.above, unseen=self.unseen
        )


@dataclass(frozen=True)
class Result:
    """What a window has told."""

    rows: int
    compared: int = 0
    """Features of which it could be told whether they differ."""
    score: float = 0.0
    """The greatest of the features'."""
    alarming: int = 0
    """Features whose score is 1 or more."""
    features: list[DriftedFeature] = field(default_factory=list)
    """Those with the greatest scores above 0."""
    problems: int = 0
    """Features with something wrong with their values."""
    data_quality: list[QualityProblem] = field(default_factory=list)
    """The worst of these."""

    @property
    def alarms(self) -> bool:
        """Whether it is unlike the training rows."""
        return self.alarming > 0


def result(reference: WatchedReference, counts: Sequence[FeatureCounts], rows: int, watch: Watch) -> Result:
    """Hold the counts of a window of so many rows against the reference."""
    level = watch.alpha / (_TESTS * max(1, len(reference.features)))
    found = [
        (feature, compare(feature, one, level, watch.min_effect))
        for feature, one in zip(reference.features, counts, strict=True)
    ]
    scores = {
        place: min(_MOST_SCORE, one.effect / watch.min_effect) for place, (_, one) in enumerate(found) if one.effect > 0
    }
    first = heapq.nlargest(MOST_TOLD, scores, key=scores.__getitem__)
    return Result(
        rows=rows,
        compared=sum(one.fault is None for _, one in found),
        score=round(max(scores.values(), default=0.0), _SCORE_DIGITS),
        alarming=sum(score >= 1 for score in scores.values()),
        features=[DriftedFeature(name=found[at][0].name, score=round(scores[at], _SCORE_DIGITS)) for at in first],
        problems=sum(one.fault is not None for _, one in found),
        data_quality=_worst(found),
    )


def _worst(found: Iterable[tuple[WatchedFeature, Finding]]) -> list[QualityProblem]:
    faults = [(feature.name, one.fault) for feature, one in found if one.fault is not None]
    return [
        QualityProblem(
            name=name,
            problem=fault.problem,
            share=round(fault.share, _SCORE_DIGITS),
            usual=round(fault.usual, _SCORE_DIGITS),
        )
        for name, fault in heapq.nlargest(MOST_TOLD, faults, key=lambda pair: pair[1].excess)
    ]
