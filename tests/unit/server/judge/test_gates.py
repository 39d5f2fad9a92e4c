"""The gates: what was counted of two versions becomes a verdict, with its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_server.judge.gates import Analysis, Counts, Gate, Step, judge, verdict

ANALYSIS = Analysis(max_error_rate=0.01, limits_p99=True, min_agreement=0.9)
GOOD = Step(
    0.1,
    stable=Counts(9000, errors=9, slow=90, over=9),
    candidate=Counts(1000, errors=1, slow=10, over=1),
    compared=500,
    disagreed=10,
)


def gate(steps: list[Step], name: str, analysis: Analysis = ANALYSIS) -> Gate:
    return next(each for each in judge(analysis, steps) if each.name == name)


def test_a_good_candidate_passes_once_it_has_answered_enough() -> None:
    assert verdict(ANALYSIS, [GOOD]) == "pass"
    few = replace(GOOD, candidate=replace(GOOD.candidate, requests=499))
    assert verdict(ANALYSIS, [few]) == "open"
    assert verdict(ANALYSIS, [GOOD, few]) == "open", "each step has its own"


def test_no_data_is_no_verdict() -> None:
    assert verdict(ANALYSIS, []) == verdict(ANALYSIS, [Step(0.05)]) == "open"
    gates = judge(ANALYSIS, [Step(0.05)])
    assert [each.verdict for each in gates] == ["open"] * 5
    assert [each.value for each in gates] == [None] * 5


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("errors", replace(GOOD, candidate=Counts(1000, errors=60, slow=10))),
        ("errors against stable", replace(GOOD, candidate=Counts(1000, errors=15, slow=10))),
        ("latency", replace(GOOD, candidate=Counts(1000, slow=10, over=60))),
        ("latency against stable", replace(GOOD, candidate=Counts(1000, slow=60))),
        ("disagreement", replace(GOOD, disagreed=150)),
    ],
)
def test_each_way_to_be_worse_fails_its_own_gate_and_the_whole(name: str, bad: Step) -> None:
    failed = gate([bad], name)
    assert failed.verdict == "fail"
    assert failed.evidence >= failed.needed == 100.0, "five gates share 0.05"
    assert verdict(ANALYSIS, [bad]) == "fail"
    assert verdict(replace(ANALYSIS, min_requests=10**9), [bad]) == "fail", "a failure waits for nothing"


def test_what_both_versions_suffer_from_is_not_held_against_the_candidate() -> None:
    outage = Step(0.1, stable=Counts(9000, errors=4500, slow=4500), candidate=Counts(1000, errors=500, slow=500))
    against = replace(ANALYSIS, max_error_rate=None, limits_p99=False, min_agreement=None)
    assert verdict(against, [outage]) == "pass"
    assert gate([outage], "errors against stable", against).value == 0.5


def test_evidence_is_carried_on_from_step_to_step() -> None:
    bad = [Step(0.1, Counts(900, errors=9), Counts(100, errors=4)) for _ in range(3)]
    found = [gate(bad[:count], "errors against stable").evidence for count in (1, 2, 3)]
    assert found == sorted(found)
    assert found[0] < 100.0 <= found[2]


def test_a_gate_tells_its_numbers() -> None:
    errors = gate([GOOD], "errors")
    assert (errors.verdict, errors.value, errors.limit, errors.needed, errors.requests) == (
        "pass",
        0.001,
        0.01,
        100.0,
        1000,
    )
    assert 0.0 < errors.evidence < 1.0
    stable = gate([GOOD], "latency against stable")
    assert (stable.value, stable.limit, stable.requests) == (0.01, 0.01, 1000)


@given(counts=st.lists(st.tuples(st.floats(0.01, 1.0), *[st.integers(0, 10**7) for _ in range(4)]), max_size=4))
def test_whatever_was_counted_the_numbers_are_such_that_json_has(
    counts: list[tuple[float, int, int, int, int]],
) -> None:
    steps = [
        Step(
            share, Counts(stable, stable, 0, stable), Counts(candidate, candidate // 2, candidate), both, min(both, odd)
        )
        for share, stable, candidate, both, odd in counts
    ]
    for each in judge(replace(ANALYSIS, max_error_rate=0.0), steps):
        assert 0.0 <= each.evidence < float("inf")
        assert each.value is None or 0.0 <= each.value <= 1.0
