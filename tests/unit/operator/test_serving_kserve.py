"""Versions whose pods KServe makes: the InferenceService, what is read of it, and how a deployment lives with it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from deployment_documents import DEPLOYMENT
from headway_api.deployment_status import Version
from headway_operator.engine import kube
from headway_operator.engine.kube import DeniedError, Object
from headway_operator.engine.times import to_text
from headway_operator.serving import kserve as records
from headway_operator.serving import names
from headway_operator.serving.identity import same
from headway_operator.serving.plan.backend import STEADY_SECONDS
from headway_operator.serving.render import kserve, objects, rollout
from sim.builders import T0, UID

from .serving_stage import DIGEST_2, Stage

OF = objects.Of("digits", "default", UID, "IfNotPresent")
BY_KSERVE = {"spec.server.backend": "kserve"}
CANARY = {"canary": {"steps": [{"weight": 5}], "bakeSeconds": 60}}


def version(**server: Any) -> Version:
    """The third version."""
    spec = DEPLOYMENT["spec"]
    fields = {"name": "digits-3", "number": 3, "state": "Candidate", "image": "server:1", "since": to_text(T0)}
    return Version.model_validate(
        {**fields, "source": spec["versions"]["source"], "server": {**spec["server"], "backend": "kserve", **server}}
    )


def service_of(stage: Stage, number: int) -> Object:
    """A version's InferenceService."""
    body = stage.server.find(kube.INFERENCE_SERVICES, stage.name(number))
    assert body is not None
    return body


def pods(stage: Stage, number: int, ready: int, unready: int = 0, **state: Any) -> None:
    """What KServe's Deployment has made of it: pods with the labels that the InferenceService has for them."""
    labels = service_of(stage, number)["spec"]["predictor"]["labels"]
    for body in list(stage.server.of(kube.PODS)):
        if body["metadata"]["labels"].get(names.LABEL_VERSION) == str(number):
            stage.server.remove(kube.PODS, body["metadata"]["name"])
    for each in range(ready + unready):
        name = f"{stage.name(number)}-predictor-{each}"
        stage.server.create(kube.PODS, "default", {"metadata": {"name": name, "labels": dict(labels)}})
        conditions = [{"type": "Ready", "status": "True" if each < ready else "False"}]
        stage.server.report(kube.PODS, name, {"conditions": conditions, **(state if each >= ready else {})})


def say(stage: Stage, number: int, status: str, **words: str) -> None:
    """What KServe says of it."""
    conditions = [{"type": "PredictorReady", "status": status, **words}]
    stage.server.report(kube.INFERENCE_SERVICES, stage.name(number), {"conditions": conditions})


def ready(stage: Stage, number: int, count: int = 2) -> None:
    """All is well."""
    pods(stage, number, count)
    say(stage, number, "True")


def answering(changes: dict[str, Any] | None = None) -> Stage:
    """A deployment whose first version answers from pods of KServe's."""
    stage = Stage({**BY_KSERVE, **(changes or {})}, kserve=True)
    stage.settle()
    ready(stage, 1)
    stage.after(11)
    assert stage.status["champion"] == "digits-1"
    return stage


class TestWhatIsMade:
    def test_the_pod_is_that_of_the_deployment_that_it_stands_for_but_for_the_containers_name(self) -> None:
        workload = rollout.reporting(OF, objects.workload(OF, version(), 2))
        made = kserve.inference_service(copy.deepcopy(workload))
        predictor, pod = made["spec"]["predictor"], workload["spec"]["template"]["spec"]
        [server] = predictor.pop("containers")
        [before] = pod.pop("containers")
        assert server.pop("name") == "kserve-container"
        assert server.pop("env") == [*before.pop("env"), {"name": "PROTOCOL", "value": "v2"}]
        del before["name"]
        assert server == before
        assert predictor.pop("labels") == workload["spec"]["template"]["metadata"]["labels"]
        assert (predictor.pop("minReplicas"), predictor.pop("maxReplicas")) == (2, 2)
        assert predictor.pop("deploymentStrategy") == workload["spec"]["strategy"]
        assert predictor == pod, "and nothing else"

    def test_it_is_the_deployments_own_for_one_version_and_has_no_way_in_of_its_own(self) -> None:
        workload = objects.workload(OF, version(), 2)
        meta = kserve.inference_service(workload)["metadata"]
        assert (meta["name"], meta["ownerReferences"]) == (
            f"digits-{UID[:5]}-3",
            workload["metadata"]["ownerReferences"],
        )
        assert meta["annotations"] == {
            "serving.kserve.io/deploymentMode": "RawDeployment",
            "serving.kserve.io/autoscalerClass": "none",
        }
        assert meta["labels"] == {
            **workload["metadata"]["labels"],
            "networking.kserve.io/visibility": "cluster-local",
        }

    def test_the_longest_name_fits_the_label_that_kserve_makes_of_it(self) -> None:
        name = names.object_name("d" * 35, UID, 999_999)
        assert len(f"isvc.{name}-predictor") <= 63


