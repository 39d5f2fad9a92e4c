"""The verdict on a candidate: what the gates find in a tally, and what is said of it. Pure."""

from __future__ import annotations

from typing import Literal

from headway_api import rollout_wire as wire
from headway_server.judge import gates
from headway_server.judge.queries import Queries
from headway_server.judge.tally import Heard, Tally

_REASONS: dict[str, Literal["ErrorRate", "Latency", "Agreement"]] = {
    "errors": "ErrorRate",
    "errors against stable": "ErrorRate",
    "latency": "Latency",
    "latency against stable": "Latency",
    "disagreement": "Agreement",
}


_LARGEST = 1e300
"""What JSON has a number for."""


def verdict(tally: Tally, failed: wire.Verdict | None, now: float, queries: Queries | None = None) -> wire.Verdict:
    """What is to be said now. failed: an earlier verdict that the candidate fails, which stands."""
    queries = queries or Queries(())
    route, heard = tally.route, tally.heard(now)
    row = tally.row(route.epoch)
    counted = {
        "uid": route.uid,
        "rollout": route.candidate,
        "epoch": route.epoch,
        "stable_requests": row[0],
        "candidate_requests": row[4],
        "servers": heard.servers,
        "following": heard.following,
        "breakers": heard.breakers,
        "slow_seconds": None if tally.slow_seconds is None else float(f"{tally.slow_seconds:.4g}"),
    }
    if failed is not None:
        return failed.model_copy(update=counted)
    found = gates.judge(_analysis(route.analysis), tally.steps())
    worst = next((gate for gate in found if gate.verdict == "fail"), None)
    fails = _failure(worst, route, tally.slow_seconds) if worst else queries.failure(route.candidate)
    missing = "" if fails else queries.missing(route.epoch)
    waiting = None if fails else _waits_for(tally, heard, row[4]) or missing
    return wire.Verdict(
        **counted,
        verdict="fail" if fails else "open" if waiting else "pass",
        reason=None if not fails else _REASONS[worst.name] if worst else "Query",
        message=fails or waiting or _passed(route, row[4]),
        gates=[*(_state(gate) for gate in found), *queries.states(route.epoch)],
        queries=missing,
    )


def _analysis(told: wire.Analysis) -> gates.Analysis:
    return gates.Analysis(
        alpha=told.alpha,
        min_requests=told.min_requests,
        max_error_rate=told.max_error_rate,
        errors_not_worse=told.errors_not_worse,
        limits_p99=told.max_p99_seconds is not None,
        latency_not_worse=told.latency_not_worse,
        min_agreement=told.min_agreement,
    )


def _waits_for(tally: Tally, heard: Heard, requests: int) -> str | None:
    """What is missing for a pass, in words."""
    route = tally.route
    version = route.candidate if route.baking else route.stable
    if not heard.servers:
        return f"no server of version {version} was heard in the last seconds: there is nothing to judge by"
    if not heard.following:
        return f"none of {heard.servers} servers of version {version} keeps to this step yet"
    if requests < route.analysis.min_requests:
        needed = route.analysis.min_requests
        return f"version {route.candidate} has had {requests:,} of the {needed:,} requests that this step needs"
    compared = route.mode == "shadow" or 0.0 < route.share < 1.0
    if compared and route.analysis.latency_not_worse and tally.slow_seconds is None:
        return f"what is slow is not known yet: version {route.stable} has not answered enough requests to tell"
    return None


def _passed(route: wire.Route, requests: int) -> str:
    return f"version {route.candidate} has had {requests:,} requests in this step, and no gate fails"


def _failure(gate: gates.Gate, route: wire.Route, slow_seconds: float | None) -> str:
    """One sentence with all numbers."""
    limit = percent(gate.limit or 0.0)
    milliseconds = 1000 * ((route.analysis.max_p99_seconds if gate.name == "latency" else slow_seconds) or 0.0)
    told = {
        "errors": f"of its requests failed and maxErrorRate is {limit}",
        "errors against stable": f"of its requests failed and {limit} of version {route.stable}'s",
        "latency": "of its answers were slower than the limit to its 99th percentile, "
        f"{milliseconds:.4g} ms, where {limit} may be",
        "latency against stable": f"of its answers were slow (above {milliseconds:.3g} ms) and {limit} of version "
        f"{route.stable}'s",
        "disagreement": f"of its answers differed from the stable version's and {limit} may",
    }[gate.name]
    return (
        f"{gate.name}: version {route.candidate} fails, as {percent(gate.value or 0.0)} {told}, "
        f"counted over {gate.requests:,} of its requests (evidence {gate.evidence:.3g}, {gate.needed:.3g} is enough)"
    )


def percent(rate: float) -> str:
    """A rate for people."""
    return f"{100 * rate:.3g} %"


def _state(gate: gates.Gate) -> wire.GateState:
    return wire.GateState(
        name=gate.name,
        verdict=gate.verdict,
        value=_digits(gate.value),
        limit=_digits(gate.limit),
        evidence=float(f"{gate.evidence:.4g}"),
        needed=min(gate.needed, _LARGEST),
        requests=gate.requests,
    )


def _digits(rate: float | None) -> float | None:
    return None if rate is None else float(f"{rate:.4g}")
