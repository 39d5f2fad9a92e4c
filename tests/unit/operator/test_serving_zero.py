"""No pods while nobody asks: clients are sent to the holder first, and to pods again once one is ready."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from headway_operator.serving.plan.zero import SETTLE_SECONDS
from serving_fleet import report

from .serving_stage import DIGEST_2, Stage
from .test_serving_in_flight import Loaded, _judges_are_no_version

__all__ = ["_judges_are_no_version"]
IDLE = {"min": 0, "idleSeconds": 60, "max": 4}


class Idle(Loaded):
    """The first version answers with two pods, and there is a holder."""

    def __init__(self, changes: dict[str, Any] | None = None, **scaling: Any) -> None:
        super().__init__(changes, **{**IDLE, **scaling})
        self.held()

    def held(self) -> None:
        """The holder's pod is ready, if there is to be one."""
        if self.holder() is not None:
            report(self.stage.server, names.holder_name("digits", self.stage.uid))
            self.stage.settle()

    def holder(self) -> Object | None:
        """Its Deployment."""
        return self.stage.server.find(kube.DEPLOYMENTS, names.holder_name("digits", self.stage.uid))

    def quiet(self, seconds: float, **more: Any) -> None:
        """Nobody asks for a while, of which the judge tells every 10 s."""
        until, said = self.stage.now + seconds, self.silent
        while self.stage.now < until:
            self.stage.after(min(10.0, until - self.stage.now))
            said += 10.0
            if self.replicas.get(1):
                self.says(0.0, quietSeconds=int(said), holders=1, **more)
        self.silent = said

    silent = 0.0

    def asleep(self) -> None:
        """Until there is no pod."""
        self.quiet(120.0)
        assert self.replicas == {1: 0}
        self.ready()
        assert self.front() == "holder"

    def asks(self, held: int = 1) -> None:
        """Requests come to the holder."""
        self.silent = 0.0
        self.says(0.0, servers=0, held=held, holders=1)

    def front(self) -> str:
        """Where clients are sent to."""
        return leads(self.stage, "digits")


def leads(stage: Stage, name: str) -> str:
    """What a Service leads to."""
    body = stage.server.find(kube.SERVICES, name)
    assert body is not None
    selector = body["spec"]["selector"]
    assert selector[names.LABEL_DEPLOYMENT_UID] == stage.uid
    if names.LABEL_VERSION in selector:
        assert len(selector) == 2
        return f"version {selector[names.LABEL_VERSION]}"
    assert selector == names.holders(stage.uid)
    return "holder"


def test_the_holder_is_there_before_it_is_needed_and_finds_the_servers() -> None:
    idle = Idle()
    assert idle.holder() is not None
    assert idle.front() == "version 1"
    assert leads(idle.stage, names.servers_name("digits", idle.stage.uid)) == "version 1"
    assert names.holder_name("digits", idle.stage.uid) in idle.stage.of(kube.NETWORK_POLICIES)
    assert Loaded(min=1).stage.server.find(kube.SERVICES, names.servers_name("digits", idle.stage.uid)) is None


