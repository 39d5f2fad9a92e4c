"""The judge between ConfigMap and servers: which route it replies, and what it writes when."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import rollout_wire as wire
from headway_server.judge.gates import Counts
from headway_server.judge.rollout import CHANGES_SECONDS, LOOK_SECONDS, Judge, WrongDeployment
from rollouts import CANDIDATE, STABLE, UID, counts, report, route

BAD = Counts(100, 60)


def data(of: wire.Route, **more: str) -> dict[str, str]:
    """What the ConfigMap holds."""
    return {wire.KEY_ROUTE: of.model_dump_json(), **more}


def judge_of(of: wire.Route, **more: str) -> Judge:
    judge = Judge("pod")
    judge.read(data(of, **more), 0.0)
    return judge


def said(judge: Judge, now: float, *epochs: wire.EpochCounts, **more: Any) -> wire.Reply:
    return wire.Reply.model_validate_json(judge.take(report(*epochs, **more), now))


def written(judge: Judge, now: float) -> wire.Verdict | None:
    """What is written now, if anything is."""
    due = judge.due(now)
    if not due:
        return None
    judge.wrote(now)
    assert set(due) == {wire.KEY_VERDICT, wire.KEY_MEMORY}
    return wire.Verdict.model_validate_json(due[wire.KEY_VERDICT])


class TestTheReply:
    def test_it_has_the_route_that_the_operator_wrote_last(self) -> None:
        judge = judge_of(route(1, 0.1))
        assert said(judge, 0.0, counts()) == wire.Reply(route=route(1, 0.1))
        judge.read(data(route(2, 0.25)), 1.0)
        assert said(judge, 1.0, counts()).route == route(2, 0.25)

    def test_the_share_is_none_in_the_very_reply_to_the_report_that_proves_the_failure(self) -> None:
        judge = judge_of(route(1, 0.1, mirror=0.2))
        assert said(judge, 0.0, counts(stable=Counts(900), candidate=Counts(100))).route == route(1, 0.1, mirror=0.2)
        reply = said(judge, LOOK_SECONDS, counts(stable=Counts(900), candidate=Counts(200, 60)))
        assert reply.route == route(1, 0.0, mirror=0.0)

    def test_between_two_looks_reports_are_only_taken(self) -> None:
        judge = judge_of(route())
        said(judge, 0.0, counts())
        assert said(judge, LOOK_SECONDS / 2, counts(stable=Counts(900), candidate=BAD)).route == route()
        assert said(judge, LOOK_SECONDS, counts(stable=Counts(900), candidate=BAD)).route == route(share=0.0)

    def test_it_tells_what_is_slow_as_soon_as_that_is_known(self) -> None:
        judge = judge_of(route())
        assert said(judge, 0.0).slow_seconds is None
        reply = said(judge, 0.1, seconds=[1000, *[0] * len(wire.SECONDS_BOUNDS)])
        assert reply.slow_seconds == wire.SECONDS_BOUNDS[0]

    def test_before_the_route_is_known_it_says_so_and_takes_nothing(self) -> None:
        judge = Judge()
        assert said(judge, 0.0, counts(candidate=BAD)) == wire.Reply(judging=False)
        judge.read(data(route()), 0.0)
        assert judge.tally is not None
        assert judge.tally.steps() == []

    def test_a_report_of_another_deployment_is_refused(self) -> None:
        with pytest.raises(WrongDeployment, match="'another' is another deployment"):
            judge_of(route()).take(report(uid="another"), 0.0)

    def test_where_there_is_no_rollout_it_has_that_and_nothing_is_written(self) -> None:
        judge = judge_of(wire.Route(uid=UID, epoch=9))
        assert said(judge, 0.0, counts(candidate=BAD)).route == wire.Route(uid=UID, epoch=9)
        assert judge.due(1000.0) == {}
        assert judge.verdict is None


class TestWhatIsWritten:
    def test_the_first_word_goes_at_once_then_changes_after_some_seconds_and_a_beat_even_without(self) -> None:
        judge = judge_of(route())
        first = written(judge, 0.0)
        assert first is not None
        assert (first.beat, first.told_by, first.verdict) == (1, "pod", "open")
        assert written(judge, 1.0) is None
        said(judge, 1.0, counts(candidate=Counts(1)))
        assert written(judge, CHANGES_SECONDS - 0.1) is None
        changed = written(judge, CHANGES_SECONDS)
        assert changed is not None
        assert (changed.beat, changed.candidate_requests, changed.servers) == (2, 1, 1)
        now = CHANGES_SECONDS
        beats = []
        while now < 60.0:
            now += 1.0
            said(judge, now, counts(candidate=Counts(1)))
            if word := written(judge, now):
                beats.append((now, word.beat))
        assert beats == [(CHANGES_SECONDS + wire.BEAT_SECONDS * n, 2 + n) for n in range(1, 6)]

    @pytest.mark.parametrize("of", [{"stable": Counts(900), "candidate": BAD}, {"candidate": Counts(500)}])
    def test_a_verdict_that_changed_is_urgent(self, of: dict[str, Counts]) -> None:
        judge = judge_of(route(analysis=wire.Analysis(latency_not_worse=False)))
        written(judge, 0.0)
        assert not judge.urgent
        said(judge, LOOK_SECONDS, counts(1, 0.1, stable=of.get("stable"), candidate=of["candidate"]))
        assert judge.urgent
        word = written(judge, LOOK_SECONDS)
        assert word is not None
        assert word.verdict == ("fail" if "stable" in of else "pass")
        assert not judge.urgent

    def test_a_new_step_is_told_at_once(self) -> None:
        judge = judge_of(route())
        written(judge, 0.0)
        judge.read(data(route(2, 0.25)), 0.1)
        word = written(judge, 0.1)
        assert word is not None
        assert word.epoch == 2

    def test_a_write_that_failed_is_due_again(self) -> None:
        judge = judge_of(route())
        assert judge.due(0.0)
        assert judge.due(0.1)
        judge.wrote(0.1)
        assert not judge.due(0.2)

    def test_the_last_word_has_all_that_changed(self) -> None:
        judge = judge_of(route())
        written(judge, 0.0)
        assert judge.due(0.1, last=True) == {}
        said(judge, 0.2, counts(candidate=Counts(1)))
        assert judge.due(0.2) == {}
        assert judge.due(0.2, last=True) != {}


class TestAfterARestart:
    def stopped(self, *epochs: wire.EpochCounts) -> dict[str, str]:
        judge = judge_of(route())
        said(judge, 0.0, *epochs)
        return judge.due(0.0)

    def test_it_goes_on_counting_its_beats_and_the_failure_stands(self) -> None:
        kept = self.stopped(counts(stable=Counts(900), candidate=BAD))
        again = judge_of(route(2, 0.0), **kept)
        assert said(again, 0.0).route == route(2, 0.0, mirror=0.0)
        word = written(again, 0.0)
        assert word is not None
        assert (word.beat, word.verdict, word.reason, word.epoch) == (2, "fail", "ErrorRate", 2)

    def test_it_has_the_same_counts(self) -> None:
        again = judge_of(route(), **self.stopped(counts(stable=Counts(900), candidate=Counts(400))))
        word = written(again, 0.0)
        assert word is not None
        assert (word.candidate_requests, word.servers) == (400, 0)
        said(again, 1.0, counts(stable=Counts(900), candidate=Counts(410)))
        later = written(again, 10.0)
        assert later is not None
        assert later.candidate_requests == 410

    def test_what_cannot_be_read_of_its_own_is_as_nothing(self) -> None:
        again = judge_of(route(), **{wire.KEY_VERDICT: "nonsense", wire.KEY_MEMORY: "[]"})
        word = written(again, 0.0)
        assert word is not None
        assert (word.beat, word.candidate_requests) == (1, 0)


class TestTheRoute:
    def failed(self) -> Judge:
        judge = judge_of(route())
        said(judge, 0.0, counts(stable=Counts(900), candidate=BAD))
        assert judge.failed is not None
        return judge

    @pytest.mark.parametrize(
        "of",
        [route(7, candidate=4), route(7, salt="another")],
        ids=["of the next version", "of the same again"],
    )
    def test_of_another_rollout_begins_anew(self, of: wire.Route) -> None:
        judge = self.failed()
        judge.read(data(of), 1.0)
        assert judge.failed is None
        more: dict[str, Any] = {"rollout": of.candidate, "candidate": Counts(7)}
        said(judge, 2.0, counts(1, **{**more, "candidate": BAD, "rollout": CANDIDATE}), counts(7, **more))
        assert judge.tally is not None
        assert sum(step.candidate.requests for step in judge.tally.steps()) == 7

    def test_of_another_deployment_begins_anew(self) -> None:
        judge = self.failed()
        judge.read(data(route(1, uid="another")), 1.0)
        assert judge.failed is None
        assert judge.tally is not None
        assert judge.tally.steps() == []

    def test_of_none_ends_it(self) -> None:
        judge = self.failed()
        judge.read(data(wire.Route(uid=UID, epoch=2)), 1.0)
        assert (judge.tally, judge.failed, judge.due(1.0)) == (None, None, {})

    @pytest.mark.parametrize("text", [None, "", "nonsense", "[]", '{"share": 2}', '{"epoch": "many", "analysis": 1}'])
    def test_that_cannot_be_read_leaves_the_one_before_and_is_told(self, text: str | None) -> None:
        judge = judge_of(route())
        judge.read({wire.KEY_ROUTE: text} if text is not None else {}, 1.0)
        assert judge.route == route()
        assert judge.bad_route is not None
        assert judge.bad_route.startswith(("route.json is no route", "there is no route.json"))
        judge.read(data(route(2)), 2.0)
        assert judge.bad_route is None
        assert said(judge, 2.0).route == route(2)

    def test_the_stable_version_is_who_counts(self) -> None:
        judge = judge_of(route())
        said(judge, 0.0, counts(candidate=Counts(5)), version=STABLE + 7)
        assert judge.tally is not None
        assert judge.tally.steps() == []
