"""The verdict: when there is one, which gate it names, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import rollout_wire as wire
from headway_server.judge.findings import verdict
from headway_server.judge.gates import Counts
from headway_server.judge.tally import HEARD_SECONDS, Tally
from rollouts import ALL_FAST, CANDIDATE, UID, counts, report, route

GOOD: dict[str, Any] = {"stable": Counts(9000, 9, 90), "candidate": Counts(1000, 1, 10), "compared": 400}


def tally_of(of: wire.Route | None = None, said: dict[str, Any] | None = None, **more: Any) -> Tally:
    """Of one server."""
    of = of or route()
    tally = Tally(of)
    row = counts(of.epoch, of.share, mode=of.mode, baking=of.baking, **(GOOD if said is None else said))
    tally.report(report(row, **{"seconds": ALL_FAST, **more}), 0.0)
    return tally


def test_a_good_candidate_passes_with_its_numbers() -> None:
    found = verdict(tally_of(), None, 0.0)
    assert (found.uid, found.rollout, found.epoch) == (UID, CANDIDATE, 1)
    assert (found.verdict, found.reason) == ("pass", None)
    assert found.message == "version 3 has had 1,000 requests in this step, and no gate fails"
    assert (found.stable_requests, found.candidate_requests) == (9000, 1000)
    assert (found.servers, found.following, found.breakers) == (1, 1, 0)
    assert found.slow_seconds == wire.SECONDS_BOUNDS[0]
    assert [gate.name for gate in found.gates] == ["errors against stable", "latency against stable"]
    assert found.gates[0].value == found.gates[0].limit == 0.001


ALL = wire.Analysis(max_error_rate=0.01, max_p99_seconds=0.08, min_agreement=0.9)


@pytest.mark.parametrize(
    ("analysis", "said", "reason", "words"),
    [
        (
            wire.Analysis(),
            {"candidate": Counts(205, 41)},
            "ErrorRate",
            "errors against stable: version 3 fails, as 20 % of its requests failed and 0.1 % of version 2's, counted "
            "over 205 of its requests (evidence ",
        ),
        (
            ALL,
            {"candidate": Counts(205, 41)},
            "ErrorRate",
            "errors: version 3 fails, as 20 % of its requests failed and maxErrorRate is 1 %, counted over 205 of its "
            "requests (evidence ",
        ),
        (
            wire.Analysis(),
            {"candidate": Counts(1000, 1, 100)},
            "Latency",
            "latency against stable: version 3 fails, as 10 % of its answers were slow (above 0.1 ms) and 1 % of "
            "version 2's, counted over 1,000 of its requests (evidence ",
        ),
        (
            ALL,
            {"candidate": Counts(1000, 1, 10, 50)},
            "Latency",
            "latency: version 3 fails, as 5 % of its answers were slower than the limit to its 99th percentile, 80 ms, "
            "where 1 % may be, counted over 1,000 of its requests (evidence ",
        ),
        (
            ALL,
            {"disagreed": 120},
            "Agreement",
            "disagreement: version 3 fails, as 30 % of its answers differed from the stable version's and 10 % may, "
            "counted over 400 of its requests (evidence ",
        ),
    ],
)
def test_a_failure_names_its_gate_with_all_numbers(
    analysis: wire.Analysis, said: dict[str, Any], reason: str, words: str
) -> None:
    found = verdict(tally_of(route(analysis=analysis), {**GOOD, **said}), None, 0.0)
    assert (found.verdict, found.reason) == ("fail", reason)
    assert found.message.startswith(words), found.message
    assert found.message.endswith(f", {20 * len(found.gates)} is enough)")


class TestWhatItWaitsFor:
    def test_for_enough_requests_of_the_newest_epoch(self) -> None:
        tally = tally_of()
        tally.follow(route(2, 0.25))
        tally.report(report(counts(2, 0.25, candidate=Counts(412)), seconds=ALL_FAST), 0.0)
        found = verdict(tally, None, 0.0)
        assert (found.verdict, found.epoch) == ("open", 2)
        assert found.message == "version 3 has had 412 of the 500 requests that this step needs"

    def test_for_servers(self) -> None:
        found = verdict(tally_of(), None, HEARD_SECONDS + 1)
        assert (found.verdict, found.servers) == ("open", 0)
        assert found.message.startswith("no server of version 2 was heard in the last seconds")

    def test_for_one_that_keeps_to_the_step(self) -> None:
        tally = tally_of()
        tally.follow(route(2, 0.25))
        assert verdict(tally, None, 0.0).message == "none of 1 servers of version 2 keeps to this step yet"

    def test_for_what_is_slow_where_that_is_judged(self) -> None:
        found = verdict(tally_of(seconds=[]), None, 0.0)
        assert found.verdict == "open"
        assert found.message.startswith("what is slow is not known yet")
        assert verdict(tally_of(route(share=1.0), seconds=[]), None, 0.0).verdict == "pass", "nothing to compare with"
        unjudged = route(analysis=wire.Analysis(latency_not_worse=False))
        assert verdict(tally_of(unjudged, seconds=[]), None, 0.0).verdict == "pass"

    def test_no_data_is_no_verdict(self) -> None:
        found = verdict(Tally(route(analysis=ALL)), None, 0.0)
        assert found.verdict == "open"
        assert {gate.verdict for gate in found.gates} == {"open"}
        assert {gate.value for gate in found.gates} == {None}


def test_a_failure_stands_whatever_is_counted_later_and_tells_the_counts_of_now() -> None:
    tally = tally_of(said={**GOOD, "candidate": Counts(205, 41)})
    failed = verdict(tally, None, 0.0)
    tally.follow(route(2, 0.0))
    tally.report(report(counts(2, 0.0, stable=Counts(10**6))), 1.0)
    later = verdict(tally, failed, 1.0)
    assert (later.verdict, later.reason, later.message, later.gates) == (
        "fail",
        failed.reason,
        failed.message,
        failed.gates,
    )
    assert (later.epoch, later.stable_requests) == (2, 10**6)


def test_while_the_candidate_bakes_only_limits_hold() -> None:
    of = route(3, 1.0, baking=True, analysis=ALL)
    held = verdict(tally_of(of, {"candidate": Counts(1000, 2, 900)}, version=CANDIDATE), None, 0.0)
    assert held.verdict == "pass"
    broken = verdict(tally_of(of, {"candidate": Counts(1000, 60, 0)}, version=CANDIDATE), None, 0.0)
    assert (broken.verdict, broken.gates[0].name, broken.gates[0].verdict) == ("fail", "errors", "fail")
