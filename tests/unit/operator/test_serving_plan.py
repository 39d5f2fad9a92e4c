"""How versions of a ModelDeployment come, answer and go, before an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.kube import DeniedError, InvalidError
from headway_operator.serving import names
from sim.fakes.api import Call

from .serving_stage import DIGEST_2, DIGEST_3, Stage

DIGEST = "versions.source.digest"


def answering(changes: dict[str, Any] | None = None) -> Stage:
    """A deployment whose first version answers."""
    stage = Stage(changes)
    stage.settle()
    stage.ready(1)
    stage.settle()
    assert stage.status["champion"] == "digits-1"
    return stage


def baking() -> Stage:
    """One whose second version has just taken the first one's place."""
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.ready(2)
    stage.settle()
    assert (stage.status["champion"], stage.status["previous"]) == ("digits-2", "digits-1")
    return stage


def test_a_first_version_is_made_and_no_client_is_sent_to_it_before_it_is_ready() -> None:
    stage = Stage()
    stage.settle()
    assert stage.of(kube.DEPLOYMENTS) == {stage.name(1)}
    assert stage.of(kube.SERVICES) == {stage.name(1)}
    assert stage.of(kube.DISRUPTION_BUDGETS) == {stage.name(1)}
    assert stage.of(kube.NETWORK_POLICIES) == {names.shared_name("digits", stage.uid)}
    assert stage.of(kube.SECRETS) == {names.judge_name("digits", stage.uid)}
    assert (stage.status["phase"], stage.status["candidate"]) == ("Progressing", "digits-1")
    assert stage.condition("Ready") == ("False", "NoVersion", "no version answers yet")
    stage.ready(1, 1)
    stage.settle()
    assert stage.condition("Progressing") == ("True", "Preparing", "version digits-1: 1 of 2 pods are ready")
    assert (stage.target(), stage.weights()) == (None, {})


def test_a_version_answers_once_all_its_pods_are_ready() -> None:
    stage = answering()
    assert (stage.target(), stage.weights()) == (1, {"digits-1": 100})
    assert (stage.status["phase"], stage.status["summary"]["ready"]) == ("Ready", "2/2")
    assert stage.status["endpoint"] == {"url": "http://digits.default.svc"}
    assert stage.status["replicas"] == 2
    assert stage.status["selector"] == f"{names.LABEL_DEPLOYMENT_UID}={stage.uid},{names.LABEL_VERSION}=1"
    assert stage.notices == ["VersionBegun", "Promoted"]
    assert stage.settle() is None, "there is nothing to wait for"


def test_the_controllers_old_word_about_a_deployment_is_none() -> None:
    stage = Stage()
    stage.settle()
    stage.ready(1)
    stage.server.change(kube.DEPLOYMENTS, stage.name(1), lambda body: body["metadata"].update(generation=2))
    stage.settle()
    assert stage.status["candidate"] == "digits-1"


def test_a_second_version_is_made_beside_the_first_and_takes_its_place_at_once() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    assert stage.replicas() == {1: 2, 2: 2}
    assert (stage.target(), stage.weights()) == (1, {"digits-1": 100})
    stage.ready(2, 1)
    stage.settle()
    assert stage.target() == 1
    stage.ready(2)
    stage.settle()
    assert (stage.target(), stage.weights()) == (2, {"digits-2": 100})
    assert stage.replicas() == {1: 2, 2: 2}, "the old one's pods stay for a while"
    assert stage.condition("Progressing")[1] == "Baking"
    stage.after(59)
    assert stage.replicas() == {1: 2, 2: 2}
    stage.after(2)
    assert stage.replicas() == {2: 2}
    assert stage.of(kube.SERVICES) == {"digits", stage.name(2)}
    assert stage.of(kube.DISRUPTION_BUDGETS) == {stage.name(2)}
    assert stage.states() == {"digits-1": "Retired", "digits-2": "Champion"}


