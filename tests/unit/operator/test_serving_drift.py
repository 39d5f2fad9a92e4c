"""What the judge says of drift stands in the status, as long as it is about what answers and new enough."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headway_api.drift_wire import DRIFT_MAX_BYTES, KEY_DRIFT, KEY_WATCH, Watch
from headway_api.rollout_wire import KEY_ROUTE
from headway_operator.engine import kube
from headway_operator.serving import names, records
from headway_operator.serving.plan.drift import FRESH_SECONDS, TURN_SECONDS
from sim.builders import T0

from .serving_stage import DIGEST_2, Stage

SOURCE = "spec.versions.source.digest"
ALL: dict[str, Any] = {"sample": 0.5, "window": {"rows": 500, "seconds": 60}, "alpha": 0.05, "minEffect": 0.1}


class Watched:
    """The first version answers, and is watched."""

    def __init__(self, changes: dict[str, Any] | None = None, **drift: Any) -> None:
        self.stage = Stage({"spec.monitoring": {"drift": drift}, **(changes or {})})
        self.beat = 0
        self.stage.settle()
        self.stage.ready(1)
        self.stage.after(15.0)

    @property
    def name(self) -> str:
        """Of the ConfigMap, and of the judge."""
        return names.judge_name("digits", self.stage.uid)

    @property
    def data(self) -> dict[str, str]:
        """The ConfigMap's; empty where there is none."""
        body = self.stage.server.find(kube.CONFIG_MAPS, self.name)
        return body["data"] if body is not None else {}

    def writes(self, text: str) -> None:
        """What the judge writes, which the operator sees."""
        self.stage.server.change(kube.CONFIG_MAPS, self.name, lambda body: body["data"].update({KEY_DRIFT: text}))
        self.stage.settle()

    def says(self, state: str, **word: Any) -> None:
        """The judge's word."""
        self.beat += 1
        known = {"uid": self.stage.uid, "version": 1, "state": state, "beat": self.beat}
        self.writes(json.dumps(known | word))

    @property
    def drift(self) -> dict[str, Any]:
        """What the status says."""
        found: dict[str, Any] = self.stage.status["drift"]
        return found

    @property
    def said(self) -> tuple[str, str]:
        """The condition's status and reason."""
        return self.stage.condition("Drifted")[:2]


def test_a_judge_and_what_it_watches_are_there_without_any_rollout() -> None:
    watched = Watched(**ALL)
    stage = watched.stage
    assert stage.of(kube.DEPLOYMENTS) == {stage.name(1), watched.name}
    asked = Watch.model_validate_json(watched.data[KEY_WATCH])
    assert asked == Watch(uid=stage.uid, version=1, sample=0.5, rows=500, seconds=60, alpha=0.05, min_effect=0.1)
    assert watched.said == ("Unknown", "Starting")
    assert (watched.drift["state"], watched.drift["version"]) == ("Insufficient", "digits-1")


def test_without_monitoring_nothing_of_it_is_there() -> None:
    stage = Stage()
    stage.settle()
    stage.ready(1)
    stage.after(15.0)
    assert stage.of(kube.DEPLOYMENTS) == {stage.name(1)}
    assert stage.of(kube.CONFIG_MAPS) == set()
    assert "drift" not in stage.status
    assert "Drifted" not in {each["type"] for each in stage.status["conditions"]}


def test_pods_are_the_same_with_and_without_it() -> None:
    watched, plain = Watched(**ALL).stage, Stage()
    plain.settle()
    [ours, theirs] = [stage.server.find(kube.DEPLOYMENTS, stage.name(1)) for stage in (watched, plain)]
    assert ours is not None
    assert theirs is not None
    text = json.dumps(ours["spec"]["template"], sort_keys=True).replace(watched.uid, plain.uid)
    assert text == json.dumps(theirs["spec"]["template"], sort_keys=True)


def test_a_drift_is_told_once_with_its_features_and_so_is_its_end() -> None:
    watched = Watched()
    watched.says("Stable", score=0.2, windows=3, checked="2027-01-15T08:00:00Z")
    assert watched.said == ("False", "Stable")
    watched.stage.after(TURN_SECONDS)
    features = [{"name": "age", "score": 2.123456}, {"name": "fa\nre", "score": 1.2}]
    watched.says("Drifted", score=2.123456, features=features, windows=5)
    assert watched.said == ("True", "Drifted")
    message = watched.stage.condition("Drifted")[2]
    assert message == (
        "requests are unlike the rows that version digits-1 was trained on: age (2.12), fa\\u000are (1.2)"
    )
    assert (watched.drift["score"], watched.drift["windows"], watched.drift["message"]) == (2.123, 5, message)
    watched.says("Drifted", score=1.5, features=features[:1], windows=6)
    assert watched.stage.notices.count("Drifted") == 1
    watched.stage.after(TURN_SECONDS)
    watched.says("Stable", score=0.0, windows=9)
    assert watched.said == ("False", "Stable")
    assert watched.stage.notices.count("DriftEnded") == 1


