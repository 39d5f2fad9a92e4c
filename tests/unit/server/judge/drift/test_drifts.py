"""What the judge makes of servers' batches: once each, of one version, known again after a restart, and bounded."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from headway_api import drift_wire as wire
from headway_api import rollout_wire
from headway_server.judge.drift import drifts as module
from headway_server.judge.drift.drifts import Drifts
from headway_server.judge.drift.windows import CountsError
from headway_server.judge.metrics import Metrics
from headway_server.judge.rollout import Judge, WrongDeployment
from rollouts import UID, report, route

VERSION = 2
NAME = "judge 1"
"""Of a judge that has not begun again."""
REFERENCE = wire.WatchedReference(
    features=[
        wire.WatchedFeature(name="age", kind="numbers", cells=[1000] * 20),
        wire.WatchedFeature(name="town", kind="values", cells=[10_000, 10_000, 0]),
    ],
    left_out=3,
)
DIGEST = REFERENCE.digest
OTHER = wire.WatchedReference(features=[wire.WatchedFeature(name="x", kind="numbers", cells=[1])])
WALL = 1_795_000_000.0


def new(name: str = NAME) -> Drifts:
    """A judge of this name, whatever happens."""
    return Drifts(lambda: WALL, lambda: name)


def watch(**more: Any) -> dict[str, str]:
    told = {"uid": UID, "version": VERSION, "sample": 0.1, "rows": 1000, **more}
    return {wire.KEY_WATCH: wire.Watch(**told).model_dump_json()}


def batch(number: int, boot: str = "one", *, moved: bool = False, rows: int = 400, **more: Any) -> wire.Batch:
    each = rows // 20
    age = [2 * each] * 10 + [0] * 10 if moved else [each] * 20
    counts = [wire.FeatureCounts(cells=age), wire.FeatureCounts(cells=[rows // 2, rows // 2, 0])]
    told = {"uid": UID, "version": VERSION, "judge": NAME, "digest": DIGEST, "rows": rows, "counts": counts, **more}
    return wire.Batch(boot=boot, number=number, **told)


def referring(reference: wire.WatchedReference = REFERENCE, **more: Any) -> wire.Batch:
    told = {"uid": UID, "boot": "one", "version": VERSION, "digest": reference.digest, "reference": reference}
    return wire.Batch(**told | more)


def begun(data: dict[str, str] | None = None) -> Drifts:
    drifts = new()
    drifts.read(watch() if data is None else data)
    drifts.take(referring(), 0.0)
    return drifts


def filled(drifts: Drifts, *alarms: bool, start: int = 1, boot: str = "one") -> Drifts:
    """Windows of 1000 rows, one after the other, which are moved or not."""
    for at, moved in enumerate(alarms):
        assert drifts.take(batch(start + at, boot, moved=moved, rows=1000), float(start + at)).taken == start + at
    return drifts


def word(drifts: Drifts) -> wire.DriftWord:
    found = drifts.word()
    assert found is not None
    return found


class TestBatches:
    def test_the_reference_is_asked_for_once_and_then_batches_add_up(self) -> None:
        drifts = new()
        drifts.read(watch())
        assert drifts.take(batch(1), 0.0) == wire.BatchReply(taken=0, judge=NAME, reference=True)
        assert drifts.take(referring(), 0.0) == wire.BatchReply(taken=0, judge=NAME)
        assert drifts.take(batch(1), 0.0) == wire.BatchReply(taken=1, judge=NAME)
        assert drifts.take(batch(1, "two"), 0.0).taken == 1, "another server knows the same reference"
        assert (word(drifts).rows, word(drifts).watched, word(drifts).left_out) == (800, 2, 3)

    def test_a_batch_that_comes_again_counts_once_and_one_that_was_lost_is_not_missed(self) -> None:
        drifts = begun()
        for number in (1, 1, 3, 2, 1):
            drifts.take(batch(number, rows=100), 0.0)
        assert word(drifts).rows == 200
        assert drifts.take(batch(2, rows=100), 0.0).taken == 3

    def test_batches_in_any_order_and_any_number_of_times_count_each_number_of_a_process_once(self) -> None:
        chance = random.Random(1)  # noqa: S311 - nobody is to be kept from guessing it
        drifts, sent = begun(watch(rows=10**6)), dict.fromkeys("abcd", 1)
        for _ in range(400):
            boot = chance.choice("abcd")
            taken = drifts.take(batch(sent[boot], boot, rows=20), 0.0).taken
            assert taken == sent[boot]
            if chance.random() < 0.6:  # the answer was not lost
                sent[boot] += 1
        answered = sum(number - 1 for number in sent.values())
        assert 20 * answered <= word(drifts).rows <= 20 * (answered + 4)

    @pytest.mark.parametrize("other", [{"version": VERSION + 1}, {"uid": "another"}])
    def test_what_another_version_counts_is_answered_and_not_counted(self, other: dict[str, Any]) -> None:
        drifts = begun()
        assert drifts.take(batch(7, **other), 0.0) == wire.BatchReply(taken=7)
        assert word(drifts).rows == 0

    def test_nothing_is_counted_where_nothing_is_watched(self) -> None:
        drifts = Drifts(lambda: WALL)
        drifts.read({})
        assert drifts.take(batch(7), 0.0) == wire.BatchReply(taken=7)
        assert (drifts.word(), drifts.sampling, drifts.due("pod", 1e9, last=True)) == (None, None, {})

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (batch(1, digest="e" * 64), "digest: another reference"),
            (batch(1, counts=[]), "counts: 0 features"),
            (batch(1, rows=20, counts=[wire.FeatureCounts(cells=[1] * 20), wire.FeatureCounts()]), r"counts\.1\.cells"),
        ],
    )
    def test_counts_that_cannot_be_are_refused_and_leave_nothing(self, wrong: wire.Batch, said: str) -> None:
        drifts = begun()
        with pytest.raises(CountsError, match=said):
            drifts.take(wrong, 0.0)
        assert word(drifts).rows == 0
        assert drifts.take(batch(1), 0.0).taken == 1

    @pytest.mark.parametrize("names", [[], ["age", "age"]])
    def test_a_reference_without_names_of_its_own_is_refused(self, names: list[str]) -> None:
        drifts = new()
        drifts.read(watch())
        features = [wire.WatchedFeature(name=name, kind="numbers", cells=[1]) for name in names]
        with pytest.raises(CountsError, match="a name of its own"):
            drifts.take(referring(wire.WatchedReference(features=features)), 0.0)

    def test_a_reference_under_anothers_digest_is_refused(self) -> None:
        drifts = new()
        drifts.read(watch())
        with pytest.raises(CountsError, match="digest: it is not the reference's"):
            drifts.take(referring(OTHER, digest=DIGEST), 0.0)
        assert drifts.take(batch(1), 0.0).reference, "it is still asked for"

    def test_a_second_reference_changes_nothing_as_long_as_servers_count_by_the_first(self) -> None:
        drifts = begun()
        for turn in range(10):
            now = turn * wire.UNUSED_SECONDS
            drifts.take(batch(turn + 1, rows=20), now)
            assert not drifts.take(referring(OTHER, boot="two"), now + wire.UNUSED_SECONDS).reference
        assert (word(drifts).rows, word(drifts).watched) == (200, 2)

    def test_a_false_reference_gives_way_with_all_that_was_found_by_it_once_nobody_counts_by_it(self) -> None:
        drifts = new()
        drifts.read(watch())
        lies = [wire.FeatureCounts(cells=[800])]
        drifts.take(referring(OTHER, boot="liar"), 0.0)
        for number in (1, 2, 3):
            drifts.take(batch(number, "liar", digest=OTHER.digest, rows=800, counts=lies), 30.0)
        assert (word(drifts).windows, word(drifts).rows) == (1, 800)
        with pytest.raises(CountsError, match="60 s after the last of them was heard"):
            drifts.take(batch(1), 30.0 + wire.UNUSED_SECONDS)
        assert drifts.take(batch(2), 31.0 + wire.UNUSED_SECONDS).reference
        drifts.take(referring(), 31.0 + wire.UNUSED_SECONDS)
        assert drifts.take(batch(2), 31.0 + wire.UNUSED_SECONDS).taken == 2
        told = word(drifts)
        assert (told.state, told.windows, told.watched, told.rows) == ("Insufficient", 0, 2, 400)

    def test_a_batch_that_was_made_for_another_judge_is_not_counted(self) -> None:
        drifts = begun()
        for name in ("", "judge 0"):
            assert drifts.take(batch(1, judge=name), 0.0) == wire.BatchReply(taken=0, judge=NAME)
        assert word(drifts).rows == 0
        drifts.take(batch(1), 0.0)
        assert drifts.take(batch(1, judge="judge 0"), 0.0).taken == 1, "it was counted, whatever it says now"

    def test_a_judge_that_forgets_what_it_has_taken_draws_another_name(self) -> None:
        drifts = Drifts(lambda: WALL)
        drifts.read(watch())
        names = [drifts.take(referring(), 0.0).judge]
        drifts.read(watch(sample=0.5))
        assert drifts.take(referring(), 0.0).judge == names[0]
        drifts.forget()
        drifts.read(watch())
        names.append(drifts.take(referring(), 0.0).judge)
        drifts.read(watch(version=VERSION + 1))
        names.append(drifts.take(referring(version=VERSION + 1), 0.0).judge)
        assert len(set(names)) == 3

    def test_no_more_processes_are_remembered_than_there_may_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MOST_SERVERS", 8)
        drifts = begun()
        for boot in range(100):
            drifts.take(batch(1, f"boot {boot}", rows=20), 0.0)
            drifts.take(batch(1, "steady", rows=20), 0.0)
        assert len(drifts._taken) == 8
        assert "steady" in drifts._taken


class TestStates:
    @pytest.mark.parametrize(
        ("alarms", "state"),
        [
            ([], "Insufficient"),
            ([False], "Stable"),
            ([True], "Stable"),
            ([True, False], "Stable"),
            ([True, True], "Drifted"),
            ([True, False, True], "Drifted"),
            ([True, True, False], "Drifted"),
            ([True, True, False, False], "Stable"),
            ([True, False, False, True], "Stable"),
        ],
    )
    def test_two_of_three_windows_make_it_drifted_and_stable_again(self, alarms: list[bool], state: str) -> None:
        drifts = filled(begun(), *alarms)
        assert (word(drifts).state, word(drifts).windows) == (state, len(alarms))
        assert word(drifts).recent == alarms[-3:]

    def test_a_window_tells_its_features_its_score_and_when_it_was_over(self) -> None:
        found = word(filled(begun(), True))
        assert [one.name for one in found.features] == ["age"]
        assert found.score == found.features[0].score > 5
        assert found.checked == "2026-11-18T11:06:40Z"
        assert (
            "the first window alarms (2 of 3 make it Drifted); of 2 features that are watched (3 more are not) 1 unlike"
            in found.message
        )
        assert "age (score 1" in found.message

    def test_a_quiet_window_of_a_version_that_drifts_is_said_to_be_the_last_one(self) -> None:
        found = word(filled(begun(), True, True, False))
        assert (found.state, found.features) == ("Drifted", [])
        assert found.message == (
            "2 of the last 3 windows alarm (2 of 3 make it Drifted); of 2 features that are watched (3 more are not) "
            "none is unlike the training rows in the last window, of 1000 rows"
        )

    def test_a_window_of_which_nothing_can_be_compared_is_no_end_of_a_drift_and_no_likeness(self) -> None:
        drifts = filled(begun(), True, True)
        wrong = [wire.FeatureCounts(cells=[0] * 20, missing=1000), wire.FeatureCounts(cells=[0] * 3, unseen=1000)]
        for number in range(3, 8):
            drifts.take(batch(number, rows=1000, counts=wrong), float(number))
        found = word(drifts)
        assert (found.state, found.score, found.recent, found.windows) == ("Unavailable", None, [True, True], 7)
        assert (found.problems, len(found.data_quality)) == (2, 2)
        assert found.message == (
            "none of 2 features that are watched (3 more are not) can be compared: the values of all are wrong in 1000 "
            "rows"
        )
        again = Drifts(lambda: WALL)
        again.read({**watch(), **drifts.due("pod", 100.0)})
        assert word(again).state == "Unavailable"
        filled(drifts, False, start=8)
        assert (word(drifts).state, word(drifts).recent) == ("Drifted", [True, True, False])

    def test_hundreds_of_servers_with_rows_enough_each_make_a_window_a_second_and_no_row_is_lost(self) -> None:
        drifts, windows = begun(), list[wire.DriftWord]()
        for at in range(500):
            now = at / 50  # 500 servers send in ten seconds
            drifts.take(batch(1, f"server {at}", rows=2000, moved=at % 50 == 0), now)
            if word(drifts).windows > len(windows):
                windows.append(word(drifts))
        assert 9 <= len(windows) <= 11
        rows = [int(re.findall(r"(\d+) rows", one.message)[0]) for one in windows]
        assert sum(rows) + word(drifts).rows == 500 * 2000
        assert not any(one.recent[-1] for one in windows[1:]), "one server of fifty is moved, in windows of all"

    def test_a_window_is_over_in_time_though_no_other_batch_comes(self) -> None:
        drifts = begun(watch(seconds=86_400))
        drifts.take(batch(1, rows=1000), 0.0)
        assert "Insufficient" in drifts.due("pod", 86_399.0)[wire.KEY_DRIFT]
        drifts.wrote(86_399.0)
        told = wire.DriftWord.model_validate_json(drifts.due("pod", 86_400.0)[wire.KEY_DRIFT])
        assert (told.state, told.windows, told.rows) == ("Stable", 1, 0)

    def test_windows_that_begin_with_wrong_values_are_told_so(self) -> None:
        drifts = begun()
        wrong = [wire.FeatureCounts(cells=[0] * 20, missing=1000), wire.FeatureCounts(cells=[0] * 3, unseen=1000)]
        drifts.take(batch(1, rows=1000, counts=wrong), 0.0)
        assert (word(drifts).state, word(drifts).recent, word(drifts).windows) == ("Unavailable", [], 1)
        assert word(filled(drifts, False, start=2)).state == "Stable"

    def test_a_window_lasts_for_as_long_as_it_is_to(self) -> None:
        drifts = begun(watch(seconds=60))
        drifts.take(batch(1, rows=2000), 0.0)
        drifts.take(batch(2, rows=2000), 59.0)
        assert word(drifts).state == "Insufficient"
        assert (
            word(drifts).message == "4000 rows of the first window have been counted, and it needs 1000 and 60 seconds"
        )
        drifts.take(batch(3, rows=2000), 61.0)
        assert (word(drifts).state, word(drifts).rows) == ("Stable", 0)

    def test_a_version_without_a_reference_is_unavailable_and_says_why(self) -> None:
        drifts = Drifts(lambda: WALL)
        drifts.read(watch())
        reply = drifts.take(wire.Batch(uid=UID, boot="one", version=VERSION, unavailable="it has no reference"), 0.0)
        assert reply == wire.BatchReply()
        assert (word(drifts).state, word(drifts).message) == ("Unavailable", "it has no reference")
        drifts.take(referring(), 0.0)
        assert word(drifts).state == "Insufficient"

    def test_another_version_begins_anew(self) -> None:
        drifts = filled(begun(), True, True)
        drifts.read(watch(version=VERSION + 1))
        assert (word(drifts).state, word(drifts).windows, word(drifts).version) == ("Insufficient", 0, VERSION + 1)
        assert drifts.take(batch(3), 0.0).taken == 3, "of the version of before: it is not counted"
        assert word(drifts).rows == 0
        assert drifts.take(batch(1, version=VERSION + 1), 0.0).reference, "it has a reference of its own"

    def test_no_version_that_answers_has_no_word(self) -> None:
        drifts = begun(watch(version=0))
        assert (drifts.word(), drifts.sampling) == (None, None)

    def test_fewer_windows_to_look_at_count_at_once(self) -> None:
        drifts = filled(begun(), True, True, False)
        drifts.read(watch(of=1, need=1))
        assert (word(drifts).state, word(drifts).recent) == ("Stable", [False])
        drifts.read(watch(of=3, need=1))
        assert word(drifts).state == "Drifted"


class TestWords:
    def test_a_word_is_written_when_it_changes_and_now_and_then(self) -> None:
        drifts = begun()
        first = drifts.due("pod", 0.0)
        drifts.wrote(0.0)
        assert wire.DriftWord.model_validate_json(first[wire.KEY_DRIFT]).state == "Insufficient"
        drifts.take(batch(1), 0.0)
        assert drifts.due("pod", 60.0) == {}, "more rows are no news"
        assert drifts.due("pod", wire.DRIFT_BEAT_SECONDS) != {}
        drifts.wrote(wire.DRIFT_BEAT_SECONDS)
        filled(drifts, False, start=2)
        now = wire.DRIFT_BEAT_SECONDS + 1
        assert drifts.urgent(), "the state has turned"
        told = wire.DriftWord.model_validate_json(drifts.due("pod", now)[wire.KEY_DRIFT])
        assert (told.state, told.beat, told.told_by) == ("Stable", 3, "pod")
        drifts.wrote(now)
        assert not drifts.urgent()
        filled(drifts, False, start=3)
        assert drifts.due("pod", now + 1) == {}, "one more window of the same state can wait"
        assert drifts.due("pod", now + wire.DRIFT_CHANGES_SECONDS) != {}

    def test_what_was_not_written_is_due_again(self) -> None:
        drifts = begun()
        assert drifts.due("pod", 0.0) != {}
        assert drifts.due("pod", 0.1) != {}

    def test_a_judge_that_begins_again_knows_the_windows_and_goes_on_with_its_beat(self) -> None:
        before = filled(begun(), True, True)
        written = before.due("pod", 100.0)
        after = new()
        after.read({**watch(), **written})
        assert word(after).model_copy(update={"beat": 0, "told_by": None}) == word(before)
        assert after.take(batch(9), 0.0).reference
        after.take(referring(), 0.0)
        filled(after, False, start=9)
        assert (word(after).recent, word(after).windows, word(after).state) == ([True, True, False], 3, "Drifted")
        told = wire.DriftWord.model_validate_json(after.due("pod", 0.0)[wire.KEY_DRIFT])
        assert told.beat == 2

    def test_windows_that_were_held_against_another_reference_are_not_gone_on_with(self) -> None:
        before = filled(begun(), True, True)
        after = new()
        after.read({**watch(), **before.due("pod", 100.0)})
        assert word(after).state == "Drifted", "as far as anybody knows"
        after.take(referring(OTHER), 0.0)
        assert (word(after).state, word(after).windows, word(after).recent) == ("Insufficient", 0, [])

    @pytest.mark.parametrize(
        "said",
        ["", "{", "[]", '{"state": "Odd"}', '{"state": "Drifted", "uid": "another", "version": 2, "windows": 3}'],
    )
    def test_what_is_no_word_of_this_version_is_no_memory(self, said: str) -> None:
        drifts = Drifts(lambda: WALL)
        drifts.read({**watch(), wire.KEY_DRIFT: said})
        assert (word(drifts).state, word(drifts).windows) == ("Insufficient", 0)

    def test_a_word_that_the_api_server_gets_is_bounded_whatever_features_are_called(self) -> None:
        names = [f"{place}" + "\u4eba" * 199 for place in range(wire.MOST_WATCHED)]
        features = [wire.WatchedFeature(name=name, kind="numbers", cells=[10**6] * 20) for name in names]
        drifts = new()
        drifts.read(watch())
        reference = wire.WatchedReference(features=features)
        drifts.take(referring(reference), 0.0)
        lost = [wire.FeatureCounts(cells=[100] * 10 + [0] * 10)] * 200 + [
            wire.FeatureCounts(cells=[0] * 20, missing=1000)
        ] * 56
        drifts.take(batch(1, digest=reference.digest, rows=1000, counts=lost), 0.0)
        (text,) = drifts.due("pod", 0.0).values()
        assert len(text.encode()) <= wire.DRIFT_MAX_BYTES
        told = wire.DriftWord.model_validate_json(text)
        assert (len(told.features), len(told.data_quality), told.problems) == (5, 5, 56)

    def test_a_watch_that_cannot_be_read_leaves_the_last_one(self) -> None:
        drifts = begun()
        drifts.take(batch(1), 0.0)
        drifts.read({wire.KEY_WATCH: '{"alpha": 7}'})
        assert drifts.bad_watch is not None
        assert "monitoring.json is no watch: 1 errors, the first at alpha" in drifts.bad_watch
        assert word(drifts).rows == 400
        drifts.read(watch())
        assert word(drifts).rows == 400
        assert not drifts.bad_watch


class TestWithTheJudge:
    def judge(self, **data: str) -> Judge:
        judge = Judge("pod", drifts=Drifts(lambda: WALL))
        judge.read({rollout_wire.KEY_ROUTE: rollout_wire.Route(uid=UID).model_dump_json(), **watch(), **data}, 0.0)
        return judge

    def test_servers_are_told_what_to_count_and_that_it_has_ended(self) -> None:
        judge = self.judge()
        told = rollout_wire.Reply.model_validate_json(judge.take(report(), 0.0))
        assert told.sampling == rollout_wire.Sampling(version=VERSION, sample=0.1)
        judge.read({rollout_wire.KEY_ROUTE: rollout_wire.Route(uid=UID).model_dump_json()}, 1.0)
        assert rollout_wire.Reply.model_validate_json(judge.take(report(), 1.0)).sampling is None

    def test_a_word_is_written_beside_the_verdict_of_a_rollout(self) -> None:
        judge = self.judge(**{rollout_wire.KEY_ROUTE: route().model_dump_json()})
        judge.take_batch(referring(), 0.0)
        assert set(judge.due(0.0)) >= {wire.KEY_DRIFT, rollout_wire.KEY_VERDICT}

    def test_a_batch_of_another_deployment_is_refused(self) -> None:
        with pytest.raises(WrongDeployment, match="uid: 'another'"):
            self.judge().take_batch(batch(1, uid="another"), 0.0)

    def test_a_judge_that_knows_no_route_yet_takes_nothing_and_has_it_sent_again(self) -> None:
        assert json.loads(Judge().take_batch(batch(1), 0.0))["taken"] == 0

    def test_metrics_have_the_farthest_features_alone(self) -> None:
        metrics, drifts = Metrics(), filled(begun(), True)
        metrics.tell_drift(drifts.word())
        text = metrics.text().decode()
        assert 'headway_judge_drift_score{feature="age"} 1' in text
        assert "town" not in text
        assert "headway_judge_drift_windows 1.0" in text
        metrics.tell_drift(None)
        assert 'feature="age"' not in metrics.text().decode()