def test_a_version_that_is_never_ready_is_rejected_with_what_its_pods_say_and_the_old_one_answers() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.troubled(2, waiting="ImagePullBackOff", said="no such image")
    stage.after(119)
    assert stage.status["candidate"] == "digits-2"
    assert "ImagePullBackOff: no such image" in stage.condition("Progressing")[2]
    stage.after(2)
    assert stage.condition("RolledBack")[:2] == ("True", "NotReady")
    assert "not ready within 120 s: 0 of 2 pods are ready" in stage.condition("RolledBack")[2]
    assert "no such image" in stage.condition("RolledBack")[2]
    assert (stage.target(), stage.replicas(), stage.status["phase"]) == (1, {1: 2}, "Ready")
    assert stage.notices[-1] == "RolledBack"


def test_what_was_rejected_is_not_tried_again_unless_it_is_asked_for_by_name() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.after(121)
    assert stage.states()["digits-2"] == "Rejected"
    stage.after(1000)
    stage.edit({"replicas": 3})
    stage.after(1000)
    assert stage.status["lastNumber"] == 2
    stage.edit({"versions.retry": ["digits-2"]})
    stage.settle()
    assert stage.status["candidate"] == "digits-3"
    stage.after(1000)
    assert stage.states()["digits-3"] == "Rejected"
    assert stage.status["lastNumber"] == 3, "the name asks once"


def test_a_version_that_crashes_again_and_again_is_rejected_long_before_the_deadline() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.troubled(2, waiting="CrashLoopBackOff", said="Traceback\nValueError: no such input", restarts=2)
    stage.after(11)
    assert stage.status["candidate"] == "digits-2"
    stage.troubled(2, waiting="CrashLoopBackOff", said="Traceback\nValueError: no such input", restarts=3)
    stage.after(11)
    status, reason, message = stage.condition("RolledBack")
    assert (status, reason) == ("True", "Crash")
    assert f"pod {stage.name(2)}-x has crashed 3 times: exit code 1 (Error): ValueError: no such input" in message
    assert stage.target() == 1


def test_a_first_version_that_is_rejected_leaves_nothing_and_says_so() -> None:
    stage = Stage()
    stage.after(121)
    assert (stage.status["phase"], stage.status.get("champion")) == ("Degraded", None)
    assert stage.of(kube.DEPLOYMENTS) == stage.of(kube.SERVICES) == set()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.ready(2)
    stage.settle()
    assert (stage.target(), stage.condition("RolledBack")[0]) == (2, "False")


def test_what_the_api_server_will_never_take_is_rejected_at_once() -> None:
    stage = answering()
    stage.refuse(InvalidError("spec.template: no such thing"), "deployments")
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    assert stage.condition("RolledBack")[1] == "Invalid"
    assert "no such thing" in stage.condition("RolledBack")[2]
    assert stage.target() == 1


def test_a_quota_is_waited_for_and_told() -> None:
    stage = answering()
    stage.refuse(DeniedError("exceeded quota: services"), "services")
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    assert "its objects are refused: exceeded quota: services" in stage.condition("Progressing")[2]
    assert stage.target() == 1
    stage.api.before = lambda _: None
    stage.after(61)
    stage.ready(2)
    stage.settle()
    assert stage.target() == 2


def test_suspended_versions_stay_as_they_are_and_the_deadline_counts_anew() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.after(100)
    stage.edit({"suspend": True})
    stage.ready(2)
    stage.after(5000)
    assert (stage.status["phase"], stage.target()) == ("Suspended", 1)
    assert stage.states()["digits-2"] == "Candidate"
    stage.ready(2, 0)
    stage.edit({"suspend": False})
    stage.after(100)
    assert stage.states()["digits-2"] == "Candidate"
    stage.after(30)
    assert stage.states()["digits-2"] == "Rejected"


def test_a_newer_model_takes_the_place_of_a_candidate_and_there_are_never_two() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.edit({DIGEST: DIGEST_3})
    stage.settle()
    assert stage.states() == {"digits-1": "Champion", "digits-3": "Candidate"}
    assert stage.replicas() == {1: 2, 3: 2}
    assert "VersionWithdrawn" in stage.notices


def test_to_go_back_to_what_answers_withdraws_the_candidate() -> None:
    stage = answering()
    before = stage.server.find(kube.MODEL_DEPLOYMENTS, "digits")
    assert before is not None
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.edit({DIGEST: before["spec"]["versions"]["source"]["digest"]})
    stage.settle()
    assert (stage.states(), stage.replicas()) == ({"digits-1": "Champion"}, {1: 2})


