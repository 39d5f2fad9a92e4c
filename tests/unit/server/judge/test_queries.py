"""How queries fail a rollout, and let it go on: by rows of values, and never by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import rollout_wire as wire
from headway_server.judge.gates import Counts
from headway_server.judge.queries import FAILURES, MOST_SAID, SILENT, Queries
from headway_server.judge.rollout import Judge
from rollouts import UID, counts, report, route

GOOD, BAD = 0.95, 0.5
NONE = None


def gate(**changes: Any) -> wire.QueryGate:
    fields: dict[str, Any] = {"name": "revenue", "url": "http://prometheus:9090", "query": "x", "min": 0.9, **changes}
    return wire.QueryGate(**fields)


def after(*values: float | None, **changes: Any) -> Queries:
    """The query after these evaluations, all of epoch 1."""
    one = gate(**changes)
    found = Queries([one])
    for value in values:
        found.take(one, 1, value, "" if value is not None else "there is nobody")
    return found


def verdict(found: Queries, epoch: int = 1) -> str:
    (state,) = found.states(epoch)
    assert (state.verdict == "fail") == (found.failure(3) is not None)
    assert (state.verdict == "pass") == (found.missing(epoch) == "")
    return state.verdict


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((), "open"),
        ((GOOD,), "pass"),
        ((BAD,), "open"),
        ((BAD, BAD), "open"),
        ((BAD, BAD, BAD), "fail"),
        ((BAD, BAD, GOOD), "pass"),
        ((BAD, BAD, GOOD, BAD, BAD), "open"),
        ((BAD, NONE, BAD, NONE, NONE, BAD), "fail"),
        ((GOOD, NONE), "open"),
        ((GOOD, NONE, GOOD), "pass"),
        ((math.nan,) * 20, "open"),
        ((NONE,) * 50, "open"),
        ((-math.inf,) * 3, "fail"),
        ((math.inf,), "pass"),
    ],
)
def test_a_query_fails_by_three_values_in_a_row_and_passes_by_its_newest(
    values: tuple[float | None, ...], said: str
) -> None:
    assert verdict(after(*values)) == said


def test_a_value_at_its_limit_keeps_to_it() -> None:
    assert verdict(after(0.9, 0.9, 0.9)) == "pass"
    assert verdict(after(2.0, 2.0, 2.0, max=2.0)) == "pass"
    assert verdict(after(2.1, 2.1, 2.1, max=2.0)) == "fail"


@pytest.mark.parametrize(("evaluations", "said"), [(SILENT - 1, "open"), (SILENT, "fail")])
def test_without_a_value_for_long_a_query_fails_where_it_is_asked_for(evaluations: int, said: str) -> None:
    found = after(*[None] * evaluations, on_no_data="rollback")
    assert verdict(found) == said
    assert verdict(after(*[None] * evaluations, GOOD, None, on_no_data="rollback")) == "open", "the row has ended"


def test_a_value_of_an_earlier_step_is_none_of_this_one() -> None:
    found = after(GOOD)
    assert verdict(found, epoch=2) == "open"
    assert found.missing(2) == "query revenue has had no value in this step yet"


def test_what_it_says_has_name_value_limit_and_how_often() -> None:
    assert after(0.5, 0.5, 0.25).failure(3) == (
        "query revenue: version 3 fails, as its value was 0.25, below its min 0.9, in 3 evaluations in a row, "
        "30 s apart"
    )
    assert "7, above its max 2," in str(after(7, 7, 7, max=2.0).failure(3))
    assert after(None).missing(1) == "query revenue has no value: there is nobody"
    assert (
        after(BAD).missing(1)
        == f"query revenue is beyond its limit (1 of {FAILURES} evaluations in a row that fail it)"
    )
    (state,) = after(BAD, BAD).states(1)
    assert (state.value, state.limit, state.evidence, state.needed) == (0.5, 0.9, 2, FAILURES)


def test_a_query_that_was_changed_begins_anew_and_one_that_was_not_goes_on() -> None:
    other = gate(name="latency", min=None, max=1.0)
    found = Queries([gate(), other])
    for one, value in ((gate(), BAD), (gate(), BAD), (other, 5.0), (other, 5.0)):
        found.take(one, 1, value)
    found.follow([gate(min=0.1), other])
    found.take(gate(), 1, BAD, "an answer to what is not asked any more")
    assert [(state.name, state.evidence) for state in found.states(1)] == [("query revenue", 0), ("query latency", 2)]


@given(st.lists(st.sampled_from([GOOD, BAD, None]), max_size=30), st.integers(0, 30))
def test_a_judge_that_is_killed_neither_fails_a_version_sooner_nor_forgets_what_it_counted(
    values: list[float | None], when: int
) -> None:
    one = gate()
    straight, broken = Queries([one]), Queries([one])
    for number, value in enumerate(values):
        if number == when and straight.failure(3) is None:
            broken = Queries([one], broken.states(1))
        for found in (straight, broken):
            found.take(one, 1, value, "why")
    assert (straight.failure(3) is None) == (broken.failure(3) is None)


@pytest.mark.parametrize("evidence", [math.inf, math.nan, -5.0, 1e300])
def test_a_row_that_nobody_counts_is_restored_all_the_same(evidence: float) -> None:
    known = wire.GateState(name="query revenue", verdict="open", evidence=evidence)
    assert verdict(Queries([gate()], [known])) == "open"


def test_what_is_restored_fails_nothing_by_itself() -> None:
    said = after(BAD, BAD, BAD).states(1)
    assert verdict(Queries([gate(min=0.1)], said)) == "open"


def test_what_is_said_is_bounded_whatever_eight_servers_answer() -> None:
    gates = [gate(name=f"q{number}") for number in range(8)]
    found = Queries(gates)
    for one in gates:
        found.take(one, 1, None, "Prometheus answers 400: " + "\U0001f600" * 290)
    assert len(found.missing(1)) <= MOST_SAID


class TestInTheJudge:
    """One rollout with a query."""

    ROUTE = route(queries=[gate()])

    def judge(self, of: wire.Route = ROUTE, more: Mapping[str, str] = MappingProxyType({})) -> Judge:
        judge = Judge("pod")
        judge.read({wire.KEY_ROUTE: of.model_dump_json(), **more}, 0.0)
        return judge

    def enough(self, judge: Judge, now: float = 1.0) -> None:
        word = report(counts(stable=Counts(9000), candidate=Counts(900)), seconds=[1000, *[0] * 144])
        judge.take(word, now)
        judge.look(now)

    def said(self, judge: Judge) -> wire.Verdict:
        assert judge.verdict is not None
        return judge.verdict

    def test_enough_good_requests_do_not_pass_without_a_value(self) -> None:
        judge = self.judge()
        self.enough(judge)
        word = self.said(judge)
        assert (word.verdict, word.message) == ("open", "query revenue has had no value in this step yet")
        assert word.queries == word.message
        judge.learn(gate(), 1, GOOD, "", 2.0)
        assert self.said(judge).verdict == "pass"
        judge.read({wire.KEY_ROUTE: route(2, 0.25, queries=[gate()]).model_dump_json()}, 3.0)
        judge.look(3.0)
        assert self.said(judge).verdict == "open"

    def test_three_bad_values_take_the_share_and_stand(self) -> None:
        judge = self.judge()
        for _ in range(FAILURES):
            judge.learn(gate(), 1, BAD, "", 2.0)
        word = self.said(judge)
        assert (word.verdict, word.reason) == ("fail", "Query")
        reply = wire.Reply.model_validate_json(judge.take(report(counts()), 3.0))
        assert reply.route is not None
        assert reply.route.share == 0.0
        judge.learn(gate(), 1, GOOD, "", 4.0)
        assert self.said(judge).verdict == "fail"
        assert judge.to_ask() == ()

    def test_servers_are_told_of_no_query(self) -> None:
        assert b"prometheus" not in self.judge().take(report(counts()), 1.0)

    def test_nothing_is_asked_before_the_candidate_has_requests_and_what_bakes_is(self) -> None:
        assert self.judge(route(share=0.0, queries=[gate()])).to_ask() == ()
        assert self.judge(route(share=0.0, mirror=0.1, mode="shadow", queries=[gate()])).to_ask() == (gate(),)
        assert self.judge(route(share=1.0, baking=True, queries=[gate()])).to_ask() == (gate(),)
        assert Judge("pod").to_ask() == ()

    def test_another_process_goes_on_with_the_row_and_asks_anew_for_a_pass(self) -> None:
        first = self.judge()
        for _ in range(FAILURES - 1):
            first.learn(gate(), 1, BAD, "", 1.0)
        second = self.judge(more=first.due(2.0))
        self.enough(second)
        assert self.said(second).verdict == "open"
        second.learn(gate(), 1, BAD, "", 2.0)
        assert self.said(second).verdict == "fail"

    def test_what_another_rollout_counted_is_not_taken(self) -> None:
        said = wire.Verdict(
            uid=UID, rollout=9, gates=[wire.GateState(name="query revenue", verdict="open", evidence=2)]
        )
        judge = self.judge(more={wire.KEY_VERDICT: said.model_dump_json()})
        judge.learn(gate(), 1, BAD, "", 1.0)
        assert self.said(judge).verdict == "open"

    def test_the_longest_word_fits_where_the_policy_bounds_it(self) -> None:
        gates = [gate(name=f"{'q' * 38}{number}") for number in range(8)]
        judge = self.judge(route(queries=gates, analysis=wire.Analysis(max_error_rate=0.1, min_agreement=0.9)))
        for one in gates:
            judge.learn(one, 1, None, "\U0001f600" * 300, 1.0)
        self.enough(judge)
        judge.look(2.0)
        text = judge.due(3.0, last=True)[wire.KEY_VERDICT]
        assert len(text.encode()) <= wire.VERDICT_MAX_BYTES
