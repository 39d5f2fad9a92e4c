"""How busy servers are, as the judge hears it and tells it."""

from __future__ import annotations

import random
from typing import Any

from headway_api import rollout_wire as wire
from headway_server.judge.load import MOST_SERVERS, Loads
from headway_server.judge.rollout import Judge
from headway_server.judge.tally import HEARD_SECONDS
from rollouts import CANDIDATE, STABLE, UID, counts, report, route


def said(boot: str, busy: float | None, asked: int = 0, version: int = STABLE) -> wire.Report:
    return wire.Report(uid=UID, boot=boot, version=version, busy_seconds=busy, asked=asked)


def steady(loads: Loads, seconds: int, *, start: int = 0, **in_flight: float) -> None:
    """Servers with so many requests in flight report each second."""
    for second in range(start, start + seconds + 1):
        for boot, each in in_flight.items():
            loads.report(said(boot, each * second, int(each * second)), float(second))


def word(loads: Loads, now: float) -> wire.Load:
    return loads.word(UID, now)


def of(loads: Loads, now: float, version: int = STABLE) -> tuple[int, float] | None:
    found = word(loads, now).of(version)
    return (found.servers, found.in_flight) if found is not None else None


def test_it_adds_up_what_each_server_has_in_flight() -> None:
    loads = Loads(0.0)
    steady(loads, 20, a=3.0, b=0.5)
    assert of(loads, 20.0) == (2, 3.5)


def test_it_is_the_mean_of_the_last_seconds() -> None:
    loads = Loads(0.0)
    steady(loads, 60, a=0.0)
    for second in range(61, 66):
        loads.report(said("a", 8.0 * (second - 60), second), float(second))
    assert of(loads, 65.0) == (1, 4.0), "five seconds of ten"


def test_a_server_that_was_heard_once_is_none_whose_load_is_known() -> None:
    loads = Loads(0.0)
    loads.report(said("a", 5.0), 0.0)
    assert of(loads, 0.0) is None
    loads.report(said("a", 7.0), 1.0)
    assert of(loads, 1.0) == (1, 2.0)


def test_words_that_are_lost_late_or_doubled_change_nothing_of_the_mean() -> None:
    chance = random.Random(1)  # noqa: S311 - nobody is to be kept from guessing it
    loads, reports = Loads(0.0), [said("a", 2.5 * second, second) for second in range(41)]
    for second in range(1, 41):
        drawn = chance.random()
        if drawn < 0.2 and second < 39:
            continue
        loads.report(reports[second], float(second))
        if drawn < 0.5:
            loads.report(reports[chance.randrange(second)], float(second))
    found = of(loads, 40.0)
    assert found is not None
    assert abs(found[1] - 2.5) < 0.5


def test_who_is_not_heard_any_more_is_not_counted() -> None:
    loads = Loads(0.0)
    steady(loads, 20, a=3.0, b=1.0)
    steady(loads, 10, start=21, a=3.0)
    assert of(loads, 31.0) == (1, 3.0)
    assert of(loads, 31.0 + HEARD_SECONDS + 0.1) is None


def test_versions_are_told_apart() -> None:
    loads = Loads(0.0)
    for second in range(5):
        loads.report(said("a", 2.0 * second), float(second))
        loads.report(said("b", 7.0 * second, version=CANDIDATE), float(second))
    assert (of(loads, 4.0), of(loads, 4.0, CANDIDATE)) == ((1, 2.0), (1, 7.0))


def test_servers_of_before_tell_nothing_of_it() -> None:
    loads = Loads(0.0)
    for second in range(5):
        loads.report(said("a", None), float(second))
    assert word(loads, 4.0).versions == []


def test_it_is_quiet_since_the_last_request_that_came_however_short_that_was() -> None:
    loads = Loads(0.0)
    steady(loads, 50, a=0.0)
    assert word(loads, 50.0).quiet_seconds == 50
    loads.report(said("a", 0.0, asked=1), 51.0)
    steady(loads, 10, start=52, a=0.0)
    assert word(loads, 62.0).quiet_seconds == 11


def test_what_was_before_a_server_or_the_judge_began_may_have_been_anything() -> None:
    loads = Loads(100.0)
    assert word(loads, 100.0).quiet_seconds == 0
    loads.report(said("a", 0.0), 140.0)
    assert word(loads, 141.0).quiet_seconds == 1


