"""The objects of a rollout in which versions share requests, and the steps that make, change and take them away."""

from __future__ import annotations

from typing import Any

import pytest

from deployment_documents import DEPLOYMENT, DIGEST, deployment
from headway_api import rollout_wire
from headway_api.deployment import ModelDeployment
from headway_api.deployment_status import ModelDeploymentStatus, Version
from headway_api.rollout_wire import Route
from headway_cli.judge import judge
from headway_cli.serve import serve
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.steps import Change, Delete, DeleteOwned, Ensure, EnsureShared, Refusal, Step
from headway_operator.engine.times import to_text
from headway_operator.serving import names, records, steps
from headway_operator.serving.plan.model import Defaults, Front, Plan, RolloutRecord, Situation, Workload
from headway_operator.serving.render import objects, pods, rollout
from headway_server.split.judging import Judging
from sim.builders import T0, UID

OF = objects.Of("digits", "default", UID, "IfNotPresent")
NAME = f"digits-{UID[:5]}-judge"
ROUTE = Route(uid=UID, epoch=7, stable=3, candidate=4, share=0.05, salt="s", candidate_url="http://x:80")


def version(number: int = 3, state: str = "Champion") -> Version:
    """A version."""
    spec = DEPLOYMENT["spec"]
    fields = {"name": f"digits-{number}", "number": number, "state": state, "image": "own:1", "since": to_text(T0)}
    return Version.model_validate({**fields, "source": spec["versions"]["source"], "server": spec["server"]})


def record(route: Route | None = ROUTE, **changes: Any) -> RolloutRecord:
    """The ConfigMap, with what servers are told."""
    fields: dict[str, Any] = {"name": NAME, "uid": "c1", "owner_uid": UID, "version": 5, "heard": 0.0}
    return RolloutRecord(**{**fields, "route": route, "verdict": None, **changes})


def workload(number: int, **changes: Any) -> Workload:
    """A Deployment that is as it should be."""
    fields: dict[str, Any] = {"name": NAME, "uid": "w", "owner_uid": UID, "version": 4, "number": number}
    return Workload(**{**fields, "desired": 1, "replicas": 1, "ready": 1, "seen": True, **changes})


def front(selector: dict[str, str] | None = None) -> Front:
    """The judge's Service."""
    found = tuple(sorted((selector or names.judges(UID)).items()))
    return Front(NAME, "s", UID, 6, names.JUDGE, found, (rollout_wire.JUDGE_PORT,))


def situation(**changes: Any) -> Situation:
    """A deployment whose third version answers."""
    fields: dict[str, Any] = {"name": "digits", "namespace": "default", "uid": UID, "generation": 1, "now": T0}
    spec = ModelDeployment.model_validate(deployment()).spec
    status = ModelDeploymentStatus(champion="digits-3", versions=[version()])
    return Situation(**{**fields, "spec": spec, "status": status, "defaults": Defaults("server:1"), **changes})


def rendered(seen: Situation, made: steps.Made = frozenset(), **plan: Any) -> list[Step]:
    """The steps of a plan, in order."""
    stages = steps.render(seen, Plan(seen.status, **plan), made, "IfNotPresent", lambda: "secret")
    return [step for stage in stages for step in stage.steps]


def made_by(found: list[Step]) -> dict[tuple[str, str], Object]:
    """What is made, by kind and name."""
    return {(step.resource.kind, step.name): step.body for step in found if isinstance(step, Ensure)}


