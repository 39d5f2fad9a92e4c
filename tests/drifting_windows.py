"""Windows of counts that are drawn rather than counted: normal features, some of which have moved away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from headway_api.drift_wire import FeatureCounts, Watch, WatchedFeature, WatchedReference
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