def seen(**changes: Any) -> Object:
    """An InferenceService as the API server has it."""
    body: Object = {
        **kserve.inference_service(objects.workload(OF, version(), 2)),
        "status": {"conditions": [{"type": "PredictorReady", "status": "True"}]},
    }
    body["metadata"] = {**body["metadata"], "namespace": "default", "uid": "u", "resourceVersion": "7", **changes}
    return body


class TestWhatIsRead:
    def test_a_record_has_its_number_its_replicas_and_whether_kserve_calls_it_ready(self) -> None:
        found = records.workload(seen(), None, 0.0)
        assert found is not None
        assert (found.number, found.desired, found.seen, found.kserve) == (3, 2, True, True)
        assert (found.ready, found.replicas) == (0, 0), "nobody has counted"

    @pytest.mark.parametrize(
        ("condition", "said"),
        [
            ({"status": "False", "reason": "MinimumReplicasUnavailable", "message": "1 of 2"}, "Minimum"),
            ({"status": "Unknown"}, ""),
            ({"status": {"no": "word"}, "reason": ["list"], "message": 5}, "['list']: 5"),
        ],
    )
    def test_it_is_not_ready_unless_it_says_so_and_why_is_told(self, condition: dict[str, Any], said: str) -> None:
        body = seen()
        body["status"] = {"conditions": [{"type": "PredictorReady", **condition}]}
        found = records.workload(body, None, 0.0)
        assert found is not None
        assert not found.seen
        assert found.said.startswith(said)

    def test_what_others_have_made_is_none_of_ours(self) -> None:
        assert records.workload(seen(ownerReferences=[]), None, 0.0) is None
        assert records.workload(seen(name="digits"), None, 0.0) is None
        assert records.workload(seen(name="digits-xyz-3"), None, 0.0) is None

    def test_a_word_that_is_said_again_is_no_news(self) -> None:
        old, new = (records.workload(seen(resourceVersion=str(each)), None, 0.0) for each in (7, 8))
        assert old is not None
        assert new is not None
        assert same(old, new)
        later = seen(resourceVersion="9")
        later["status"] = {}
        other = records.workload(later, None, 0.0)
        assert other is not None
        assert not same(old, other)