@pytest.mark.parametrize(("state", "status"), [("Stable", "False"), ("Drifted", "True")])
def test_the_first_window_is_told_of_at_once(state: str, status: str) -> None:
    watched = Watched()
    watched.says("Insufficient")
    assert watched.said == ("Unknown", "Insufficient")
    watched.says(state, score=0.2, windows=1)
    assert watched.said == (status, state), "nothing was said before that this is the opposite of"


def test_a_judge_that_turns_each_second_is_told_of_once_a_minute() -> None:
    watched = Watched()
    for number in range(240):
        watched.says("Drifted" if number % 2 else "Stable", windows=number)
        watched.stage.after(1.0)
    told = [each for each in watched.stage.notices if each in ("Drifted", "DriftEnded")]
    assert 1 <= len(told) <= 240 / TURN_SECONDS + 1


def test_what_is_wrong_with_values_is_said_as_such() -> None:
    watched = Watched()
    quality = [{"name": "cabin", "problem": "Missing", "share": 0.4, "usual": 0.031}]
    watched.says("Stable", score=0.0, dataQuality=quality, problems=3)
    assert watched.said == ("False", "Stable")
    assert watched.stage.condition("Drifted")[2].endswith(
        "; not compared, for their values: cabin (missing in 40.0% of the rows, usually 3.1%) and 2 more"
    )
    assert watched.drift["dataQuality"] == [{"name": "cabin", "problem": "Missing", "share": 0.4, "usual": 0.031}]


def test_what_a_column_is_called_does_not_steer_the_terminal_of_whoever_reads_the_status() -> None:
    watched = Watched()
    name = "\x1b[2Jage\u202e" + "x" * 190
    quality = [{"name": name, "problem": "Unseen", "share": 0.4}]
    watched.says("Drifted", score=2.0, features=[{"name": name, "score": 2.0}], dataQuality=quality, problems=1)
    assert watched.said == ("True", "Drifted")
    for told in (watched.drift["features"], watched.drift["dataQuality"]):
        assert told[0]["name"].startswith("\\u001b[2Jage\\u202exxx")
        assert len(told[0]["name"]) <= 200
    assert json.dumps(watched.stage.status, ensure_ascii=False).isprintable()


@pytest.mark.parametrize("state", ["Insufficient", "Unavailable"])
def test_what_the_judge_cannot_tell_is_unknown_with_its_reason(state: str) -> None:
    watched = Watched()
    watched.says(state, message="digits-1 has no reference.json")
    assert watched.stage.condition("Drifted") == ("Unknown", state, "digits-1 has no reference.json")
    assert watched.drift["state"] == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"state": "Drifted"}',
        '{"uid": "of another", "version": 1, "state": "Drifted", "score": 9}',
        '{"uid": "UID", "version": 2, "state": "Drifted", "score": 9}',
        '{"uid": "UID", "version": 1, "state": "Drifted", "score": NaN}',
        '{"uid": "UID", "version": 1, "state": "Drifted", "score": 1e999}',
        '{"uid": "UID", "version": 1, "state": "Cursed"}',
        '{"uid": "UID", "version": 1, "state": "Drifted", "message": "' + DRIFT_MAX_BYTES * "x" + '"}',
    ],
)
def test_a_word_that_is_broken_or_about_something_else_is_none(text: str) -> None:
    watched = Watched()
    watched.writes(text.replace("UID", watched.stage.uid))
    assert watched.said == ("Unknown", "Starting")
    assert "Drifted" not in watched.stage.notices
    watched.stage.after(FRESH_SECONDS + 20.0)
    assert watched.said == ("Unknown", "NotHeard")


