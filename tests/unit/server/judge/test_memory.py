"""The judge's memory: a judge that was killed goes on with the same counts, and its memory stays within its bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import rollout_wire as wire
from headway_server.judge import memory
from headway_server.judge.findings import verdict
from headway_server.judge.gates import Counts
from headway_server.judge.tally import DEPARTED_SECONDS, MOST_GONE, Tally
from headway_server.judge.units import MOST_EVENTS
from rollouts import ALL_FAST, CANDIDATE, Server, counts, report, route

COUNTS = st.builds(Counts, *(st.integers(0, 50) for _ in range(4)))
TEN = Counts(10, 4, 3, 2)
NOW = 1000.0
DONE = st.lists(
    st.one_of(
        st.tuples(
            st.just("count"),
            st.tuples(
                st.integers(0, 3),
                st.integers(1, 3),
                st.fixed_dictionaries({"stable": COUNTS, "candidate": COUNTS}),
            ),
        ),
        st.tuples(st.sampled_from(["report", "end"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(["kill", "stop", "save", "minutes"]), st.none()),
    ),
    max_size=60,
)


class World:
    """Servers and a judge, of which the one may be killed and the others end."""

    def __init__(self) -> None:
        self.now = NOW
        self.servers = [Server(f"boot-{index}") for index in range(4)]
        self.boots = 4
        self.tally = Tally(route(3))
        self.text = ""
        self.never_killed = Tally(route(3))

    def done(self, what: str, with_: Any) -> None:
        """Let one thing happen."""
        if what == "count":
            index, epoch, more = with_
            self.servers[index].count(epoch, 0.1, more)
        elif what == "report":
            self.tell(self.servers[with_])
        elif what == "end":
            # Its last word is saved: what was told in the last seconds before a kill and by nobody again is the bound.
            self.tell(self.servers[with_])
            self.save()
            self.servers[with_] = Server(f"boot-{self.boots}")
            self.boots += 1
        elif what == "minutes":
            self.now += 2 * DEPARTED_SECONDS
        else:
            if what in ("save", "stop"):
                self.save()
            if what in ("kill", "stop"):
                self.tally, _ = memory.load(self.text, route(3), self.now)

    def tell(self, server: Server) -> None:
        for tally in (self.tally, self.never_killed):
            tally.report(server.report(), self.now)

    def save(self) -> None:
        self.text = memory.dump(self.tally, None, self.now)


@given(done=DONE)
def test_a_judge_that_is_killed_at_any_moment_has_the_counts_of_one_that_never_was(done: list[tuple[str, Any]]) -> None:
    world = World()
    for what, with_ in done:
        world.done(what, with_)
    for server in world.servers:
        world.tell(server)
    assert world.tally.steps() == world.never_killed.steps()
    of, wanted = (verdict(tally, None, world.now) for tally in (world.tally, world.never_killed))
    assert (of.verdict, of.gates, of.candidate_requests) == (wanted.verdict, wanted.gates, wanted.candidate_requests)


def bad(boot: str = "one", **more: Any) -> wire.Report:
    return report(counts(stable=Counts(900, 1), candidate=Counts(100, 60)), boot=boot, **more)


class TestWhatIsKept:
    def test_the_bound_of_slow_answers_the_failure_and_who_is_gone_are(self) -> None:
        tally = Tally(route())
        tally.report(bad("gone", seconds=ALL_FAST), 0.0)
        assert tally.forget(NOW)
        failed = verdict(tally, None, NOW)
        assert failed.verdict == "fail"
        again, kept = memory.load(memory.dump(tally, failed, NOW), route(), NOW)
        assert kept == failed
        assert again.slow_seconds == wire.SECONDS_BOUNDS[0]
        again.report(bad("gone"), NOW)
        assert again.row(1)[4] == 100

    def test_units_that_had_an_event_are_known_again(self) -> None:
        of = route(1, 0.5, mode="abTest")
        said = report(
            counts(1, 0.5, mode="abTest", candidate=TEN),
            units=[{"unit": "a", "candidate": True, "kind": "error", "epoch": 1}],
        )
        tally = Tally(of)
        tally.report(said, 0.0)
        again, _ = memory.load(memory.dump(tally, None, 0.0), of, 0.0)
        again.report(said, 0.0)
        assert again.steps() == tally.steps()
        assert again.steps()[0].candidate.errors == 1

    def test_after_a_restart_a_server_is_there_only_when_it_is_heard_again(self) -> None:
        tally = Tally(route())
        tally.report(bad(), NOW)
        again, _ = memory.load(memory.dump(tally, None, NOW), route(), 5.0)
        assert again.heard(5.0).servers == 0
        again.report(bad(), 5.0)
        assert again.heard(5.0).servers == 1


class TestOtherRollouts:
    def test_that_a_gateway_split_in_an_earlier_epoch_is_known_again(self) -> None:
        tally = Tally(route(1, gateway=True))
        tally.report(report(counts(1, stable=TEN, gateway=True), gateway=True), NOW)
        tally.follow(route(2))
        again, _ = memory.load(memory.dump(tally, None, NOW), route(2), NOW)
        assert again.epochs[1].gateway
        assert not again.epochs[2].gateway
        tell = report(counts(1, candidate=TEN, gateway=True), boot="two", version=CANDIDATE)
        again.report(tell, NOW)
        assert (again.row(1)[0], again.row(1)[4]) == (10, 10)

    @pytest.mark.parametrize(
        "other", [{"candidate": 4}, {"uid": "another"}, {"salt": "of a second try", "epoch": 7}], ids=str
    )
    def test_what_is_kept_of_another_rollout_is_not_taken(self, other: dict[str, Any]) -> None:
        tally = Tally(route())
        tally.report(bad(), NOW)
        text = memory.dump(tally, verdict(tally, None, NOW), NOW)
        new, failed = memory.load(text, route(**other), NOW)
        assert failed is None
        assert new.steps() == []

    def test_a_version_that_is_tried_again_is_not_held_to_what_servers_still_tell_of_its_first_rollout(self) -> None:
        tally = Tally(route())
        again, _ = memory.load(memory.dump(tally, None, NOW), route(7, salt="second"), NOW)
        again.report(report(counts(1, candidate=Counts(100, 60)), counts(7, candidate=Counts(5))), NOW)
        assert [step.candidate for step in again.steps()] == [Counts(5)]

    @pytest.mark.parametrize(
        "text",
        ["", "{}", "[]", "nonsense", '{"uid": 1}', "\udcff"],
    )
    def test_a_memory_that_cannot_be_read_is_none(self, text: str) -> None:
        tally, failed = memory.load(text, route(), NOW)
        assert (tally.steps(), failed) == ([], None)

    def test_rows_of_another_width_and_of_unknown_epochs_are_left_out(self) -> None:
        tally = Tally(route())
        tally.report(bad(), NOW)
        document = json.loads(memory.dump(tally, None, NOW))
        document["folded"] = {"1": [1, 2], "9": [1] * 14}
        document["boots"][0]["rows"]["1"] = [1]
        again, _ = memory.load(json.dumps(document), route(), NOW)
        assert again.steps() == []


class TestItsBound:
    def fullest(self, boots: int, last: float) -> Tally:
        """As large numbers as there are, of as many of everything as is kept."""
        most = Counts(2**47, 2**47, 2**47, 2**47)
        tally = Tally(route(1, 0.123456789012345, mode="abTest", salt="s" * 64, uid="u" * 64))
        for epoch in range(2, wire.MOST_EPOCHS + 1):
            tally.follow(route(epoch, 0.123456789012345, mode="abTest", salt="s" * 64, uid="u" * 64))
        epochs = [counts(epoch, stable=most, candidate=most, mirrored=most) for epoch in range(1, wire.MOST_EPOCHS + 1)]
        for index in range(boots):
            said = report(*epochs, boot=f"{index:032}")
            tally.report(said.model_copy(update={"uid": "u" * 64}), last)
        for index in range(MOST_EVENTS):
            tally.units.first(str(index), "error")
        for index in range(MOST_GONE):
            tally.gone[f"{index:012}"] = None
        return tally

    @pytest.mark.parametrize("last", [NOW, 0.0])
    def test_it_is_never_larger_than_what_the_config_map_has_room_for(self, last: float) -> None:
        tally = self.fullest(60, last)
        failed = verdict(tally, None, NOW)
        text = memory.dump(tally, failed, NOW)
        assert 40_000 < len(text.encode()) <= wire.MEMORY_MAX_BYTES
        assert memory.load(text, tally.route, NOW)[0].slow_seconds is None
        assert len(failed.model_dump_json().encode()) <= wire.VERDICT_MAX_BYTES

    def test_servers_that_are_gone_and_do_not_fit_leave_their_counts(self) -> None:
        tally = self.fullest(60, 0.0)
        total = [tally.row(epoch) for epoch in range(1, wire.MOST_EPOCHS + 1)]
        again, _ = memory.load(memory.dump(tally, None, NOW), tally.route, NOW)
        assert [again.row(epoch) for epoch in range(1, wire.MOST_EPOCHS + 1)] == total

    def test_servers_that_are_there_and_do_not_fit_tell_again(self) -> None:
        tally, servers = Tally(route()), [f"{index:032}" for index in range(800)]
        for boot in servers:
            tally.report(bad(boot), NOW)
        text = memory.dump(tally, None, NOW)
        assert not tally.gone
        again, _ = memory.load(text, route(), NOW)
        assert 0 < len(again.boots) < len(servers)
        for boot in servers:
            again.report(bad(boot), NOW)
        assert again.steps() == tally.steps()
