"""The tally: that what servers tell is counted once, whatever way it comes, and that it stays within its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import rollout_wire as wire
from headway_server.judge import tally as module
from headway_server.judge.gates import Counts, Step
from headway_server.judge.tally import DEPARTED_SECONDS, HEARD_SECONDS, MOST_GONE, SLOW_REQUESTS, Heard, Tally
from headway_server.judge.units import MOST_EVENTS, FirstEvents
from rollouts import CANDIDATE, STABLE, Server, counts, report, route

COUNTS = st.builds(Counts, *(st.integers(0, 50) for _ in range(4)))
GROWTH = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.fixed_dictionaries({"stable": COUNTS, "candidate": COUNTS})),
    max_size=30,
)
"""Which of four servers counts what in which epoch."""
TEN = Counts(10, 4, 3, 2)


class TestWhatIsCounted:
    @given(growth=GROWTH, order=st.randoms(use_true_random=False))
    def test_reports_in_any_order_told_twice_or_late_give_what_was_counted(self, growth: Any, order: Any) -> None:
        servers = [Server(f"boot-{index}") for index in range(4)]
        reports = []
        for index, epoch, more in growth:
            servers[index].count(epoch, 0.1, more)
            reports.append(servers[index].report())
        last = {each.boot: each for each in reports}
        reports += reports
        order.shuffle(reports)
        tally, once = Tally(route(3)), Tally(route(3))
        for each in reports:
            tally.report(each, 0.0)
        for each in last.values():
            once.report(each, 0.0)
        assert tally.steps() == once.steps()
        total = sum(more["candidate"].requests for _, _, more in growth)
        assert sum(tally.row(epoch)[4] for epoch in (1, 2, 3)) == total

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"rollout": CANDIDATE + 1}, "another rollout"),
            ({"epoch": 9}, "an epoch that is not there yet"),
            ({"epoch": 1}, "an epoch of an earlier rollout of the same version"),
        ],
    )
    def test_what_is_not_of_this_rollout_is_not_counted(self, said: dict[str, Any], why: str) -> None:
        tally = Tally(route(3), first_epoch=2)
        tally.report(report(counts(**{"epoch": 3, "candidate": TEN, **said})), 0.0)
        assert tally.steps() == [], why

    def test_where_a_gateway_splits_the_servers_of_both_versions_count_and_a_server_of_before_does_not(self) -> None:
        tally = Tally(route(gateway=True))
        old, new = counts(stable=TEN, candidate=TEN), dict[str, Any](gateway=True)
        tally.report(report(counts(stable=TEN, **new), boot="a", **new), 0.0)
        tally.report(report(counts(candidate=TEN, **new), boot="b", version=CANDIDATE, **new), 0.0)
        assert tally.heard(0.0) == Heard(2, 2, 0)
        tally.report(report(old, boot="c"), 0.0)
        assert tally.heard(0.0) == Heard(3, 2, 0), "it draws, and does not keep to what it is told"
        assert (tally.row(1)[0], tally.row(1)[4]) == (10, 10)

    @pytest.mark.parametrize(
        ("stable", "candidate", "share"), [(90, 10, 0.1), (95, 5, 0.1), (60, 40, 0.4), (0, 7, 1.0)]
    )
    def test_what_a_gateway_gave_beyond_its_weight_is_no_evidence(
        self, stable: int, candidate: int, share: float
    ) -> None:
        tally = Tally(route(gateway=True))
        told = counts(stable=Counts(stable), candidate=Counts(candidate), gateway=True)
        tally.report(report(told), 0.0)
        [step] = tally.steps()
        assert step == Step(share, Counts(stable), Counts(candidate))

    def test_a_server_of_another_version_counts_nothing_and_is_none_of_those_that_are_there(self) -> None:
        tally = Tally(route())
        tally.report(report(counts(candidate=TEN), version=CANDIDATE), 0.0)
        assert tally.steps() == []
        assert tally.heard(0.0) == Heard(0, 0, 0)

    def test_while_the_candidate_bakes_its_own_servers_count_and_no_others(self) -> None:
        tally = Tally(route(2, 1.0, baking=True))
        baking: dict[str, Any] = {"epoch": 2, "share": 1.0, "baking": True}
        tally.report(report(counts(**baking, candidate=TEN), version=CANDIDATE, boot="new"), 0.0)
        tally.report(report(counts(**baking, candidate=TEN), boot="old"), 0.0)
        assert tally.steps() == [Step(1.0, Counts(), TEN)]
        assert tally.heard(0.0) == Heard(1, 1, 0)

    @pytest.mark.parametrize("mode", ["canary", "abTest", "shadow"])
    def test_what_bakes_is_compared_with_nothing_whatever_the_rollout_was(self, mode: wire.Mode) -> None:
        tally = Tally(route(2, 1.0, mode=mode, baking=True))
        said = counts(2, 1.0, mode=mode, baking=True, candidate=TEN)
        tally.report(report(said, version=CANDIDATE), 0.0)
        assert tally.steps() == [Step(1.0, Counts(), TEN)]

    def test_an_ab_test_that_has_ended_with_all_units_counts_requests(self) -> None:
        tally = Tally(route(2, 1.0, mode="abTest"))
        tally.report(report(counts(2, 1.0, mode="abTest", candidate=TEN)), 0.0)
        assert tally.steps() == [Step(1.0, Counts(), TEN)]

    def test_mirrored_requests_are_a_split_of_one_to_one(self) -> None:
        tally = Tally(route(1, 0.0, mode="shadow", mirror=0.2))
        tally.report(
            report(
                counts(
                    share=0.0,
                    mode="shadow",
                    stable=Counts(100, 9),
                    mirrored=Counts(10, 1),
                    candidate=TEN,
                    compared=8,
                    disagreed=2,
                )
            ),
            0.0,
        )
        assert tally.steps() == [Step(0.5, Counts(10, 1), TEN, 8, 2)]

    def test_a_share_of_all_or_nothing_compares_nothing(self) -> None:
        tally = Tally(route(2, 1.0))
        tally.report(report(counts(1, 0.0, stable=TEN, compared=5), counts(2, 1.0, stable=TEN, candidate=TEN)), 0.0)
        assert tally.steps() == [Step(1.0, Counts(), Counts(), 5), Step(1.0, Counts(), TEN)]

    def test_how_an_epoch_was_split_is_the_routes_word_and_only_without_it_a_servers(self) -> None:
        tally = Tally(route(2, 0.5))
        tally.report(report(counts(1, 0.05, candidate=TEN), counts(2, 0.9, candidate=TEN)), 0.0)
        assert [step.share for step in tally.steps()] == [0.05, 0.5]

    def test_more_events_than_requests_are_as_many_as_requests(self) -> None:
        tally = Tally(route())
        tally.report(report(counts(candidate=Counts(3, 9, 9, 9), compared=1, disagreed=5)), 0.0)
        assert tally.steps() == [Step(0.1, Counts(), Counts(3, 3, 3, 3), 1, 1)]

    def test_of_more_epochs_than_are_kept_the_oldest_go(self) -> None:
        tally = Tally(route(1))
        for epoch in range(1, 41):
            tally.follow(route(epoch))
            tally.report(report(counts(epoch, candidate=TEN)), 0.0)
        tally.report(report(counts(2, candidate=TEN), boot="late"), 0.0)
        assert len(tally.steps()) == wire.MOST_EPOCHS
        assert min(tally.epochs) == 41 - wire.MOST_EPOCHS
        assert all(len(boot.rows) <= wire.MOST_EPOCHS for boot in tally.boots.values())


class TestServers:
    def test_a_server_is_there_for_seconds_after_its_last_word_and_follows_by_its_epoch(self) -> None:
        tally = Tally(route(2))
        tally.report(report(counts(1), boot="behind"), 0.0)
        tally.report(report(counts(2), boot="follows", breaker_open=True), 1.0)
        assert tally.heard(HEARD_SECONDS) == Heard(2, 1, 1)
        assert tally.heard(HEARD_SECONDS + 0.5) == Heard(1, 1, 1)
        assert tally.heard(HEARD_SECONDS + 1.5) == Heard(0, 0, 0)

    def test_where_there_is_no_room_one_that_is_gone_makes_it_and_its_counts_stay(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MOST_BOOTS", 2)
        tally = Tally(route())
        for boot in ("one", "two"):
            assert tally.report(report(counts(candidate=TEN), boot=boot), 0.0)
        assert not tally.report(report(counts(candidate=TEN), boot="three"), 1.0), "both are there"
        assert tally.report(report(counts(candidate=TEN), boot="three"), DEPARTED_SECONDS)
        assert set(tally.boots) == {"two", "three"}
        assert tally.row(1)[4] == 30
        assert tally.report(report(counts(candidate=Counts(11)), boot="one"), 2 * DEPARTED_SECONDS)
        assert tally.row(1)[4] == 30, "counted for good: its word is not taken twice"
        assert tally.heard(2 * DEPARTED_SECONDS).servers == 1

    def test_those_of_which_is_known_that_they_are_gone_are_bounded(self) -> None:
        tally = Tally(route())
        for index in range(MOST_GONE + 5):
            tally.report(report(counts(candidate=Counts(1)), boot=str(index)), 0.0)
            assert tally.forget(DEPARTED_SECONDS)
        assert len(tally.gone) == MOST_GONE
        assert tally.row(1)[4] == MOST_GONE + 5


class TestWhatIsSlow:
    def histogram(self, **at: int) -> list[int]:
        found = [0] * (len(wire.SECONDS_BOUNDS) + 1)
        for index, requests in at.items():
            found[int(index[1:])] = requests
        return found

    def test_it_is_the_bound_above_the_99th_percentile_of_all_stable_servers(self) -> None:
        tally = Tally(route())
        tally.report(report(boot="one", seconds=self.histogram(b10=300, b90=2)), 0.0)
        assert tally.slow_seconds is None, "too few"
        tally.report(report(boot="two", seconds=self.histogram(b10=195, b20=3)), 0.0)
        assert tally.slow_seconds == wire.SECONDS_BOUNDS[10]

    def test_it_is_set_once(self) -> None:
        tally = Tally(route())
        tally.report(report(seconds=self.histogram(b20=SLOW_REQUESTS)), 0.0)
        tally.report(report(seconds=self.histogram(b90=10**6)), 0.0)
        assert tally.slow_seconds == wire.SECONDS_BOUNDS[20]

    def test_neither_the_candidates_times_nor_the_same_times_told_again_help(self) -> None:
        tally = Tally(route())
        tally.report(report(version=CANDIDATE, seconds=self.histogram(b20=10**6)), 0.0)
        for _ in range(5):
            tally.report(report(seconds=self.histogram(b20=SLOW_REQUESTS - 1)), 0.0)
        assert tally.slow_seconds is None
        tally.report(report(seconds=[10**6] * 3), 0.0)
        assert tally.slow_seconds is None, "a histogram with other bounds is none"

    def test_above_all_bounds_it_is_the_last_bound(self) -> None:
        tally = Tally(route())
        tally.report(report(seconds=self.histogram(**{f"b{len(wire.SECONDS_BOUNDS)}": 1000})), 0.0)
        assert tally.slow_seconds == wire.SECONDS_BOUNDS[-1]


class TestUnits:
    def event(self, unit: str, candidate: bool, kind: str = "error", epoch: int = 1) -> dict[str, Any]:
        return {"unit": unit, "candidate": candidate, "kind": kind, "epoch": epoch}

    def told(self, tally: Tally, *events: dict[str, Any], version: int = STABLE) -> None:
        newest = tally.route.epoch
        rows = [
            counts(epoch, 0.5, mode="abTest", stable=Counts(100, 50, 50, 7), candidate=Counts(100, 50, 50, 8))
            for epoch in range(1, newest + 1)
        ]
        said = [wire.UnitEvent.model_validate(event) for event in events]
        tally.report(report(*rows, units=said, version=version), 0.0)

    def test_a_units_events_count_once_a_kind_in_the_whole_rollout(self) -> None:
        tally = Tally(route(1, 0.5, mode="abTest"))
        self.told(tally, self.event("a", True), self.event("a", True), self.event("b", False))
        self.told(tally, self.event("a", True), self.event("a", True, "slow"))
        tally.follow(route(2, 0.5, mode="abTest"))
        self.told(tally, self.event("a", True, epoch=2), self.event("c", False, "slow", epoch=2))
        assert tally.steps() == [
            Step(0.5, Counts(100, 1, 0, 7), Counts(100, 1, 1, 8)),
            Step(0.5, Counts(100, 0, 1, 7), Counts(100, 0, 0, 8)),
        ]

    def test_events_of_a_server_that_does_not_count_or_of_an_unknown_epoch_are_none(self) -> None:
        tally = Tally(route(1, 0.5, mode="abTest"))
        self.told(tally, self.event("a", True), version=CANDIDATE)
        self.told(tally, self.event("b", True, epoch=2))
        assert tally.unit_rows == {}

    def test_the_filter_takes_few_for_others_even_when_it_is_full_and_then_no_more(self) -> None:
        first = FirstEvents()
        found = sum(first.first(f"unit {index}", "error") for index in range(MOST_EVENTS))
        assert 0.97 * MOST_EVENTS < found < MOST_EVENTS
        assert not any(first.first(f"unit {index}", "error") for index in range(1000))
        index = MOST_EVENTS
        while not first.full:
            first.first(f"unit {index}", "error")
            index += 1
        assert not first.first("one more", "slow")
        again = FirstEvents.of(first.text(), first.events)
        assert again.full

    @pytest.mark.parametrize("text", ["", "nonsense!", "AAAA"])
    def test_what_is_no_filter_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="no filter"):
            FirstEvents.of(text, 1)