def test_abort_names_a_version_and_asks_once() -> None:
    stage = answering({"spec.versions.abort": "digits-2"})
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    assert stage.condition("RolledBack")[1] == "Aborted"
    stage.edit({DIGEST: DIGEST_3})
    stage.settle()
    assert stage.status["candidate"] == "digits-3"


def test_a_pin_brings_the_version_before_back_at_once() -> None:
    stage = baking()
    stage.edit({"versions.pin": "digits-1"})
    stage.settle()
    assert (stage.target(), stage.status["previous"]) == (1, "digits-2")
    stage.after(100)
    assert stage.replicas() == {1: 2}
    stage.edit({DIGEST: DIGEST_3})
    stage.after(100)
    assert stage.replicas() == {1: 2}, "what is pinned stays"
    stage.edit({"versions.pin": None})
    stage.settle()
    assert stage.status["candidate"] == "digits-3"


def test_a_pinned_version_without_pods_comes_back_as_any_version_does() -> None:
    stage = baking()
    stage.after(100)
    stage.edit({"versions.pin": "digits-1"})
    stage.settle()
    assert (stage.target(), stage.status["candidate"]) == (2, "digits-3")
    stage.ready(3)
    stage.settle()
    assert stage.target() == 3
    first = next(version for version in stage.status["versions"] if version["name"] == "digits-1")
    third = next(version for version in stage.status["versions"] if version["name"] == "digits-3")
    assert third["source"] == first["source"]


def test_replicas_follow_the_spec_while_a_version_answers() -> None:
    stage = answering()
    stage.edit({"replicas": 5})
    stage.settle()
    assert stage.replicas() == {1: 5}
    assert (stage.status["lastNumber"], stage.status["summary"]["ready"]) == (1, "2/5")
    assert stage.status["phase"] == "Degraded"
    stage.ready(1)
    stage.settle()
    assert stage.status["phase"] == "Ready"


def test_a_champion_that_crashes_while_the_old_pods_are_there_gives_its_place_back() -> None:
    stage = baking()
    stage.troubled(2, waiting="CrashLoopBackOff", said="out of memory", restarts=3)
    stage.after(11)
    assert (stage.target(), stage.weights()) == (1, {"digits-1": 100})
    assert stage.condition("RolledBack")[1] == "Crash"
    stage.after(1000)
    assert (stage.replicas(), stage.status["lastNumber"]) == ({1: 2}, 2)


def test_recreate_takes_the_old_pods_away_first_and_brings_them_back_if_the_new_ones_fail() -> None:
    stage = answering({"spec.rollout": {"recreate": {}, "progressDeadlineSeconds": 60}})
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    assert stage.replicas() == {1: 0}, "the new ones wait for the room"
    stage.ready(1)
    stage.settle()
    assert stage.replicas() == {1: 0, 2: 2}
    stage.after(61)
    assert stage.replicas() == {1: 2}
    assert stage.states()["digits-2"] == "Rejected"
    stage.ready(1)
    stage.edit({DIGEST: DIGEST_3})
    stage.settle()
    stage.ready(1)
    stage.settle()
    stage.ready(3)
    stage.settle()
    assert (stage.target(), stage.replicas()) == (3, {3: 2})


def test_a_spec_that_is_not_valid_is_told_and_what_answers_goes_on() -> None:
    stage = answering()
    stage.edit({"rollout": {"blueGreen": {}, "recreate": {}}})
    stage.server.change(kube.DEPLOYMENTS, stage.name(1), lambda body: body["spec"].update(replicas=7))
    stage.settle()
    status, reason, message = stage.condition("Accepted")
    assert (status, reason) == ("False", "InvalidSpec")
    assert "set at most one of canary, abTest, shadow, blueGreen, recreate" in message
    assert (stage.target(), stage.replicas()) == (1, {1: 2})


def test_without_any_image_the_spec_is_not_valid() -> None:
    stage = Stage({"spec.server": {}}, image=None)
    stage.settle()
    assert "the operator has no default server image" in stage.condition("Accepted")[2]
    assert stage.status["phase"] == "Pending"


