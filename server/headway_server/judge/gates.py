"""The gates of a rollout: what was counted of both versions becomes a verdict, with the numbers that it rests on. Pure.

All gates of a rollout share one allowance of false alarms, each taking an equal part of it (Bonferroni), and no gate
begins anew with a step: beginning anew would multiply the false alarms by the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from headway_server.judge.evidence import Split, evidence_above, evidence_below, split_evidence

Verdict = Literal["fail", "pass", "open"]
"""Of a gate. fail: the candidate is proved worse than allowed. pass: it is proved to keep the limit. open: neither."""
TAIL = 0.01
"""The share of answers that may take longer than a limit to the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of one version's requests in a step. Requests that the client got wrong are in none of them."""

    requests: int = 0
    errors: int = 0
    """Requests that failed by the server's fault, those among them that another version answered in its place."""
    slow: int = 0
    """Answers slower than a bound set by the stable version before the rollout, such as its 99th percentile."""
    over: int = 0
    """Answers slower than the limit to the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was counted while the candidate had a certain share of the requests."""

    share: float
    """Above 0 and at most 1."""
    stable: Counts = Counts()
    candidate: Counts = Counts()
    compared: int = 0
    """Requests that both versions answered."""
    disagreed: int = 0
    """Those that they answered differently."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a candidate has to keep to. None and False: no such gate."""

    alpha: float = 0.05
    """The probability, at most, that a rollout of a version as good as allowed fails by chance."""
    min_requests: int = 500
    """So many requests of a step the candidate has to answer before it is over."""
    max_error_rate: float | None = None
    errors_not_worse: bool = True
    limits_p99: bool = False
    """Whether there is a limit to the 99th percentile of its time: `Counts.over` counts by it."""
    latency_not_worse: bool = True
    min_agreement: float | None = None

    @property
    def gates(self) -> int:
        """How many gates there are."""
        limits = (self.max_error_rate is not None, self.limits_p99, self.min_agreement is not None)
        return sum((*limits, self.errors_not_worse, self.latency_not_worse))


@dataclass(frozen=True, slots=True)
class Gate:
    """How one gate stands."""

    name: str
    verdict: Verdict
    value: float | None
    """The candidate's rate so far; None where nothing was counted."""
    limit: float | None
    """What it is held against: the limit, or the stable version's rate; None where nothing was counted of that."""
    evidence: float
    """E, that the candidate is worse than allowed."""
    needed: float
    """What E has to reach for the gate to fail."""
    requests: int
    """How many of the candidate's requests that rests on."""


def judge(analysis: Analysis, steps: Sequence[Step]) -> tuple[Gate, ...]:
    """How all gates stand after the steps of a rollout so far; no data leaves each of them open."""
    needed = max(1, analysis.gates) / analysis.alpha
    candidate = _sum([step.candidate for step in steps])
    gates = []
    if analysis.max_error_rate is not None:
        gates.append(_limit("errors", candidate.errors, candidate.requests, analysis.max_error_rate, needed))
    if analysis.errors_not_worse:
        gates.append(_not_worse("errors against stable", steps, lambda counts: counts.errors, needed))
    if analysis.limits_p99:
        gates.append(_limit("latency", candidate.over, candidate.requests, TAIL, needed))
    if analysis.latency_not_worse:
        gates.append(_not_worse("latency against stable", steps, lambda counts: counts.slow, needed))
    if analysis.min_agreement is not None:
        compared, differ = sum(step.compared for step in steps), sum(step.disagreed for step in steps)
        gates.append(_limit("disagreement", differ, compared, 1.0 - analysis.min_agreement, needed))
    return tuple(gates)


def verdict(analysis: Analysis, steps: Sequence[Step]) -> Verdict:
    """Of the whole: fail as soon as one gate fails; pass when the last step has seen enough requests; else open."""
    if any(gate.verdict == "fail" for gate in judge(analysis, steps)):
        return "fail"
    enough = bool(steps) and steps[-1].candidate.requests >= analysis.min_requests
    return "pass" if enough else "open"


def _limit(name: str, events: int, trials: int, limit: float, needed: float) -> Gate:
    above, below = evidence_above(events, trials, limit), evidence_below(events, trials, limit)
    need = math.log(needed)
    found: Verdict = "fail" if above >= need else "pass" if below >= need else "open"
    value = events / trials if trials else None
    return Gate(name, found, value, limit, _number(above), needed, trials)


def _not_worse(name: str, steps: Sequence[Step], events: Callable[[Counts], int], needed: float) -> Gate:
    splits = [Split(step.share, events(step.candidate), events(step.candidate) + events(step.stable)) for step in steps]
    evidence = split_evidence(splits)
    stable, candidate = (_sum([getattr(step, which) for step in steps]) for which in ("stable", "candidate"))
    return Gate(
        name=name,
        verdict="fail" if evidence >= math.log(needed) else "open",
        value=events(candidate) / candidate.requests if candidate.requests else None,
        limit=events(stable) / stable.requests if stable.requests else None,
        evidence=_number(evidence),
        needed=needed,
        requests=candidate.requests,
    )


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(
        requests=sum(each.requests for each in counts),
        errors=sum(each.errors for each in counts),
        slow=sum(each.slow for each in counts),
        over=sum(each.over for each in counts),
    )


def _number(log: float) -> float:
    """E, as far as JSON has numbers for it."""
    return math.exp(min(max(log, -700.0), 700.0))