def test_every_object_is_the_deployments_own_and_found_by_its_watch() -> None:
    for body in (
        rollout.secret(OF, "t"), rollout.config_map(OF, ROUTE), rollout.service(OF), rollout.judge(OF, "server:1"),
        rollout.servers_policy(OF), rollout.judge_policy(OF),
    ):  # fmt: skip
        meta = body["metadata"]
        (owner,) = meta["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("ModelDeployment", UID, True)
        assert meta["labels"][names.LABEL_DEPLOYMENT_UID] == UID
        for selector in (names.WATCHED, names.WATCHED_CONFIGS):
            key, _, value = selector.partition("=")
            assert meta["labels"][key] == value
        assert meta["name"] in (NAME, f"digits-{UID[:5]}-split")


def test_a_route_stands_in_the_config_map_as_judges_read_it() -> None:
    text = rollout.config_map(OF, ROUTE)["data"]["route.json"]
    assert Route.model_validate_json(text) == ROUTE
    largest = ROUTE.model_copy(update={"salt": "x" * 64, "candidate_url": "h" * 512, "candidate_grpc": "g" * 512})
    assert len(rollout.route_text(largest)) < 4096


def test_the_judge_is_one_restricted_pod_of_the_one_account_that_may_write() -> None:
    spec = rollout.judge(OF, "server:1")["spec"]
    pod = spec["template"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("headway-judge", True)
    assert pod["securityContext"] == pods.POD_SECURITY
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == pods.CONTAINER_SECURITY
    assert container["image"] == "server:1"
    assert set(container["resources"]) == {"requests", "limits"}, "a quota of the namespace may ask for both"
    assert [volume.get("secret", {}).get("secretName") for volume in pod["volumes"]] == [NAME, None]
    assert {each["tolerationSeconds"] for each in pod["tolerations"]} == {rollout.LOST_SECONDS}


def test_the_judge_understands_what_it_is_told() -> None:
    (container,) = rollout.judge(OF, "server:1")["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["headway", "judge"]
    told = judge.make_context("judge", container["command"][2:]).params
    assert (told["namespace"], told["config_map"], told["host"]) == (OF.namespace, NAME, "0.0.0.0")  # noqa: S104
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"report": told["port"], "admin": told["admin_port"]}
    assert f"{container['volumeMounts'][0]['mountPath']}/{rollout_wire.KEY_TOKEN}" == rollout.TOKEN_FILE
    assert [container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")] == [
        rollout_wire.JUDGE_READY_PATH,
        rollout_wire.JUDGE_READY_PATH,
        rollout_wire.JUDGE_LIVE_PATH,
    ]


def test_a_server_understands_what_it_is_told_of_its_judge() -> None:
    (container,) = rollout.reporting(OF, objects.workload(OF, version(), 1))["spec"]["template"]["spec"]["containers"]
    told = serve.make_context("serve", [*container["command"][2:], *container["args"]]).params
    assert told["deployment_uid"] == UID
    assert Judging.at(told["judge"], told["judge_token_file"], UID).port == rollout_wire.JUDGE_PORT


def test_the_judges_pod_is_none_of_the_servers() -> None:
    labels = rollout.judge(OF, "server:1")["spec"]["template"]["metadata"]["labels"]
    server = objects.workload(OF, version(), 1)["spec"]["template"]["metadata"]["labels"]

    def finds(selector: dict[str, str], found: dict[str, str]) -> bool:
        return selector.items() <= found.items()

    assert finds(names.judges(UID), labels)
    assert not finds(names.servers(UID), labels)
    assert not any(finds(names.selector(UID, number), labels) for number in range(-1, 5))
    assert finds(names.servers(UID), server)
    assert not finds(names.judges(UID), server)


def test_servers_reach_the_judge_each_other_and_name_servers_and_nobody_else() -> None:
    spec = rollout.servers_policy(OF)["spec"]
    assert spec["podSelector"] == {"matchLabels": names.servers(UID)}
    assert spec["policyTypes"] == ["Egress"]
    reached = [
        (rule.get("to", [{}])[0].get("podSelector", {}).get("matchLabels"), [each["port"] for each in rule["ports"]])
        for rule in spec["egress"]
    ]
    assert reached == [(names.judges(UID), [8090]), (names.servers(UID), [8080, 9000]), (None, [53, 53])]


def test_only_the_deployments_servers_report_to_its_judge() -> None:
    spec = rollout.judge_policy(OF)["spec"]
    assert spec["podSelector"] == {"matchLabels": names.judges(UID)}
    reports, health = spec["ingress"]
    assert reports["from"] == [{"podSelector": {"matchLabels": names.servers(UID)}}]
    assert [each["port"] for each in reports["ports"]] == [rollout_wire.JUDGE_PORT]
    assert [each["port"] for each in health["ports"]] == [rollout_wire.JUDGE_ADMIN_PORT]


def test_a_server_that_reports_has_the_token_and_its_check_of_the_model_has_not() -> None:
    body = rollout.reporting(OF, objects.workload(OF, version(), 2))
    spec = body["spec"]["template"]["spec"]
    (server,), (check,) = spec["containers"], spec["initContainers"]
    assert server["args"][-6:] == [
        "--judge", f"http://{NAME}:8090",
        "--judge-token-file", "/etc/headway/rollout/token",
        "--deployment-uid", UID,
    ]  # fmt: skip
    assert "/etc/headway/rollout" in [mount["mountPath"] for mount in server["volumeMounts"]]
    assert "/etc/headway/rollout" not in [mount["mountPath"] for mount in check["volumeMounts"]]
    assert spec["automountServiceAccountToken"] is False
    assert check["command"][-1] == DIGEST
    stored = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "1"}}
    plain = {**objects.workload(OF, version(), 2), "metadata": stored["metadata"]}
    seen, other = records.workload(stored, None, T0), records.workload(plain, None, T0)
    assert seen is not None
    assert other is not None
    assert (seen.reports, other.reports) == (True, False)