class TestALife:
    def test_clients_are_led_to_its_pods_once_all_are_ready_and_kserve_says_so(self) -> None:
        stage = Stage(BY_KSERVE, kserve=True)
        stage.settle()
        assert stage.of(kube.DEPLOYMENTS) == set()
        pods(stage, 1, 2)
        stage.after(11)
        assert stage.status.get("champion") is None, "KServe has said nothing yet"
        pods(stage, 1, 1, 1)
        say(stage, 1, "True")
        stage.after(11)
        assert stage.status.get("champion") is None, "one of two is ready"
        pods(stage, 1, 2)
        stage.after(11)
        assert (stage.status["champion"], stage.target()) == ("digits-1", 1)
        front = stage.server.find(kube.SERVICES, "digits")
        assert front is not None
        labels = service_of(stage, 1)["spec"]["predictor"]["labels"]
        assert front["spec"]["selector"].items() <= labels.items()

    def test_another_version_is_another_service_and_the_old_one_goes_after_its_bake(self) -> None:
        stage = answering()
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle()
        assert stage.of(kube.INFERENCE_SERVICES) == {stage.name(1), stage.name(2)}
        assert stage.target() == 1
        ready(stage, 2)
        stage.after(11)
        assert stage.target() == 2
        stage.after(61)
        assert stage.of(kube.INFERENCE_SERVICES) == {stage.name(2)}

    def test_its_number_of_pods_is_changed_in_place_and_each_that_is_ready_is_told(self) -> None:
        stage = answering()
        before = service_of(stage, 1)["spec"]["predictor"]
        stage.edit({"replicas": 3})
        stage.settle()
        after = service_of(stage, 1)["spec"]["predictor"]
        assert {key for key in before if before[key] != after[key]} == {"minReplicas", "maxReplicas"}
        assert (after["minReplicas"], after["maxReplicas"]) == (3, 3)
        assert stage.status["summary"]["ready"] == "2/3"
        pods(stage, 1, 3)
        stage.after(11)
        assert stage.status["summary"]["ready"] == "3/3"

    def test_a_pod_that_is_lost_is_missed_although_kserve_says_nothing(self) -> None:
        stage = answering()
        stage.after(120)
        pods(stage, 1, 1, 1)
        stage.after(STEADY_SECONDS + 1)
        assert stage.status["summary"]["ready"] == "1/2"
        assert stage.status["phase"] == "Degraded"

    def test_a_pod_that_is_on_its_way_out_is_not_counted_though_it_answers_still(self) -> None:
        stage = answering()
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle()
        ready(stage, 2)
        # A node is drained: both pods get their last requests, and those that follow them are not ready.
        for name in (f"{stage.name(2)}-predictor-{each}" for each in range(2)):
            stage.server.change(kube.PODS, name, lambda pod: pod["metadata"].update(deletionTimestamp=to_text(T0)))
        stage.after(11)
        assert (stage.target(), stage.status["candidate"]) == (1, "digits-2"), "clients would soon have nobody"
        assert "0 of 2 pods are ready" in stage.condition("Progressing")[2]
        ready(stage, 2)
        stage.after(11)
        assert stage.target() == 2

    def test_a_version_that_crashes_is_rejected_with_its_last_words(self) -> None:
        stage = answering()
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle()
        state = {"waiting": {"reason": "CrashLoopBackOff"}}
        container = {"name": "kserve-container", "restartCount": 3, "state": state}
        ended = {"terminated": {"exitCode": 65, "reason": "Error", "message": "another digest"}}
        pods(stage, 2, 0, 2, containerStatuses=[{**container, "lastState": ended}])
        stage.after(11)
        assert stage.states() == {"digits-1": "Champion", "digits-2": "Rejected"}
        assert "another digest" in stage.condition("RolledBack")[2]
        assert stage.of(kube.INFERENCE_SERVICES) == {stage.name(1)}

    def test_what_kserve_says_is_told_and_so_is_that_it_says_nothing(self) -> None:
        stage = Stage(BY_KSERVE, kserve=True)
        stage.settle()
        assert "KServe says nothing so far: is its controller there?" in stage.condition("Progressing")[2]
        say(stage, 1, "False", reason="ReconcileFailed", message="no configmap inferenceservice-config")
        stage.after(11)
        assert "ReconcileFailed: no configmap inferenceservice-config" in stage.condition("Progressing")[2]

    def test_requests_are_split_and_judged_as_between_deployments(self) -> None:
        stage = answering({"spec.rollout": CANARY})
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle()
        ready(stage, 2)
        stage.after(11)
        assert stage.status["rollout"]["stage"] == "Splitting"
        assert stage.weights() == {"digits-1": 95, "digits-2": 5}
        assert stage.of(kube.DEPLOYMENTS) == {names.judge_name("digits", stage.uid)}

    def test_one_made_by_deployments_goes_over_as_any_other_version_and_back(self) -> None:
        stage = Stage(kserve=True)
        stage.settle()
        stage.ready(1)
        stage.settle()
        stage.edit({"server.backend": "kserve"})
        stage.settle()
        assert (stage.target(), stage.of(kube.INFERENCE_SERVICES)) == (1, {stage.name(2)})
        ready(stage, 2)
        stage.after(80)
        assert (stage.target(), stage.of(kube.DEPLOYMENTS)) == (2, set())
        stage.edit({"server.backend": None})
        stage.settle()
        stage.ready(3)
        stage.after(80)
        assert (stage.target(), stage.of(kube.INFERENCE_SERVICES)) == (3, set())

    def test_it_lives_through_a_new_process_at_each_moment(self) -> None:
        stage = answering()
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle(restarts=True)
        ready(stage, 2)
        stage.after(80, restarts=True)
        assert stage.states() == {"digits-1": "Retired", "digits-2": "Champion"}
        assert stage.of(kube.INFERENCE_SERVICES) == {stage.name(2)}

    def test_what_the_api_server_refuses_is_told(self) -> None:
        stage = Stage(BY_KSERVE, kserve=True)
        stage.refuse(DeniedError("exceeded quota: services"), "inferenceservices")
        stage.settle()
        assert "exceeded quota" in stage.condition("Progressing")[2]


