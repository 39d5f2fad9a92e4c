"""The number of pods follows the requests in flight that the judge tells of, and nothing else does what it does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headway_api.rollout_wire import KEY_LOAD, KEY_ROUTE
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names, records
from headway_operator.serving.plan.load import FRESH_SECONDS
from headway_operator.serving.plan.model import RolloutRecord
from sim.builders import T0

from .serving_stage import DIGEST_2, Stage

SOURCE = "spec.versions.source.digest"


class Loaded:
    """The first version answers with two pods, whose target is 10 requests in flight."""

    def __init__(self, changes: dict[str, Any] | None = None, **scaling: Any) -> None:
        found = {"max": 9, "targetInFlight": 10, "scaleDownSeconds": 60, **scaling}
        self.stage = Stage({"spec.autoscaling": found, **(changes or {})})
        self.beat = 0
        self.stage.settle()
        self.ready()
        self.stage.after(15.0)

    def ready(self, number: int = 1) -> None:
        """All pods of a version are ready."""
        self.stage.ready(number)
        self.stage.settle()

    def says(
        self, in_flight: float, servers: int | None = None, version: int = 1, *, settled: bool = True, **more: Any
    ) -> None:
        """The judge tells of a load, in which all pods take part unless it says otherwise."""
        self.beat += 1
        heard = self.stage.replicas_of(version) if servers is None else servers
        word = {
            "uid": self.stage.uid,
            "versions": [{"version": version, "servers": heard, "inFlight": in_flight}] if heard else [],
            "beat": self.beat,
            **more,
        }
        self.writes(json.dumps(word), settled=settled)

    def writes(self, text: str, *, settled: bool = True) -> None:
        """What stands in the ConfigMap; settled: the operator sees it, and does what is to be done."""
        name = names.judge_name("digits", self.stage.uid)
        self.stage.server.change(kube.CONFIG_MAPS, name, lambda body: body["data"].update({KEY_LOAD: text}))
        if settled:
            self.stage.settle()

    def goes_on(self, in_flight: float, seconds: float, **more: Any) -> None:
        """The same load for a while, of which the judge tells every 10 s."""
        until = self.stage.now + seconds
        while self.stage.now < until:
            self.stage.after(min(10.0, until - self.stage.now))
            self.says(in_flight, **more)
            for number in self.stage.replicas():
                self.stage.ready(number)

    @property
    def replicas(self) -> dict[int, int]:
        """Of each version."""
        found: dict[int, int] = {}
        for body in self.stage.server.of(kube.DEPLOYMENTS):
            if names.LABEL_VERSION in body["metadata"]["labels"]:
                found[int(body["metadata"]["name"].rpartition("-")[2])] = body["spec"]["replicas"]
        return found

    @property
    def scaling(self) -> dict[str, Any]:
        """What the status says of it."""
        found: dict[str, Any] = self.stage.status["autoscaling"]
        return found


@pytest.fixture(autouse=True)
def _judges_are_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def replicas(stage: Stage) -> dict[int, int]:
        bodies = [
            body for body in stage.server.of(kube.DEPLOYMENTS) if names.LABEL_VERSION in body["metadata"]["labels"]
        ]
        return {int(body["metadata"]["labels"][names.LABEL_VERSION]): body["spec"]["replicas"] for body in bodies}

    monkeypatch.setattr(Stage, "replicas", replicas)


def judge(stage: Stage) -> Object:
    """The judge's Deployment."""
    found = stage.server.find(kube.DEPLOYMENTS, names.judge_name("digits", stage.uid))
    assert found is not None
    return found


