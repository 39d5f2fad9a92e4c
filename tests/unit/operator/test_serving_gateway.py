"""Routes of gateways: what is made and where it leads, and that nobody is sent where nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.rollout_wire import KEY_ROUTE, KEY_VERDICT, ROUTE_HEADER, Route, Verdict
from headway_operator.engine import kube
from headway_operator.engine.kube import DeniedError, Object, Resource
from headway_operator.serving import names, routes
from headway_operator.serving.plan.rollout import GRACE_SECONDS
from sim.builders import T0

from .serving_stage import DIGEST_2, Stage

BOTH = (kube.HTTP_ROUTES, kube.GRPC_ROUTES)
NAME = "digits-route"
PUBLIC: dict[str, Any] = {"parentRefs": [{"name": "public", "namespace": "infra"}], "hostnames": ["digits.example.com"]}
GATEWAY = {**PUBLIC, "split": "gateway"}
GRPC = {**PUBLIC, "grpc": {"hostnames": ["grpc.example.com"]}}
CANARY = {"canary": {"steps": [{"weight": 5, "minSeconds": 0}, {"weight": 50, "minSeconds": 0}], "bakeSeconds": 60}}


def answering(gateway: dict[str, Any], *, gateways: Any = BOTH, **changes: Any) -> Stage:
    """The first version answers."""
    stage = Stage({"spec.route.gateway": gateway, "spec.rollout": CANARY, **changes}, gateways=gateways)
    stage.settle()
    stage.ready(1)
    stage.settle()
    assert stage.target() == 1
    return stage


def splitting(gateway: dict[str, Any], **changes: Any) -> Stage:
    """The second version has its first share."""
    stage = answering(gateway, **changes)
    stage.edit({"versions.source.digest": DIGEST_2})
    stage.settle()
    stage.ready(2)
    stage.settle()
    assert stage.weights() == {"digits-1": 95, "digits-2": 5}
    return stage


def told(stage: Stage) -> Route:
    """What servers are told."""
    [body] = stage.server.of(kube.CONFIG_MAPS)
    return Route.model_validate_json(body["data"][KEY_ROUTE])


def say(stage: Stage, verdict: str = "pass", **words: Any) -> None:
    """The judge says this of what servers are told."""
    route = told(stage)
    about = {"uid": stage.uid, "rollout": route.candidate, "epoch": route.epoch, "servers": 4, "following": 4}
    word = Verdict(**{**about, "verdict": verdict, "beat": int(stage.now - T0), **words})

    def write(body: Object) -> None:
        body["data"][KEY_VERDICT] = word.model_dump_json()

    stage.server.change(kube.CONFIG_MAPS, names.judge_name("digits", stage.uid), write)
    stage.now += 1
    stage.settle()


def route(stage: Stage, resource: Resource = kube.HTTP_ROUTES) -> Object:
    """The one that there is."""
    [found] = stage.server.of(resource)
    return found


def rule(stage: Stage, resource: Resource = kube.HTTP_ROUTES) -> Object:
    """Its rule."""
    found: Object
    [found] = route(stage, resource)["spec"]["rules"]
    return found


def leads(stage: Stage, resource: Resource = kube.HTTP_ROUTES) -> dict[str, int]:
    """Its backends and their weights."""
    return {each["name"]: each["weight"] for each in rule(stage, resource)["backendRefs"]}


def stamp(stage: Stage, resource: Resource = kube.HTTP_ROUTES) -> str | None:
    """What it puts on requests."""
    found = [each["requestHeaderModifier"]["set"] for each in rule(stage, resource).get("filters") or []]
    return found[0][0]["value"] if found else None


def says(stage: Stage, **conditions: tuple[str, str, str]) -> None:
    """A controller says this of the route at each of its parents."""

    def write(body: Object) -> None:
        said = [
            {"type": kind, "status": status, "reason": reason, "message": message}
            for kind, (status, reason, message) in conditions.items()
        ]
        body["status"] = {
            "parents": [{"parentRef": ref, "conditions": said} for ref in body["spec"]["parentRefs"]],
        }

    stage.server.change(kube.HTTP_ROUTES, NAME, write)
    stage.settle()


WELL = {"Accepted": ("True", "Accepted", ""), "ResolvedRefs": ("True", "ResolvedRefs", "")}


class TestTheRoute:
    def test_it_leads_to_the_clients_service_once_a_version_answers(self) -> None:
        stage = Stage({"spec.route.gateway": PUBLIC}, gateways=BOTH)
        stage.settle()
        assert stage.of(kube.HTTP_ROUTES) == set()
        assert stage.condition("RouteAccepted")[:2] == ("Unknown", "NoVersion")
        stage.ready(1)
        stage.settle()
        body = route(stage)
        assert body["metadata"]["name"] == NAME
        assert body["metadata"]["ownerReferences"][0]["uid"] == stage.uid
        assert body["spec"] == {
            "parentRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "infra"}
            ],
            "hostnames": ["digits.example.com"],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [{"group": "", "kind": "Service", "name": "digits", "port": 80, "weight": 1}],
                }
            ],
        }
        assert stage.of(kube.GRPC_ROUTES) == set()

    def test_what_is_read_is_what_was_rendered(self) -> None:
        for gateway in (
            PUBLIC,
            {"parentRefs": [{"name": "a", "sectionName": "https", "port": 443}, {"name": "b"}]},
            {**PUBLIC, "pathPrefix": "/models/digits"},
            {**GATEWAY, "pathPrefix": "/digits"},
        ):
            stage = splitting(gateway)
            read = routes.route(route(stage), None, T0)
            assert read is not None
            assert read.said.rules is not None
            before = stage.server.version()
            stage.after(0)
            assert stage.server.version() == before, "nothing is written again"

    def test_a_prefix_is_taken_off_the_path(self) -> None:
        stage = answering({**PUBLIC, "pathPrefix": "/models/digits"})
        assert rule(stage)["matches"] == [{"path": {"type": "PathPrefix", "value": "/models/digits"}}]
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
        assert rule(stage)["filters"] == [{"type": "URLRewrite", "urlRewrite": {"path": path}}]

    def test_it_changes_with_the_spec_is_put_right_and_goes_with_it(self) -> None:
        stage = answering(PUBLIC)
        stage.edit({"route.gateway.hostnames": ["other.example.com"]})
        stage.settle()
        assert route(stage)["spec"]["hostnames"] == ["other.example.com"]
        stage.edit({"route.gateway.hostnames": []})
        stage.settle()
        assert "hostnames" not in route(stage)["spec"]

        def meddle(body: Object) -> None:
            body["spec"]["rules"] = [*body["spec"]["rules"], {"backendRefs": [{"name": "payments", "port": 80}]}]

        stage.server.change(kube.HTTP_ROUTES, NAME, meddle)
        stage.settle()
        assert leads(stage) == {"digits": 1}
        stage.edit({"route": None})
        stage.settle()
        assert stage.of(kube.HTTP_ROUTES) == set()
        assert "RouteAccepted" not in {each["type"] for each in stage.status["conditions"]}

    def test_others_keep_what_they_have_put_on_it(self) -> None:
        stage = answering(PUBLIC)
        stage.server.change(
            kube.HTTP_ROUTES, NAME, lambda body: body["metadata"].update(annotations={"dns.example.com": "a"})
        )
        stage.edit({"route.gateway.hostnames": ["other.example.com"]})
        stage.settle()
        assert route(stage)["metadata"]["annotations"] == {"dns.example.com": "a"}

    @pytest.mark.parametrize(
        ("added", "stays"),
        [
            ({"type": "ExtensionRef", "extensionRef": {"group": "a.example", "kind": "Auth", "name": "all"}}, True),
            ({"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["server"]}}, True),
            ({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "copies", "port": 80}}}, False),
            ({"type": "RequestRedirect", "requestRedirect": {"hostname": "elsewhere.example.com"}}, False),
            ({"type": "URLRewrite", "urlRewrite": {"hostname": "elsewhere.example.com"}}, False),
        ],
        ids=lambda value: value.get("type") if isinstance(value, dict) else str(value),
    )
    def test_a_filter_that_a_webhook_adds_is_left_unless_requests_go_elsewhere_by_it(
        self, added: Object, stays: bool
    ) -> None:
        stage = splitting({**GATEWAY, "pathPrefix": "/digits"})
        ours = rule(stage)["filters"]
        if added["type"] == "URLRewrite":
            added = {
                "type": "URLRewrite",
                "urlRewrite": {**ours[0]["urlRewrite"], "path": {"replacePrefixMatch": "/x"}},
            }
        theirs = [*ours[1:], added] if added["type"] == "URLRewrite" else [added, *ours]
        stage.server.change(kube.HTTP_ROUTES, NAME, lambda body: body["spec"]["rules"][0].update(filters=theirs))
        before = stage.server.version()
        stage.settle()
        assert rule(stage)["filters"] == (theirs if stays else ours)
        assert (stage.server.version() == before) == stays, "nothing is written in vain, again and again"

    def test_a_route_of_that_name_that_is_somebody_elses_is_left_alone_and_told(self) -> None:
        stage = Stage({"spec.route.gateway": PUBLIC}, gateways=BOTH)
        theirs = {"metadata": {"name": NAME}, "spec": {"rules": []}}
        stage.server.create(kube.HTTP_ROUTES, "default", theirs)
        stage.settle()
        stage.ready(1)
        stage.after(1)
        assert route(stage)["spec"] == {"rules": []}
        status, reason, message = stage.condition("RouteAccepted")
        assert (status, reason) == ("False", "Refused")
        assert f"there is a HTTPRoute {NAME} that is not of this ModelDeployment" in message
        assert stage.condition("Ready")[0] == "True", "the clients' Service is none of its business"

    def test_grpc_has_a_route_of_its_own_where_the_version_that_answers_has_grpc(self) -> None:
        stage = answering(GRPC, **{"spec.server.grpc": True})
        body = route(stage, kube.GRPC_ROUTES)
        assert (body["metadata"]["name"], body["kind"]) == (NAME, "GRPCRoute")
        assert body["spec"] == {
            "parentRefs": route(stage)["spec"]["parentRefs"],
            "hostnames": ["grpc.example.com"],
            "rules": [{"backendRefs": [{"group": "", "kind": "Service", "name": "digits", "port": 9000, "weight": 1}]}],
        }
        stage.edit({"route.gateway.grpc": None})
        stage.settle()
        assert stage.of(kube.GRPC_ROUTES) == set()
        assert stage.of(kube.HTTP_ROUTES) == {NAME}


class TestWhatTheStatusSays:
    @pytest.mark.parametrize(
        ("gateways", "reason", "words"),
        [
            (None, "NotEnabled", "set gatewayApi.enabled in the chart's values"),
            ((), "NotServed", "does not serve httproutes and grpcroutes of gateway.networking.k8s.io/v1: install"),
            ((kube.HTTP_ROUTES,), "NotServed", "does not serve grpcroutes of gateway.networking.k8s.io/v1"),
        ],
    )
    def test_one_condition_tells_what_is_lacking_and_clients_have_their_service(
        self, gateways: Any, reason: str, words: str
    ) -> None:
        stage = answering(GRPC, gateways=gateways, **{"spec.server.grpc": True})
        status, found, message = stage.condition("RouteAccepted")
        assert (status, found) == ("False", reason)
        assert words in message
        assert "clients within the cluster use the Service all the same" in message
        assert stage.condition("Ready")[0] == "True"
        assert stage.of(kube.GRPC_ROUTES) == set()

    @pytest.mark.parametrize(
        ("conditions", "status", "reason", "words"),
        [
            (WELL, "True", "Accepted", ""),
            (
                {**WELL, "Accepted": ("False", "NoMatchingListenerHostname", "no listener has it")},
                *("False", "NoMatchingListenerHostname"),
                "the HTTPRoute digits-route at the Gateway infra/public: no listener has it",
            ),
            ({**WELL, "ResolvedRefs": ("False", "BackendNotFound", "")}, "False", "BackendNotFound", "BackendNotFound"),
            ({"Accepted": ("True", "Accepted", "")}, "Unknown", "Pending", "the HTTPRoute"),
            ({"Accepted": ("Perhaps", "Not a word!", "x" * 5000)}, "Unknown", "Notaword", "xxxx"),
        ],
    )
    def test_what_gateways_say_of_it(
        self, conditions: dict[str, tuple[str, str, str]], status: str, reason: str, words: str
    ) -> None:
        stage = answering(PUBLIC)
        assert stage.condition("RouteAccepted")[:2] == ("Unknown", "Unheard")
        says(stage, **conditions)
        found = stage.condition("RouteAccepted")
        assert found[:2] == (status, reason)
        assert words in found[2]

    def test_each_parent_has_to_take_it_and_a_word_about_another_counts_for_nothing(self) -> None:
        stage = answering({"parentRefs": [{"name": "a"}, {"name": "b", "sectionName": "https"}]})

        def write(body: Object) -> None:
            said = [{"type": kind, "status": "True", "reason": "R"} for kind in ("Accepted", "ResolvedRefs")]
            refs = [{"name": "a"}, {"name": "b"}]
            body["status"] = {"parents": [{"parentRef": ref, "conditions": said} for ref in refs]}

        stage.server.change(kube.HTTP_ROUTES, NAME, write)
        stage.settle()
        status, reason, message = stage.condition("RouteAccepted")
        assert (status, reason) == ("Unknown", "Unheard")
        assert "at the Gateway b, listener https" in message


def test_a_kind_that_is_not_served_is_not_watched_nor_listed_and_one_without_the_right_is_no_child_at_all() -> None:
    watched = Stage({"spec.route.gateway": PUBLIC}, gateways=(kube.HTTP_ROUTES,)).store.resources()
    assert (kube.HTTP_ROUTES in watched, kube.GRPC_ROUTES in watched) == (True, False)
    both = Stage(gateways=(kube.HTTP_ROUTES,)).store.resources(whether_served_or_not=True)
    assert {*BOTH} <= {*both}, "its lag is a metric in any case"
    assert not {*BOTH} & {*Stage().store.resources(whether_served_or_not=True)}


class TestServersSplit:
    def test_the_route_stays_as_it_is_and_servers_draw(self) -> None:
        stage = splitting(PUBLIC)
        assert (leads(stage), stamp(stage)) == ({"digits": 1}, None)
        assert (told(stage).share, told(stage).gateway) == (0.05, False)

    def test_copies_are_the_servers_work_whoever_splits(self) -> None:
        stage = answering(GATEWAY, **{"spec.rollout": {"shadow": {"minSeconds": 0}}})
        stage.edit({"versions.source.digest": DIGEST_2})
        stage.settle()
        stage.ready(2)
        stage.settle()
        assert leads(stage) == {"digits": 1}
        assert (told(stage).mode, told(stage).gateway, told(stage).mirror) == ("shadow", False, 0.1)


class TestAGatewaySplits:
    def test_the_weights_are_the_shares_and_requests_tell_of_which_epoch_they_are(self) -> None:
        stage = splitting(GATEWAY)
        assert leads(stage) == {"digits": 95, stage.name(2): 5}
        assert (told(stage).share, told(stage).gateway) == (0.05, True)
        assert stamp(stage) == str(told(stage).epoch)
        [header] = rule(stage)["filters"][0]["requestHeaderModifier"]["set"]
        assert header["name"] == ROUTE_HEADER

    def test_a_rollout_takes_its_steps_and_the_route_leads_to_the_clients_service_again(self) -> None:
        stage = splitting(GATEWAY)
        say(stage)
        assert leads(stage) == {"digits": 50, stage.name(2): 50}
        say(stage)
        assert stage.states()["digits-2"] == "Champion"
        assert (leads(stage), stage.target(), stamp(stage)) == ({"digits": 1}, 2, None)
        assert (told(stage).baking, told(stage).gateway) == (True, False)
        stage.after(60)
        assert stage.replicas() == {2: 2}
        assert leads(stage) == {"digits": 1}

    def test_what_fails_gets_nothing_before_anything_else_and_its_pods_stay_as_long_as_a_gateway_may_take(self) -> None:
        stage = splitting(GATEWAY)
        written = len(stage.server.writes)
        say(stage, "fail", reason="ErrorRate", message="too many")
        assert leads(stage) == {"digits": 1}
        assert stage.states()["digits-2"] == "Rejected"
        calls = [call[:2] for call in stage.server.writes[written:]]
        assert calls[:3] == [
            ("patch", "modeldeployments"),
            ("patch", "configmaps"),
            ("patch", "httproutes"),
        ]
        say(stage, "fail", reason="ErrorRate", message="too many")
        assert stage.replicas() == {1: 2, 2: 2}, "that servers follow says nothing of gateways"
        stage.after(GRACE_SECONDS)
        assert stage.replicas() == {1: 2}

    def test_who_suspends_a_deployment_does_not_keep_a_bad_version_its_share(self) -> None:
        stage = splitting(GATEWAY)
        stage.edit({"suspend": True})
        stage.settle()
        assert leads(stage) == {"digits": 95, stage.name(2): 5}
        say(stage, "fail", reason="ErrorRate", message="too many")
        assert leads(stage) == {"digits": 1}
        assert stage.weights() == {"digits-1": 95, "digits-2": 5}, "nothing moves in the status"

    def test_nor_does_a_spec_that_cannot_be_read(self) -> None:
        stage = splitting({**GATEWAY, "pathPrefix": "/digits"})
        stage.edit({"replicas": 0})
        say(stage, "fail", reason="ErrorRate", message="too many")
        assert leads(stage) == {"digits": 1}
        assert rule(stage)["matches"] == [{"path": {"type": "PathPrefix", "value": "/digits"}}]
        assert route(stage)["spec"]["hostnames"] == ["digits.example.com"]

    def test_a_spec_that_cannot_be_read_leaves_all_to_the_clients_service_in_whatever_order_backends_stand(
        self,
    ) -> None:
        gateway = {**GATEWAY, "grpc": {"hostnames": ["grpc.example.com"]}}
        stage = splitting(gateway, **{"spec.server.grpc": True})
        for resource in BOTH:
            stage.server.change(resource, NAME, lambda body: body["spec"]["rules"][0]["backendRefs"].reverse())
        stage.edit({"replicas": 0})
        stage.settle()
        for resource, port in zip(BOTH, (80, 9000), strict=True):
            [backend] = rule(stage, resource)["backendRefs"]
            assert (backend["name"], backend["port"]) == ("digits", port)

    def test_where_nobody_is_ready_nobody_is_sent_and_a_weight_comes_back_when_all_are(self) -> None:
        stage = splitting(GATEWAY)
        say(stage)
        assert leads(stage)[stage.name(2)] == 50
        stage.ready(2, 1)
        stage.settle()
        assert leads(stage)[stage.name(2)] == 50, "one is ready"
        stage.ready(2, 0)
        stage.settle()
        assert leads(stage) == {"digits": 1}
        stage.ready(2, 1)
        stage.settle()
        assert leads(stage) == {"digits": 1}
        stage.ready(2)
        stage.settle()
        assert leads(stage) == {"digits": 50, stage.name(2): 50}

    def test_a_version_without_a_service_gets_nothing(self) -> None:
        stage = splitting(GATEWAY)
        writes: list[dict[str, int]] = []
        stage.server.remove(kube.SERVICES, stage.name(2))
        stage.turn()
        writes.append(leads(stage))
        stage.settle()
        assert writes == [{"digits": 1}]
        assert leads(stage) == {"digits": 95, stage.name(2): 5}, "it is made again"

    def test_what_is_drawn_by_other_weights_than_servers_know_is_not_stamped(self) -> None:
        stage = splitting(GATEWAY)
        say(stage)
        # The next step is written, and not all pods are ready in the moment in which the route would be changed.
        stage.ready(2, 1)
        stage.settle()

        def less(body: Object) -> None:
            for each in body["spec"]["rules"][0]["backendRefs"]:
                each["weight"] = {"digits": 98}.get(each["name"], 2)

        stage.server.change(kube.HTTP_ROUTES, NAME, less)
        stage.settle()
        assert leads(stage) == {"digits": 98, stage.name(2): 2}
        assert stamp(stage) is None

    def test_a_route_that_no_gateway_takes_is_what_the_step_waits_for(self) -> None:
        stage = splitting(GATEWAY)
        says(stage, Accepted=("False", "NotAllowedByListeners", "not from this namespace"))
        say(stage, "open")
        _, _, message = stage.condition("Progressing")
        assert "no gateway splits the requests: the HTTPRoute digits-route" in message
        assert "not from this namespace" in message

    def test_where_there_can_be_no_route_the_rollout_waits_and_says_why(self) -> None:
        stage = splitting(GATEWAY, gateways=())
        say(stage, "open")
        assert "no gateway splits the requests: the API server does not serve" in stage.condition("Progressing")[2]

    def test_a_place_that_is_refused_keeps_no_share_from_being_taken_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = splitting(GATEWAY)

        patch = stage.api.patch

        async def limited(resource: Resource, namespace: str, name: str, change: Any) -> Object:
            if resource == kube.HTTP_ROUTES and "hostnames" in change["spec"]:
                raise DeniedError("hostnames of others are not allowed here")
            return await patch(resource, namespace, name, change)

        monkeypatch.setattr(stage.api, "patch", limited)
        stage.edit({"route.gateway.hostnames": ["other.example.com"]})
        stage.after(1)
        assert stage.condition("RouteAccepted")[:2] == ("False", "Refused")
        say(stage, "fail", reason="ErrorRate", message="too many")
        assert leads(stage) == {"digits": 1}
        assert route(stage)["spec"]["hostnames"] == ["digits.example.com"]

    def test_grpc_is_split_alike_and_not_at_all_for_a_candidate_without_it(self) -> None:
        gateway = {**GATEWAY, "grpc": {"hostnames": ["grpc.example.com"]}}
        stage = splitting(gateway, **{"spec.server.grpc": True})
        assert leads(stage, kube.GRPC_ROUTES) == {"digits": 95, stage.name(2): 5}
        assert stamp(stage, kube.GRPC_ROUTES) == str(told(stage).epoch)

    def test_who_changes_who_splits_has_servers_told_in_the_same_turn(self) -> None:
        stage = splitting(GATEWAY)
        epoch = told(stage).epoch
        stage.edit({"route.gateway.split": "servers"})
        stage.settle()
        assert (leads(stage), told(stage).gateway, told(stage).share) == ({"digits": 1}, False, 0.05)
        assert told(stage).epoch > epoch

    def test_another_process_at_any_moment_changes_nothing(self) -> None:
        stage = splitting(GATEWAY)
        for verdict in ("pass", "pass", "fail"):
            say(stage, verdict, reason="Latency", message="slow")
            stage.settle(restarts=True)
        assert leads(stage) == {"digits": 1}
        stage.after(GRACE_SECONDS, restarts=True)
        assert stage.replicas() == {1: 2}


def test_without_a_gateway_servers_are_told_what_they_were_told_before() -> None:
    """The digest that a status has from an operator of before stays right, so no server is told anew."""
    with_it, without = splitting(PUBLIC), splitting({"parentRefs": [{"name": "x"}]}, gateways=None)
    assert with_it.status["route"] == without.status["route"]
    assert with_it.status["route"]["epoch"] == 2