class TestWithoutKServe:
    @pytest.mark.parametrize(
        ("kserve", "reason", "says"),
        [
            (None, "NotEnabled", "set kserve.enabled in the chart's values"),
            (False, "NotServed", "does not serve inferenceservices of serving.kserve.io/v1beta1"),
        ],
    )
    def test_no_version_begins_and_none_is_blamed(self, kserve: bool | None, reason: str, says: str) -> None:
        stage = Stage(BY_KSERVE, kserve=kserve)
        stage.after(2000)
        assert stage.condition("Progressing")[:2] == ("False", reason)
        assert says in stage.condition("Progressing")[2]
        assert stage.status["versions"] == []
        assert stage.of(kube.INFERENCE_SERVICES) == stage.of(kube.DEPLOYMENTS) == set()

    def test_what_answers_goes_on_while_the_next_one_waits_for_kserve(self) -> None:
        stage = Stage(kserve=False)
        stage.settle()
        stage.ready(1)
        stage.settle()
        stage.edit({"server.backend": "kserve"})
        stage.after(2000)
        assert (stage.states(), stage.target()) == ({"digits-1": "Champion"}, 1)
        assert stage.condition("Ready")[:2] == ("True", "Answering")
        stage.kserve = True
        stage.restart()
        stage.settle()
        assert stage.of(kube.INFERENCE_SERVICES) == {stage.name(2)}

    def test_one_that_answered_stays_what_clients_are_sent_to_when_the_right_is_taken_away(self) -> None:
        stage = answering()
        stage.kserve = None
        stage.restart()
        stage.after(2000)
        assert (stage.target(), stage.states()) == (1, {"digits-1": "Champion"})
        assert stage.of(kube.INFERENCE_SERVICES) == {stage.name(1)}
        assert stage.condition("Progressing")[1] == "NotEnabled"

    def test_one_that_is_on_its_way_waits_for_kserve_to_come_back_and_is_not_blamed(self) -> None:
        stage = answering()
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle()
        stage.kserve = False
        stage.restart()
        stage.after(2000)
        assert stage.states() == {"digits-1": "Champion", "digits-2": "Candidate"}
        assert "does not serve inferenceservices" in stage.condition("Progressing")[2]
        stage.kserve = True
        stage.restart()
        ready(stage, 2)
        stage.after(11)
        assert stage.states()["digits-2"] == "Champion"

    def test_it_is_watched_where_it_is_served_alone(self) -> None:
        assert kube.INFERENCE_SERVICES not in Stage(kserve=False).store.resources()
        assert kube.INFERENCE_SERVICES not in Stage().store.resources(whether_served_or_not=True)
        assert Stage(kserve=True).store.resources()[kube.INFERENCE_SERVICES] == names.WATCHED


def test_deployments_without_the_field_ask_for_no_pods_and_wake_as_before() -> None:
    stage = Stage(kserve=True)
    stage.settle()
    stage.ready(1)
    listed: list[str] = []
    stage.api.before = lambda call: listed.append(call.resource) if call.verb == "list" else None
    assert stage.settle() is None
    assert "pods" not in listed