def test_a_version_keeps_the_image_that_it_began_with() -> None:
    stage = answering({"spec.server": {}})
    stage.image = "server:2"
    stage.restart()
    stage.settle()
    assert stage.status["lastNumber"] == 1
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    assert [version["image"] for version in stage.status["versions"]] == ["server:1", "server:2"]


def test_somebody_elses_service_of_that_name_is_left_alone_and_told() -> None:
    stage = Stage()
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "digits"}, "spec": {"selector": {"a": "b"}}}
    stage.server.create(kube.SERVICES, "default", theirs)
    stage.settle()
    stage.ready(1)
    stage.settle()
    status, reason, message = stage.condition("Ready")
    assert (status, reason) == ("False", "Refused")
    assert "there is a Service digits that is not of this ModelDeployment" in message
    found = stage.server.find(kube.SERVICES, "digits")
    assert found is not None
    assert found["spec"] == {"selector": {"a": "b"}}


def test_what_somebody_has_changed_by_hand_is_put_right() -> None:
    stage = answering()
    stage.server.change(kube.SERVICES, "digits", lambda body: body["spec"].update(selector={"app": "mine"}))
    stage.server.change(kube.DEPLOYMENTS, stage.name(1), lambda body: body["spec"].update(replicas=0))
    stage.settle()
    found = stage.server.find(kube.SERVICES, "digits")
    assert found is not None
    assert found["spec"]["selector"] == names.selector(stage.uid, 1)
    assert stage.replicas() == {1: 2}
    stage.server.delete(kube.DEPLOYMENTS, stage.name(1))
    stage.server.delete(kube.SERVICES, "digits")
    stage.settle()
    assert (stage.replicas(), stage.target()) == ({1: 2}, 1)


def client_ports(stage: Stage) -> list[int]:
    """Of the clients' Service."""
    found = stage.server.find(kube.SERVICES, "digits")
    assert found is not None
    return [port["port"] for port in found["spec"]["ports"]]


def test_grpc_comes_and_goes_with_the_version_that_answers() -> None:
    stage = answering()
    uid = stage.uid
    shared = {names.shared_name("digits", uid)}
    stage.edit({"server.grpc": True})
    stage.settle()
    assert stage.of(kube.NETWORK_POLICIES) == {*shared, stage.name(2)}
    assert client_ports(stage) == [80], "what answers has no gRPC yet"
    stage.ready(2)
    stage.settle()
    assert client_ports(stage) == [80, 9000]
    assert stage.status["endpoint"] == {"url": "http://digits.default.svc", "grpc": "digits.default.svc:9000"}
    stage.after(61)
    stage.edit({"server.grpc": False})
    stage.settle()
    stage.ready(3)
    stage.settle()
    assert client_ports(stage) == [80]
    assert stage.status["endpoint"] == {"url": "http://digits.default.svc"}
    stage.after(61)
    assert stage.of(kube.NETWORK_POLICIES) == shared


def test_the_ports_of_the_clients_service_are_put_right() -> None:
    stage = answering({"spec.server.grpc": True})
    stage.server.change(kube.SERVICES, "digits", lambda body: body["spec"].update(ports=[{"port": 80}]))
    stage.settle()
    assert client_ports(stage) == [80, 9000]


def test_a_version_from_before_a_field_was_there_stays_as_it_is() -> None:
    stage = answering()
    before = stage.server.find(kube.DEPLOYMENTS, stage.name(1))

    def forget(body: dict[str, Any]) -> None:
        for version in body["status"]["versions"]:
            for field in ("batching", "limits", "warmup", "grpc"):
                del version["server"][field]

    stage.server.change(kube.MODEL_DEPLOYMENTS, "digits", forget)
    stage.settle(restarts=True)
    assert (stage.states(), stage.status["champion"]) == ({"digits-1": "Champion"}, "digits-1")
    assert stage.server.find(kube.DEPLOYMENTS, stage.name(1)) == before


