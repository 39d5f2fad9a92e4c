"""Steps that change a watched child, and reads of what nobody watches."""

from __future__ import annotations

import pytest

from headway_operator.engine import kube
from headway_operator.engine.facts import MOST_LISTED, MOST_LOOKED_AT
from headway_operator.engine.kube import ConflictError, DeniedError, Object
from headway_operator.engine.steps import Listed

from .serving_stage import Stage


def answering() -> Stage:
    stage = Stage()
    stage.settle()
    stage.ready(1)
    stage.settle()
    return stage


def test_a_child_that_changed_unseen_is_not_changed_and_the_decision_is_made_anew() -> None:
    stage = answering()
    stage.edit({"replicas": 4})
    stage.watch()
    stage.server.change(kube.DEPLOYMENTS, stage.name(1), lambda body: body["metadata"].update(labels={"seen": "not"}))
    stage.server.events.clear()
    with pytest.raises(ConflictError):
        stage.turn()
    assert stage.replicas_of(1) == 2
    stage.settle()
    assert stage.replicas_of(1) == 4


def test_our_own_change_counts_before_a_watch_shows_it() -> None:
    stage = answering()
    stage.edit({"replicas": 4})
    stage.turn()
    stage.server.events.clear()  # a watch that is silent
    writes = len(stage.server.writes)
    stage.turn()
    patched = [call for call in stage.server.writes[writes:] if call[:2] == ("patch", "deployments")]
    assert (stage.replicas_of(1), patched) == (4, [])


def test_a_change_of_one_that_is_gone_is_found_out_and_made_up_for() -> None:
    stage = answering()
    stage.edit({"replicas": 4})
    stage.watch()
    stage.server.remove(kube.DEPLOYMENTS, stage.name(1))
    stage.server.events.clear()
    stage.settle()
    assert stage.replicas_of(1) == 4


def test_a_refused_change_is_told_and_asked_for_again_later() -> None:
    stage = answering()

    def before(call: object) -> None:
        if call[:2] == ("patch", "services"):  # type: ignore[index]  # a call is a tuple
            raise DeniedError("a policy refuses it")

    stage.server.change(kube.SERVICES, "digits", lambda body: body["spec"].update(selector={"a": "b"}))
    stage.api.before = before
    stage.settle()
    assert stage.condition("Ready")[:2] == ("False", "Refused")
    assert "a policy refuses it" in stage.condition("Ready")[2]
    stage.api.before = lambda _: None
    stage.after(61)
    assert (stage.target(), stage.condition("Ready")[0]) == (1, "True")


def test_what_cannot_be_read_of_a_list_is_left_out() -> None:
    stage = answering()
    for name in ("a", "b"):
        stage.server.create(kube.PODS, "default", {"metadata": {"name": name, "labels": {"of": "it"}}})

    def read(body: Object) -> str:
        name: str = body["metadata"]["name"]
        if name == "a":
            raise ValueError(name)
        return name

    owner = stage.store.owner(stage.key)
    assert owner is not None
    facts = stage.read(owner, Listed(kube.PODS, "of=it", read))
    assert facts.listed == {"of=it": ("b",)}


def test_of_a_list_without_end_no_more_is_read_than_can_be_of_use() -> None:
    stage = answering()
    for index in range(2 * MOST_LOOKED_AT):
        stage.server.create(kube.PODS, "default", {"metadata": {"name": f"p{index:05}", "labels": {"of": "it"}}})
    asked: list[str] = []

    def read(body: Object) -> str | None:
        asked.append(body["metadata"]["name"])
        return None if len(asked) <= MOST_LISTED else asked[-1]

    owner = stage.store.owner(stage.key)
    assert owner is not None
    facts = stage.read(owner, Listed(kube.PODS, "of=it", read))
    assert facts.listed == {"of=it": tuple(f"p{index:05}" for index in range(MOST_LISTED, 2 * MOST_LISTED))}
    asked.clear()
    none = stage.read(owner, Listed(kube.PODS, "of=it", lambda body: asked.append(body["metadata"]["name"])))
    assert none.listed == {"of=it": ()}
    assert MOST_LOOKED_AT <= len(asked) < 1.1 * MOST_LOOKED_AT, "whole pages are read"


def test_what_was_just_made_is_not_changed_before_a_watch_has_shown_it() -> None:
    stage = Stage()
    stage.turn()
    stage.server.events.clear()  # a watch that is silent
    for _ in range(3):
        stage.turn()
    assert [call for call in stage.server.writes if call.verb == "patch" and call.resource != "modeldeployments"] == []