def test_the_holder_has_no_token_of_the_api_server_and_is_told_where_servers_are() -> None:
    holder = Idle(holdSeconds=7).holder()
    assert holder is not None
    pod = holder["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    [container] = pod["containers"]
    command = " ".join(container["command"])
    assert command.startswith("headway hold --name digits --server http://digits-")
    assert "--hold-seconds 7 " in command
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_clients_are_sent_to_the_holder_before_the_last_pod_goes() -> None:
    idle = Idle()
    idle.quiet(60.0)
    assert (idle.front(), idle.replicas, idle.scaling["stage"]) == ("holder", {1: 2}, "FallingAsleep")
    assert idle.stage.condition("Ready")[0] == "True"
    idle.stage.after(SETTLE_SECONDS - 1.0)
    assert idle.replicas == {1: 2}, "not all nodes may know it yet"
    idle.quiet(20.0)
    assert idle.replicas == {1: 0}
    assert idle.scaling["stage"] == "Asleep"
    idle.ready()
    assert idle.stage.condition("Ready")[:2] == ("True", "ScaledToZero")
    assert idle.stage.status["phase"] == "Ready"
    assert "ScaledDown" in idle.stage.notices


def test_a_request_meanwhile_brings_clients_back_and_no_pod_goes() -> None:
    idle = Idle()
    idle.quiet(60.0)
    assert idle.front() == "holder"
    idle.says(0.2, quietSeconds=0, holders=1)
    assert (idle.front(), idle.replicas) == ("version 1", {1: 2})
    idle.stage.after(100.0)
    assert (idle.front(), idle.replicas[1] > 0) == ("version 1", True)


def test_a_held_request_makes_a_pod_and_clients_are_sent_there_once_it_is_ready() -> None:
    idle = Idle()
    idle.asleep()
    idle.asks()
    assert idle.replicas == {1: 1}
    assert idle.scaling["stage"] == "Waking"
    assert idle.front() == "holder", "the pod is not ready"
    assert idle.stage.condition("Ready")[:2] == ("True", "ScaledToZero")
    idle.ready()
    assert idle.front() == "version 1"
    assert idle.scaling["stage"] == "Awake"
    assert idle.stage.condition("Ready")[:2] == ("True", "Answering")


def test_nobody_sleeps_without_a_holder_that_is_heard() -> None:
    idle = Idle()
    for _ in range(12):
        idle.stage.after(10.0)
        idle.says(0.0, quietSeconds=300, holders=0)
    assert (idle.front(), idle.scaling["reason"]) == ("version 1", "NoHolder")
    assert idle.replicas[1] >= 1
    report(idle.stage.server, names.holder_name("digits", idle.stage.uid), 0)
    idle.says(0.0, quietSeconds=310, holders=1)
    assert idle.front() == "version 1", "its pod is not ready"


@pytest.mark.parametrize(
    "word",
    [
        {"quietSeconds": 59},
        {"quietSeconds": 300, "held": 1},
        {"quietSeconds": 300, "servers": 1},
        {"quietSeconds": 300, "servers": 0},
    ],
    ids=str,
)
def test_whoever_may_be_asking_keeps_the_pods(word: dict[str, Any]) -> None:
    idle = Idle(scaleDownSeconds=3600)
    idle.stage.after(100.0)
    idle.says(0.0, **{"holders": 1, **word})
    assert (idle.front(), idle.replicas) == ("version 1", {1: 2})


def test_a_judge_that_is_silent_lets_nobody_fall_asleep() -> None:
    idle = Idle()
    idle.quiet(30.0)
    idle.stage.after(1000.0)
    assert (idle.front(), idle.replicas[1] >= 1) == ("version 1", True)


def test_another_version_wakes_it_and_answers() -> None:
    idle = Idle({"spec.rollout": {"blueGreen": {"bakeSeconds": 30}}})
    idle.asleep()
    idle.stage.edit({"versions.source.digest": DIGEST_2})
    idle.stage.settle()
    assert idle.replicas == {1: 1, 2: 1}
    assert idle.front() == "holder"
    idle.ready()
    assert idle.front() == "version 1"
    idle.ready(2)
    assert idle.front() == "version 2"
    assert leads(idle.stage, names.servers_name("digits", idle.stage.uid)) == "version 2"


def test_by_hand_it_wakes_as_well() -> None:
    idle = Idle()
    idle.asleep()
    idle.stage.edit({"replicas": 3})
    idle.stage.settle()
    assert (idle.replicas, idle.front()) == ({1: 3}, "holder")
    idle.ready()
    assert idle.front() == "version 1"


@pytest.mark.parametrize("change", [{"autoscaling": None}, {"autoscaling": {"max": 4, "targetInFlight": 10}}], ids=str)
def test_whoever_wants_pods_again_has_them_before_clients_are_sent_there(change: dict[str, Any]) -> None:
    idle = Idle()
    idle.asleep()
    idle.stage.edit(change)
    idle.stage.settle()
    assert idle.replicas[1] >= 1
    assert idle.front() == "holder"
    assert idle.holder() is not None
    idle.ready()
    assert idle.front() == "version 1"
    assert idle.holder() is None
    assert names.servers_name("digits", idle.stage.uid) not in idle.stage.of(kube.SERVICES)


def test_an_operator_that_dies_at_any_turn_leaves_clients_with_somebody() -> None:
    idle = Idle()
    idle.quiet(60.0)
    idle.stage.settle(restarts=True)
    idle.quiet(60.0)
    assert (idle.replicas, idle.front()) == ({1: 0}, "holder")
    idle.stage.restart()
    idle.stage.settle(restarts=True)
    assert (idle.replicas, idle.front()) == ({1: 0}, "holder")
    idle.asks()
    idle.stage.settle(restarts=True)
    idle.asks(2)
    assert idle.replicas == {1: 1}


def test_a_holder_that_dies_before_the_last_pods_go_gives_clients_back_to_them() -> None:
    idle = Idle()
    idle.quiet(60.0)
    assert (idle.front(), idle.scaling["stage"]) == ("holder", "FallingAsleep")
    report(idle.stage.server, names.holder_name("digits", idle.stage.uid), 0)
    idle.stage.settle()
    assert (idle.front(), idle.replicas, idle.scaling["reason"]) == ("version 1", {1: 2}, "NoHolder")
    idle.stage.after(5.0)
    idle.says(0.0, quietSeconds=100, holders=0)
    idle.held()
    assert idle.front() == "version 1", "it is not heard yet"
    idle.says(0.0, quietSeconds=110, holders=1)
    assert idle.front() == "holder"


def test_an_operator_that_begins_does_not_send_clients_back_for_want_of_a_word() -> None:
    idle = Idle()
    idle.quiet(60.0)
    assert (idle.front(), idle.scaling["stage"]) == ("holder", "FallingAsleep")
    idle.stage.restart()
    idle.stage.after(10.0)
    assert (idle.front(), idle.replicas, idle.scaling["stage"]) == ("holder", {1: 2}, "FallingAsleep")
    idle.quiet(30.0)
    assert idle.replicas == {1: 0}


def test_a_spec_that_is_not_valid_any_more_takes_the_holder_from_nobody() -> None:
    idle = Idle()
    idle.asleep()
    idle.stage.edit({"replicas": -1})
    idle.stage.settle()
    assert idle.front() == "holder"
    assert idle.holder() is not None
