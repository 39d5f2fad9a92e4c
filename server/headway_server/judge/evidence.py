"""Evidence that grows with each request: e-processes, which may be looked at as often as one likes. Pure.

An e-process E starts at 1 and is expected not to grow as long as the hypothesis holds that it tests. By Ville's
inequality it ever reaches 1/alpha with a probability of at most alpha, however often it is looked at, and whenever one
stops. It depends on totals alone, so a process that has lost its memory computes the same from the same totals.

All functions return the natural logarithm of E, since E itself soon exceeds what a float holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORSE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""The ratios of two rates, and of odds to those of a limit, that a worse version is looked for at, equally likely."""
BETTER = (0.75, 0.5, 0.25, 0.1, 0.02)
"""The ratios of odds to those of a limit at which a version is looked for that keeps it."""


@dataclass(frozen=True, slots=True)
class Split:
    """Events (errors, slow answers) while a candidate had a certain share of the requests."""

    share: float
    """The probability with which a request went to the candidate, above 0 and at most 1."""
    candidate: int
    """Events among the candidate's requests."""
    total: int
    """Events among all requests."""


def split_evidence(splits: Iterable[Split]) -> float:
    """Log evidence that the candidate's rate of events is above the other version's.

    If both have the same rate, each event is the candidate's with the probability of its share, whatever that rate is
    and however it changes over time. So what both suffer from, such as a slow disk, is no evidence. Shares may change
    from split to split: the test goes on. This is the two-sample case of Lindon and Malek, "Anytime-Valid Inference for
    Multinomial Count Data" (NeurIPS 2022), with a mixture over the ratios in WORSE, one-sided.

    Raises ValueError for a share that is no probability, and for more events of a part than of the whole.
    """
    logs = [0.0] * len(WORSE)
    for split in splits:
        if not 0.0 < split.share <= 1.0:
            raise ValueError(f"a share of {split.share}: it must be above 0 and at most 1")
        if not 0 <= split.candidate <= split.total:
            raise ValueError(f"{split.candidate} events of {split.total}")
        for index, ratio in enumerate(WORSE):
            expected = math.log1p(split.share * (ratio - 1.0))
            logs[index] += split.candidate * math.log(ratio) - split.total * expected
    return _mixture(logs)


def evidence_above(events: int, trials: int, limit: float) -> float:
    """Log evidence that events have a probability above `limit`: a mixture of likelihood ratios of Bernoulli trials.

    limit: between 0 and 1. At 0 one event is proof; at 1 nothing is. Raises ValueError for more events than trials.
    """
    _check(events, trials)
    if limit <= 0.0:
        return math.inf if events else 0.0
    return 0.0 if limit >= 1.0 else _against(events, trials, limit, WORSE)


def evidence_below(events: int, trials: int, limit: float) -> float:
    """Log evidence that events have a probability below `limit`; as evidence_above, the other way round.

    At a limit of 0 there is none; at 1 there is as soon as one trial was no event.
    """
    _check(events, trials)
    if limit <= 0.0:
        return 0.0
    if limit >= 1.0:
        return math.inf if events < trials else 0.0
    return _against(events, trials, limit, BETTER)


def _check(events: int, trials: int) -> None:
    if not 0 <= events <= trials:
        raise ValueError(f"{events} events in {trials} trials")


def _against(events: int, trials: int, limit: float, ratios: Sequence[float]) -> float:
    """By ratios of odds, which lead to a probability below 1 from any limit."""
    logs = []
    for ratio in ratios:
        # With p = ratio * limit / (1 - limit + ratio * limit): p / limit and (1 - p) / (1 - limit).
        scale = math.log1p(limit * (ratio - 1.0))
        logs.append(events * math.log(ratio) - trials * scale)
    return _mixture(logs)


def _mixture(logs: Sequence[float]) -> float:
    """The logarithm of the mean of what these are logarithms of."""
    most = max(logs)
    return most + math.log(math.fsum(math.exp(each - most) for each in logs) / len(logs))