def test_a_lost_status_takes_nothing_away_that_answers() -> None:
    stage = answering()
    stage.server.change(kube.MODEL_DEPLOYMENTS, "digits", lambda body: body.pop("status"))
    stage.settle()
    assert (stage.replicas(), stage.target()) == ({1: 2, 2: 2}, 1)
    stage.ready(2)
    stage.settle()
    assert (stage.replicas(), stage.target()) == ({2: 2}, 2)


def test_a_status_that_cannot_be_read_is_left_alone_with_all_that_answers() -> None:
    stage = answering()
    stage.server.change(kube.MODEL_DEPLOYMENTS, "digits", lambda body: body["status"].update(versions="many"))
    stage.settle()
    assert (stage.replicas(), stage.target(), stage.status["versions"]) == ({1: 2}, 1, "many")


def test_a_status_that_is_refused_is_written_without_what_others_have_said() -> None:
    stage = answering()
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    stage.troubled(2, waiting="ImagePullBackOff", said="no such image")

    def before(call: Call) -> None:
        if call.resource == "modeldeployments" and call.verb == "patch":
            stage.api.before = lambda _: None
            raise InvalidError("status.conditions: too long")

    stage.api.before = before
    stage.settle()
    assert stage.condition("Progressing") == ("True", "Preparing", "")
    assert stage.status["candidate"] == "digits-2"
    stage.after(200)
    assert "no such image" in stage.condition("RolledBack")[2]


def test_old_versions_are_forgotten_but_not_the_one_that_must_not_be_tried_again() -> None:
    stage = answering({"spec.versions.keep": 1})
    for number, digit in enumerate("23456", start=2):
        stage.edit({DIGEST: f"sha256:{digit * 64}"})
        stage.settle()
        stage.ready(number)
        stage.after(61)
    assert stage.states() == {"digits-5": "Retired", "digits-6": "Champion"}
    stage.edit({DIGEST: f"sha256:{'a' * 64}"})
    stage.after(121)
    assert stage.states() == {"digits-6": "Champion", "digits-7": "Rejected"}
    stage.after(10_000)
    assert stage.status["lastNumber"] == 7


@pytest.mark.parametrize("restarts", [False, True])
def test_an_operator_that_is_restarted_before_each_turn_comes_to_the_same(*, restarts: bool) -> None:
    stage = Stage()
    stage.settle(restarts=restarts)
    stage.ready(1)
    stage.after(1, restarts=restarts)
    stage.edit({DIGEST: DIGEST_2})
    stage.after(1, restarts=restarts)
    stage.ready(2)
    stage.after(61, restarts=restarts)
    stage.edit({DIGEST: DIGEST_3})
    stage.after(121, restarts=restarts)
    assert stage.states() == {"digits-1": "Retired", "digits-2": "Champion", "digits-3": "Rejected"}
    assert (stage.replicas(), stage.target(), stage.weights()) == ({2: 2}, 2, {"digits-2": 100})
    assert stage.notices.count("Promoted") == 2
    counted = stage.registry.text().decode()
    assert 'headway_rollouts_ended_total{outcome="Promoted"} 2.0' in counted
    assert 'headway_rollouts_ended_total{outcome="NotReady"} 1.0' in counted


def test_steps_of_rollouts_are_counted_as_they_begin() -> None:
    stage = answering({"spec.rollout": {"canary": {}}})
    stage.edit({DIGEST: DIGEST_2})
    stage.settle()
    counted = stage.registry.text().decode()
    assert 'headway_rollout_steps_total{mode="canary"} 0.0' in counted
    stage.ready(2)
    stage.settle(restarts=True)
    counted = stage.registry.text().decode()
    assert 'headway_rollout_steps_total{mode="canary"} 1.0' in counted
    assert stage.weights() == {"digits-1": 95, "digits-2": 5}


def test_two_deployments_whose_names_are_alike_have_objects_of_their_own() -> None:
    short = names.object_name("a", "11111111-0000", 1)
    long = names.object_name("a-1", "22222222-0000", 1)
    assert short != long
    assert "a-1" not in (short, names.object_name("a", "11111111-0000", 11))
    assert len(names.object_name("d" * 38, "1" * 36, names.LARGEST_NUMBER)) <= 63