def test_there_is_a_judge_that_tells_of_the_load_whatever_the_rollout_and_no_other_autoscaler() -> None:
    stage = Loaded().stage
    assert judge(stage)["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "--load"
    body = stage.server.find(kube.CONFIG_MAPS, names.judge_name("digits", stage.uid))
    assert body is not None
    assert not json.loads(body["data"][KEY_ROUTE]).get("stable"), "nobody is told to split"
    assert stage.of(kube.AUTOSCALERS) == set()
    assert names.judge_name("digits", stage.uid) in stage.of(kube.SERVICES)
    assert names.split_name("digits", stage.uid) in stage.of(kube.NETWORK_POLICIES), "servers may reach the judge"


def test_it_all_goes_when_the_load_is_no_longer_gone_by() -> None:
    loaded = Loaded()
    loaded.says(38.0)
    assert loaded.replicas == {1: 4}
    loaded.stage.edit({"autoscaling": None})
    loaded.stage.settle()
    assert loaded.replicas == {1: 2}, "as spec.replicas says"
    assert loaded.stage.of(kube.CONFIG_MAPS) == set()
    assert len(loaded.stage.of(kube.DEPLOYMENTS)) == 1
    assert "autoscaling" not in loaded.stage.status
    assert not any(each["type"] == "Scaling" for each in loaded.stage.status["conditions"])


def test_by_processor_time_nothing_is_as_it_is_by_load() -> None:
    stage = Stage({"spec.autoscaling": {"max": 9, "cpuPercent": 70}})
    stage.settle()
    stage.ready(1)
    stage.settle()
    assert len(stage.of(kube.AUTOSCALERS)) == 1
    assert stage.of(kube.CONFIG_MAPS) == set()
    stage.edit({"autoscaling": {"max": 9, "targetInFlight": 10}})
    stage.settle()
    assert stage.of(kube.AUTOSCALERS) == set(), "two would set the number of pods"


def test_more_load_makes_more_pods_twice_as_many_at_most() -> None:
    loaded = Loaded()
    loaded.says(75.0)
    assert loaded.replicas == {1: 4}
    assert "ScaledUp" in loaded.stage.notices
    assert loaded.stage.condition("Scaling")[:2] == ("True", "StepLimit")
    loaded.ready()
    loaded.says(75.0)
    assert loaded.replicas == {1: 4}, "the next step waits for 15 s"
    assert loaded.stage.condition("Scaling")[1] == "StepLimit"
    loaded.stage.after(15.0)
    assert loaded.replicas == {1: 8}
    loaded.goes_on(200.0, 60.0)
    assert loaded.replicas == {1: 9}, "max"
    assert loaded.stage.condition("Scaling")[1] == "AtMax"


def test_less_load_takes_pods_away_once_the_window_has_seen_no_more() -> None:
    loaded = Loaded()
    loaded.goes_on(38.0, 30.0)
    assert loaded.replicas == {1: 4}
    loaded.goes_on(8.0, 55.0)
    assert loaded.replicas == {1: 4}
    assert loaded.stage.condition("Scaling")[1] == "Stabilizing"
    loaded.goes_on(8.0, 20.0)
    assert loaded.replicas == {1: 1}
    assert "ScaledDown" in loaded.stage.notices
    assert loaded.scaling["desired"] == 1


def test_a_restart_of_the_operator_at_any_turn_changes_nothing_of_that() -> None:
    loaded = Loaded()
    loaded.goes_on(38.0, 30.0)
    loaded.goes_on(8.0, 30.0)
    loaded.stage.restart()
    loaded.stage.settle(restarts=True)
    assert loaded.replicas == {1: 4}
    loaded.goes_on(8.0, 45.0)
    assert loaded.replicas == {1: 1}


@pytest.mark.parametrize(
    "word",
    [
        "",
        "{",
        '{"uid": "another", "versions": [{"version": 1, "servers": 4, "inFlight": 0}]}',
        '{"versions": [{"version": 1, "servers": 4, "inFlight": 0}]}',
        '{"uid": "UID", "versions": [{"version": 2, "servers": 4, "inFlight": 0}]}',
        '{"uid": "UID", "versions": [{"version": 1, "servers": 0, "inFlight": 0}]}',
        '{"uid": "UID", "versions": [{"version": 1, "servers": 4, "inFlight": -5}]}',
        '{"uid": "UID", "versions": [{"version": 1, "servers": 4, "inFlight": "NaN"}]}',
    ],
)
def test_what_is_no_word_about_these_servers_takes_nothing_away(word: str) -> None:
    loaded = Loaded()
    loaded.goes_on(38.0, 30.0)
    for _ in range(30):
        loaded.writes(word.replace("UID", loaded.stage.uid))
        loaded.stage.after(10.0)
    assert loaded.replicas == {1: 4}
    assert loaded.stage.condition("Scaling")[:2] == ("False", "NoData")


def test_an_old_word_takes_nothing_away_and_the_status_says_that_none_is_heard() -> None:
    loaded = Loaded()
    loaded.goes_on(38.0, 30.0)
    loaded.says(0.0)
    loaded.stage.after(FRESH_SECONDS + 5.0)
    assert loaded.stage.condition("Scaling")[:2] == ("False", "NoData")
    loaded.stage.after(1000.0)
    assert loaded.replicas == {1: 4}


def test_pods_that_are_not_heard_are_not_taken_for_idle() -> None:
    loaded = Loaded()
    loaded.goes_on(38.0, 30.0)
    loaded.goes_on(0.0, 100.0, servers=1)
    assert loaded.replicas == {1: 3}, "three may be busy"


def test_what_somebody_asks_for_by_hand_is_kept_to_and_the_load_decides_from_there() -> None:
    loaded = Loaded()
    loaded.stage.edit({"replicas": 6})
    loaded.stage.settle()
    assert loaded.replicas == {1: 6}
    loaded.goes_on(8.0, 50.0)
    assert loaded.replicas == {1: 6}
    loaded.goes_on(8.0, 30.0)
    assert loaded.replicas == {1: 1}
    loaded.stage.edit({"replicas": 50})
    loaded.stage.settle()
    assert loaded.replicas == {1: 9}, "within max"


def test_limits_that_change_are_kept_to_at_once() -> None:
    loaded = Loaded(min=2)
    loaded.goes_on(60.0, 60.0)
    assert loaded.replicas == {1: 6}
    loaded.stage.edit({"autoscaling.max": 5})
    loaded.stage.settle()
    assert loaded.replicas == {1: 5}
    loaded.goes_on(0.0, 120.0)
    assert loaded.replicas == {1: 2}
    assert loaded.stage.condition("Scaling")[1] == "AtMin"
    loaded.stage.edit({"autoscaling.min": 3})
    loaded.stage.settle()
    assert loaded.replicas == {1: 3}


def test_going_by_the_load_begins_with_the_pods_that_there_are() -> None:
    stage = Stage({"spec.replicas": 5})
    stage.settle()
    stage.ready(1)
    stage.settle()
    stage.edit({"replicas": 1, "autoscaling": {"max": 9, "targetInFlight": 10}})
    stage.settle()
    assert stage.replicas() == {1: 5}


def test_no_pods_go_while_versions_change_places_and_the_new_one_has_as_many() -> None:
    loaded = Loaded({"spec.rollout": {"blueGreen": {"bakeSeconds": 100}}})
    loaded.goes_on(38.0, 30.0)
    loaded.stage.edit({"versions.source.digest": DIGEST_2})
    loaded.stage.settle()
    assert loaded.replicas == {1: 4, 2: 4}
    loaded.goes_on(0.0, 90.0)
    assert loaded.stage.target() == 2
    assert loaded.replicas == {1: 4, 2: 4}, "it bakes"
    assert loaded.stage.condition("Scaling")[1] in ("Rollout", "NoData")
    loaded.goes_on(0.0, 200.0, version=2)
    assert loaded.replicas == {2: 1}


def test_the_load_of_a_rollout_makes_more_pods_of_both() -> None:
    loaded = Loaded({"spec.rollout": {"blueGreen": {"bakeSeconds": 100}}})
    loaded.stage.edit({"versions.source.digest": DIGEST_2})
    loaded.stage.settle()
    loaded.says(38.0)
    assert loaded.replicas == {1: 4, 2: 4}


def test_a_candidate_has_the_pods_that_its_next_share_needs() -> None:
    steps = [{"weight": 10, "minSeconds": 10}, {"weight": 50, "minSeconds": 10}]
    loaded = Loaded({"spec.rollout": {"canary": {"steps": steps, "bakeSeconds": 100}}}, min=4)
    assert loaded.replicas == {1: 4}
    loaded.stage.edit({"versions.source.digest": DIGEST_2})
    loaded.stage.settle()
    assert loaded.replicas == {1: 4, 2: 1}, "10 % of four"
    loaded.stage.ready(2)
    loaded.stage.settle()
    assert loaded.stage.status["rollout"]["step"] == 1
    assert loaded.replicas == {1: 4, 2: 2}, "50 % come next"
    loaded.stage.edit({"versions.pin": "digits-1"})
    loaded.stage.settle()


def test_a_judge_that_tells_of_no_load_is_made_anew() -> None:
    stage = Stage({"spec.rollout": {"canary": {"steps": [{"weight": 10, "minSeconds": 3600}]}}})
    stage.settle()
    stage.ready(1)
    stage.settle()
    stage.edit({"versions.source.digest": DIGEST_2})
    stage.settle()
    before = judge(stage)
    assert before["spec"]["template"]["spec"]["containers"][0]["command"][-1] != "--load"
    stage.edit({"autoscaling": {"max": 9, "targetInFlight": 10}})
    stage.settle()
    after = judge(stage)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "--load"
    assert stage.status["rollout"]["version"] == "digits-2"


def test_a_beat_of_the_judge_with_the_same_load_can_wait() -> None:
    loaded = Loaded()
    loaded.says(19.0)

    def told(**more: Any) -> RolloutRecord:
        body = loaded.stage.server.find(kube.CONFIG_MAPS, names.judge_name("digits", loaded.stage.uid))
        assert body is not None
        load = json.loads(body["data"][KEY_LOAD])
        changed = {**body, "data": {**body["data"], KEY_LOAD: json.dumps({**load, **more})}}
        record = records.rollout(changed, None, T0)
        assert record is not None
        return record

    assert records.only_counts(told(), told(beat=99, quietSeconds=15))
    assert not records.only_counts(told(), told(versions=[]))


def test_steps_are_counted_by_their_direction() -> None:
    loaded = Loaded()
    loaded.goes_on(38.0, 30.0)
    loaded.goes_on(8.0, 100.0)
    metrics = loaded.stage.metrics.scaled
    assert metrics.labels("up")._value.get() == 1
    assert metrics.labels("down")._value.get() == 1


def test_an_operator_that_begins_goes_by_no_word_of_unknown_age_and_does_not_call_it_none() -> None:
    loaded = Loaded()
    loaded.goes_on(12.0, 40.0)
    before = loaded.stage.condition("Scaling")
    loaded.says(75.0, settled=False)
    writes = len(loaded.stage.server.writes)
    loaded.stage.restart()
    loaded.stage.after(FRESH_SECONDS)
    assert loaded.scaling["desired"] == 2, "it may be of yesterday"
    assert loaded.stage.condition("Scaling") == before
    assert len(loaded.stage.server.writes) == writes, "nothing is known that was not known before"
    loaded.stage.after(2.0)
    assert loaded.stage.condition("Scaling")[:2] == ("False", "NoData"), "nobody says it anew"
    loaded.says(75.0)
    assert loaded.scaling["desired"] == 4