class TestSteps:
    def test_a_rollout_has_its_objects_before_the_pods_that_need_them(self) -> None:
        found = rendered(situation(), replicas={3: 2}, target=3, route=ROUTE, judge=True)
        made = list(made_by(found))
        secret, pods_of = made.index(("Secret", NAME)), made.index(("Deployment", f"digits-{UID[:5]}-3"))
        judge = made.index(("Deployment", NAME))
        assert secret < pods_of < judge
        assert made.index(("ConfigMap", NAME)) < judge
        assert {("Service", NAME), ("NetworkPolicy", NAME), ("NetworkPolicy", f"digits-{UID[:5]}-split")} < set(made)
        shared = [step.body["kind"] for step in found if isinstance(step, EnsureShared)]
        assert shared == ["ServiceAccount", "RoleBinding"]
        server = made_by(found)["Deployment", f"digits-{UID[:5]}-3"]
        assert "--judge" in server["spec"]["template"]["spec"]["containers"][0]["args"]
        assert made_by(found)["Secret", NAME]["stringData"] == {"token": "secret"}

    def test_a_change_of_the_route_comes_first_and_touches_nothing_of_the_judges(self) -> None:
        back = ROUTE.model_copy(update={"share": 0.0, "epoch": 8})
        found = rendered(situation(rollout=record()), replicas={3: 2}, target=3, route=back, judge=True)
        assert isinstance(found[0], Change)
        assert (found[0].uid, found[0].version) == ("c1", 5)
        assert list(found[0].patch) == ["data"]
        assert list(found[0].patch["data"]) == ["route.json"]
        assert Route.model_validate_json(found[0].patch["data"]["route.json"]) == back

    def test_a_rollout_that_is_as_it_should_be_is_left_alone(self) -> None:
        name = f"digits-{UID[:5]}"
        made = frozenset({
            ("networkpolicies", name), ("networkpolicies", f"{name}-split"), ("networkpolicies", NAME),
            ("secrets", NAME), ("poddisruptionbudgets", f"{name}-3"),
        })  # fmt: skip
        version_front = Front(f"{name}-3", "a", UID, 1, 3, tuple(sorted(names.selector(UID, 3).items())), (80,))
        seen = situation(
            rollout=record(), judge=workload(names.JUDGE), workloads={3: workload(3, desired=2)},
            fronts={names.JUDGE: front(), 3: version_front, 0: version_front},
        )  # fmt: skip
        assert rendered(seen, made, replicas={3: 2}, target=3, route=ROUTE, judge=True) == []

    @pytest.mark.parametrize("broken", [None, ROUTE.model_copy(update={"share": 1.0})])
    def test_a_route_that_somebody_else_wrote_or_broke_is_written_again(self, broken: Route | None) -> None:
        found = rendered(situation(rollout=record(broken)), route=ROUTE, judge=True)
        assert isinstance(found[0], Change)

    def test_what_was_meddled_with_is_put_right(self) -> None:
        seen = situation(
            rollout=record(), judge=workload(names.JUDGE, desired=0), fronts={names.JUDGE: front({"app": "mine"})}
        )
        changes = {step.ref.resource.kind: step.patch for step in rendered(seen, route=ROUTE, judge=True)
                   if isinstance(step, Change)}  # fmt: skip
        assert changes["Deployment"] == {"spec": {"replicas": 1}}
        assert changes["Service"] == {"spec": {"selector": {"app": None, **names.judges(UID)}}}

    def test_the_judge_and_what_it_wrote_go_when_the_rollout_is_over(self) -> None:
        seen = situation(rollout=record(), judge=workload(names.JUDGE), fronts={names.JUDGE: front()})
        found = rendered(seen)
        gone = [(type(step).__name__, step.ref.resource.kind, step.ref.name)
                for step in found if isinstance(step, Delete | DeleteOwned)]  # fmt: skip
        assert gone == [
            ("DeleteOwned", "NetworkPolicy", f"digits-{UID[:5]}-split"),
            ("DeleteOwned", "NetworkPolicy", NAME),
            ("Delete", "Deployment", NAME),
            ("Delete", "ConfigMap", NAME),
            ("Delete", "Service", NAME),
        ]
        assert "Secret" not in str(found), "pods of versions may mount it"

    def test_the_judge_goes_and_the_route_stays_while_servers_are_told_something(self) -> None:
        seen = situation(rollout=record(), judge=workload(names.JUDGE), fronts={names.JUDGE: front()})
        found = rendered(seen, route=ROUTE)
        assert [step.ref.resource for step in found if isinstance(step, Delete | DeleteOwned)] == [kube.DEPLOYMENTS]

    def test_a_spec_that_cannot_be_read_takes_nothing_of_a_rollout_away(self) -> None:
        seen = situation(spec=None, rollout=record(), fronts={names.JUDGE: front()})
        assert rendered(seen, replicas={}) == []

    def test_a_deployment_without_such_a_rollout_has_nothing_of_it_but_servers_that_could_take_part(self) -> None:
        found = rendered(situation(), replicas={3: 2}, target=3)
        assert {kind for kind, name in made_by(found) if name == NAME} == {"Secret"}
        assert ("NetworkPolicy", f"digits-{UID[:5]}-split") not in made_by(found)
        server = made_by(found)["Deployment", f"digits-{UID[:5]}-3"]["spec"]["template"]["spec"]
        assert "--judge" in server["containers"][0]["args"]

    def test_all_but_the_judge_is_there_before_the_first_rollout(self) -> None:
        found = rendered(situation(), replicas={3: 2}, target=3, route=Route(uid=UID))
        assert {kind for kind, name in made_by(found) if name == NAME} == {
            "Secret", "NetworkPolicy", "ConfigMap", "Service",
        }  # fmt: skip

    def test_without_a_default_image_the_judge_has_that_of_the_newest_version(self) -> None:
        found = rendered(situation(defaults=Defaults(None)), route=ROUTE, judge=True)
        judge = made_by(found)["Deployment", NAME]
        assert judge["spec"]["template"]["spec"]["containers"][0]["image"] == "own:1"

    def test_what_was_refused_a_moment_ago_is_not_asked_for_again_and_the_route_still_changes(self) -> None:
        refusals = {NAME: Refusal("Denied", "exceeded quota", retry_at=T0 + 10)}
        seen = situation(rollout=record(None), refusals=refusals)
        found = rendered(seen, replicas={3: 2}, target=3, route=ROUTE, judge=True)
        assert isinstance(found[0], Change)
        assert not any(name == NAME for _, name in made_by(found))


def test_servers_start_without_the_rollouts_secret_and_the_judge_does_not() -> None:
    """It may have been deleted, or be refused by a quota: that is to take no answers away."""
    server = rollout.reporting(OF, objects.workload(OF, version(), 2))
    found = [
        volume["secret"].get("optional", False)
        for body in (server, rollout.judge(OF, "server:1"))
        for volume in body["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    ]
    assert found == [True, False]