class TestWhatIsWritten:
    def due(self, loads: Loads, now: float, **more: Any) -> wire.Load | None:
        due = loads.due(UID, "pod", now, **more)
        if not due:
            return None
        loads.wrote(now)
        assert set(due) == {wire.KEY_LOAD}
        return wire.Load.model_validate_json(due[wire.KEY_LOAD])

    def test_it_is_written_when_it_changes_but_not_too_often(self) -> None:
        loads = Loads(0.0)
        steady(loads, 20, a=3.0)
        first = self.due(loads, 20.0)
        assert first is not None
        assert (first.uid, first.told_by, first.beat) == (UID, "pod", 1)
        steady(loads, 2, start=21, a=3.0, b=9.0)
        assert self.due(loads, 23.0) is None
        steady(loads, 2, start=24, a=3.0, b=9.0)
        second = self.due(loads, 20.0 + wire.LOAD_CHANGES_SECONDS)
        assert second is not None
        assert second.beat == 2

    def test_what_stays_the_same_is_said_again_as_long_as_there_are_servers(self) -> None:
        loads = Loads(0.0)
        steady(loads, 20, a=3.0)
        assert self.due(loads, 20.0) is not None
        steady(loads, 14, start=21, a=3.0)
        assert self.due(loads, 20.0 + wire.LOAD_BEAT_SECONDS - 0.1) is None
        steady(loads, 1, start=35, a=3.0)
        assert self.due(loads, 20.0 + wire.LOAD_BEAT_SECONDS) is not None
        assert self.due(loads, 60.0) is not None, "that nobody is there"
        assert self.due(loads, 600.0) is None, "and no more of that"

    def test_what_could_not_be_written_is_not_taken_for_written(self) -> None:
        loads = Loads(0.0)
        steady(loads, 20, a=3.0)
        assert self.due(loads, 20.0) is not None
        steady(loads, 2, start=21, a=3.0, b=0.0)
        steady(loads, 3, start=23, a=3.0)
        assert loads.due(UID, "pod", 25.5), "and it is not written"
        steady(loads, 8, start=26, a=3.0)
        assert loads.due(UID, "pod", 33.0) == {}, "it is as it was"
        loads.wrote(33.0)
        steady(loads, 2, start=34, a=3.0)
        assert self.due(loads, 20.0 + wire.LOAD_BEAT_SECONDS) is not None

    def test_a_change_is_written_at_the_end(self) -> None:
        loads = Loads(0.0)
        steady(loads, 20, a=3.0)
        self.due(loads, 20.0)
        steady(loads, 1, start=21, a=3.0, b=9.0)
        assert self.due(loads, 22.0, last=True) is not None

    def test_it_goes_on_counting_its_words_after_a_restart(self) -> None:
        judge = Judge("pod", Loads(0.0))
        told = wire.Load(uid=UID, beat=41).model_dump_json()
        judge.read({wire.KEY_ROUTE: wire.Route(uid=UID).model_dump_json(), wire.KEY_LOAD: told}, 0.0)
        assert wire.Load.model_validate_json(judge.due(1.0)[wire.KEY_LOAD]).beat == 42

    def test_the_word_of_a_thousand_servers_of_many_versions_is_small(self) -> None:
        loads = Loads(0.0)
        for second in range(3):
            for server in range(1000):
                loads.report(said(f"{server}", 1234.5678 * second, version=999_999_000 + server % 20), float(second))
        due = loads.due(UID, "p" * 253, 2.0)
        assert len(due[wire.KEY_LOAD].encode()) <= wire.LOAD_MAX_BYTES

    def test_more_processes_than_there_may_be_are_not_kept(self) -> None:
        loads = Loads(0.0)
        for server in range(MOST_SERVERS + 10):
            loads.report(said(f"{server}", 0.0), 0.0)
            loads.report(said(f"{server}", 1.0), 1.0)
        found = of(loads, 1.0)
        assert found is not None
        assert found[0] == MOST_SERVERS


def test_a_judge_tells_of_both_and_of_each_only_when_it_is_due() -> None:
    judge = Judge("pod", Loads(0.0))
    judge.read({wire.KEY_ROUTE: route(1, 0.1).model_dump_json()}, 0.0)
    judge.take(report(counts(), busy_seconds=0.0), 0.0)
    judge.take(report(counts(), busy_seconds=2.0), 1.0)
    assert set(judge.due(1.0)) == {wire.KEY_VERDICT, wire.KEY_MEMORY, wire.KEY_LOAD}
    judge.wrote(1.0)
    judge.take(report(counts(), busy_seconds=90.0), 7.0)
    assert set(judge.due(7.0)) == {wire.KEY_LOAD}
    judge.wrote(7.0)
    assert set(judge.due(11.5)) >= {wire.KEY_VERDICT}, "a load that was written is no verdict"


def test_without_a_rollout_it_tells_of_the_load_alone_and_one_that_is_not_asked_of_nothing() -> None:
    for loads, keys in ((Loads(0.0), {wire.KEY_LOAD}), (None, set())):
        judge = Judge("pod", loads)
        judge.read({wire.KEY_ROUTE: wire.Route(uid=UID).model_dump_json()}, 0.0)
        for second in range(3):
            reply = wire.Reply.model_validate_json(judge.take(said("a", 2.0 * second), float(second)))
            assert reply.judging
        assert set(judge.due(3.0)) == keys
