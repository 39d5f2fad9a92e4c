"""Windows of counts that are drawn rather than counted: normal features, some of which have moved away, and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from headway_api.drift_wire import FeatureCounts, Watch, WatchedFeature, WatchedReference
from headway_api.training_rows import MAX_VALUES
from headway_server.judge.drift.windows import Result, result

BINS = 20
"""As reference.json has them."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Away:
    """How some features, the first ones, differ from the training rows: by standard deviations."""

    features: int = 0
    mean: float = 0.0
    spread: float = 1.0


def drawn(
    seed: int, windows: int, rows: int, *, training: int = 20_000, features: int = 30, away: Away | None = None
) -> Iterator[Result]:
    """What windows tell, one after the other. Each hundred have training rows of their own."""
    rng, moved = np.random.default_rng(seed), away or Away()
    watch = Watch(rows=rows)
    reference, shares = _reference(rng, training, features, moved)
    for number in range(windows):
        if number % 100 == 99:
            reference, shares = _reference(rng, training, features, moved)
        counts = [_counts(row) for row in rng.multinomial(rows, shares).tolist()]
        yield result(reference, counts, rows, watch)


def alarms(results: Iterator[Result], need: int, of: int) -> float:
    """The share of windows after which so many of the last ones alarm."""
    told = [one.alarms for one in results]
    return sum(sum(told[max(0, end - of) : end]) >= need for end in range(1, len(told) + 1)) / len(told)


def _reference(
    rng: np.random.Generator, training: int, features: int, away: Away
) -> tuple[WatchedReference, npt.NDArray[np.float64]]:
    """Bins as the trainer makes them, and the chances of a request's value to be below, in each, and above."""
    told: list[WatchedFeature] = []
    shares: list[list[float]] = []
    for place in range(features):
        values = rng.normal(size=training)
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
        told.append(WatchedFeature(name=f"x{place}", kind="numbers", cells=np.histogram(values, edges)[0].tolist()))
        mean, spread = (away.mean, away.spread) if place < away.features else (0.0, 1.0)
        below = [0.0, *(_NORMAL.cdf((edge - mean) / spread) for edge in edges.tolist()), 1.0]
        shares.append(np.diff(below).tolist())
    return WatchedReference(features=told), np.array(shares)


def _counts(row: Sequence[int]) -> FeatureCounts:
    return FeatureCounts.model_construct(cells=list(row[1:-1]), below=row[0], above=row[-1], missing=0, unseen=0)


def drawn_values(
    seed: int, windows: int, rows: int, shares: npt.NDArray[np.float64], *, training: int, features: int = 20
) -> Iterator[Result]:
    """Of features with so many values, the shares of which are the same in training and in all windows. Each five
    windows have training rows of their own."""
    rng, watch, known = np.random.default_rng(seed), Watch(rows=rows), list[tuple[list[int], WatchedFeature]]()
    for number in range(windows):
        if number % 5 == 0:
            known = [_named(f"x{at}", rng.multinomial(training, shares).tolist()) for at in range(features)]
        counts = [_found(rng.multinomial(rows, shares).tolist(), *one) for one in known]
        yield result(WatchedReference(features=[one for _, one in known]), counts, rows, watch)


def _named(name: str, counts: list[int]) -> tuple[list[int], WatchedFeature]:
    """The values that reference.json has by name, the most frequent ones, and the rest."""
    order = sorted((place for place, count in enumerate(counts) if count), key=lambda place: -counts[place])
    named = order[:MAX_VALUES]
    cells = [*(counts[place] for place in named), sum(counts[place] for place in order[MAX_VALUES:])]
    return named, WatchedFeature(name=name, kind="values", cells=cells)


def _found(counts: list[int], named: list[int], feature: WatchedFeature) -> FeatureCounts:
    cells = [counts[place] for place in named]
    rest, others = sum(counts) - sum(cells), feature.cells[-1] > 0
    return FeatureCounts(cells=[*cells, rest if others else 0], unseen=0 if others else rest)