def test_a_word_that_is_not_renewed_is_none_and_no_end_of_a_drift() -> None:
    watched = Watched()
    watched.says("Drifted", score=2.0, windows=3)
    watched.stage.after(FRESH_SECONDS)
    assert watched.said == ("True", "Drifted")
    watched.stage.after(5.0)
    assert watched.said == ("Unknown", "NotHeard")
    assert watched.drift["state"] == "Unavailable"
    assert "score" not in watched.drift
    assert "DriftEnded" not in watched.stage.notices


def test_an_operator_that_has_just_begun_keeps_what_was_said_until_it_knows_how_old_that_is() -> None:
    watched = Watched()
    watched.says("Drifted", score=2.0, windows=3)
    watched.stage.restart()
    watched.stage.after(FRESH_SECONDS - 1.0)
    assert watched.said == ("True", "Drifted")
    watched.stage.after(3.0)
    assert watched.said == ("Unknown", "NotHeard")
    assert watched.stage.notices.count("Drifted") == 1


def test_another_version_that_answers_begins_anew() -> None:
    watched = Watched()
    stage = watched.stage
    watched.says("Drifted", score=2.0, windows=3)
    stage.edit({SOURCE.removeprefix("spec."): DIGEST_2})
    stage.settle()
    assert Watch.model_validate_json(watched.data[KEY_WATCH]).version == 1
    stage.ready(2)
    stage.settle()
    assert Watch.model_validate_json(watched.data[KEY_WATCH]).version == 2
    assert watched.said == ("Unknown", "Starting")
    assert watched.drift["version"] == "digits-2"
    watched.says("Drifted", score=2.0, windows=4)  # of the version of before
    assert watched.said == ("Unknown", "Starting")
    stage.after(TURN_SECONDS)
    watched.says("Stable", version=2, windows=1)
    assert watched.said == ("False", "Stable")
    assert "DriftEnded" not in stage.notices


def test_it_ends_with_the_field_and_leaves_nothing() -> None:
    watched = Watched()
    watched.says("Drifted", score=2.0, windows=3)
    watched.stage.edit({"monitoring": None})
    watched.stage.settle()
    assert watched.stage.of(kube.CONFIG_MAPS) == set()
    assert watched.stage.of(kube.DEPLOYMENTS) == {watched.stage.name(1)}
    assert "drift" not in watched.stage.status
    assert "Drifted" not in {each["type"] for each in watched.stage.status["conditions"]}


def test_where_others_need_the_judge_only_the_words_of_drift_go() -> None:
    watched = Watched({"spec.autoscaling": {"max": 3, "targetInFlight": 8}})
    watched.says("Drifted", score=2.0, windows=3)
    watched.stage.edit({"monitoring": None})
    watched.stage.settle()
    assert set(watched.data) == {KEY_ROUTE}


def test_other_settings_are_told_to_the_judge_and_make_no_other_pods() -> None:
    watched = Watched()
    before = watched.stage.server.find(kube.DEPLOYMENTS, watched.name)
    watched.stage.edit({"monitoring": {"drift": {"window": {"rows": 5000}}}})
    watched.stage.settle()
    assert Watch.model_validate_json(watched.data[KEY_WATCH]).rows == 5000
    assert before is not None
    assert watched.stage.server.find(kube.DEPLOYMENTS, watched.name) == before
    assert list(watched.stage.states()) == ["digits-1"]


def test_an_invalid_spec_changes_nothing_of_it() -> None:
    watched = Watched()
    watched.says("Drifted", score=2.0, windows=3)
    watched.stage.edit({"replicas": -1})
    watched.stage.settle()
    assert watched.said == ("True", "Drifted")
    assert {KEY_WATCH, KEY_DRIFT} < set(watched.data)


def test_pods_of_an_older_operator_report_nothing_and_it_is_said() -> None:
    watched = Watched()

    def forget(body: dict[str, Any]) -> None:
        body["spec"]["template"]["spec"]["containers"][0]["args"] = ["--name", "digits"]

    watched.stage.server.change(kube.DEPLOYMENTS, watched.stage.name(1), forget)
    watched.stage.settle()
    assert watched.said == ("Unknown", "NotReporting")


def test_news_that_only_counts_can_wait_and_a_turn_cannot() -> None:
    watched = Watched()

    def record(state: str, windows: int) -> Any:
        watched.says(state, windows=windows)
        body = watched.stage.server.find(kube.CONFIG_MAPS, watched.name)
        assert body is not None
        return records.rollout(body, None, T0)

    first, second, third = record("Stable", 1), record("Stable", 2), record("Drifted", 3)
    assert records.only_counts(first, second)
    assert not records.only_counts(second, third)
