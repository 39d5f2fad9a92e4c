"""How far the values of one feature are from those of the training rows, and what is wrong with them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from headway_api.drift_wire import FeatureCounts, Problem, WatchedFeature
from headway_server.judge.drift import cells, statistics
from headway_server.judge.drift.statistics import Test

SHARE_OF_W = 1 / math.sqrt(2 * math.pi)
"""Makes Cohen's w comparable with a distance of distribution functions: where a normal variable's mean moves by a small
part d of its standard deviation, w is d, and the distance is this times d. So one threshold holds for both."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a feature's values."""

    problem: Problem
    share: float
    """Of the window's rows."""
    usual: float
    """Of the training rows."""
    excess: float
    """By how much the share is above what is usual."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Of a feature in a window."""

    effect: float = 0.0
    """The greatest effect of those tests that are significant, from 0 to 1."""
    fault: Fault | None = None
    """The worst; then nobody can tell whether it drifts, and the effect is 0."""


def compare(feature: WatchedFeature, counts: FeatureCounts, level: float, least: float) -> Finding:
    """What a window's counts tell of a feature. level: the probability of a false alarm that each test has. least: the
    effect from which on a fault is one."""
    faults = [fault for fault, p in _faults(feature, counts) if p <= level and fault.excess >= least]
    if faults:
        return Finding(fault=max(faults, key=lambda fault: fault.excess))
    return Finding(max((min(1.0, test.effect) for test in _tests(feature, counts) if test.p <= level), default=0.0))


def _tests(feature: WatchedFeature, counts: FeatureCounts) -> Iterator[Test]:
    """Of the values that are there, two. Of numbers one sees shifts best, the other changes of spread and of single
    cells; of values one sees what is frequent, the other what is rare."""
    if not feature.cells:
        return
    if feature.kind == "numbers":
        yield statistics.kolmogorov(feature.cells, counts.cells, counts.below, counts.above)
        # The outermost cells end where the training rows end, and not where the distribution does.
        window = list(counts.cells)
        window[0] += counts.below
        window[-1] += counts.above
        found = cells.neighbours(feature.cells, window)
    else:
        # What is new beyond what is usual is a fault, or too little to be one, and no drift of what is known.
        new, of = _new_values(feature)
        unseen = min(counts.unseen, math.ceil(sum(counts.cells) * new / of)) if of else 0
        frequent, rare = cells.values(feature.cells, counts.cells, unseen)
        rows = sum(counts.cells) + unseen
        yield statistics.more_often(rare[1], rows, rare[0], sum(feature.cells))
        found = cells.together(frequent, rare)
    test = statistics.chi_square(found)
    yield Test(test.p, test.effect * SHARE_OF_W)


def _faults(feature: WatchedFeature, counts: FeatureCounts) -> Iterator[tuple[Fault, float]]:
    """All that may be wrong, each with the probability of it by chance."""
    known, there = sum(feature.cells), sum(counts.cells) + counts.below + counts.above + counts.unseen
    rows, all_known = there + counts.missing, known + feature.missing
    if rows and all_known:
        test = statistics.more_often(counts.missing, rows, feature.missing, all_known)
        yield Fault("Missing", counts.missing / rows, feature.missing / all_known, test.effect), test.p
    if not there or not known:
        return
    if feature.kind == "numbers":
        test = statistics.outside(counts.below, counts.above, there, known)
        yield Fault("OutOfRange", (counts.below + counts.above) / there, 0.0, test.effect), test.p
    else:
        test = statistics.more_often(counts.unseen, there, *_new_values(feature))
        yield Fault("Unseen", counts.unseen / there, 0.0, test.effect), test.p


def _new_values(feature: WatchedFeature) -> tuple[int, int]:
    """How many rows with values that are new are to be expected, and of how many: those with values that came once are
    as many (Good, 1953). By chance they may be other ones by the root of them and of twice those that came twice, which
    is as if there were fewer rows."""
    once, twice, known = feature.cells.count(1), feature.cells.count(2), sum(feature.cells)
    times = 1 + 2 * twice / max(1, once)
    return math.ceil(once / times), math.ceil(known / times)
