"""The engine, with the smallest of kinds: what is decided is carried out, and what goes wrong is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.facts import MOST_GETS
from headway_operator.engine.keys import Key, Ref
from headway_operator.engine.kinds import Owner, View
from headway_operator.engine.kube import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    Resource,
    RetryableError,
)
from headway_operator.engine.reconcile import Reconciler
from headway_operator.engine.steps import (
    Decision,
    DeleteOwned,
    Ensure,
    EnsureShared,
    EventsAbout,
    Exists,
    Notice,
    Stage,
    StatusWrite,
    Verify,
)
from headway_operator.engine.store import News, Store
from sim.builders import T0
from sim.fakes.api import ApiServer, Call, FakeKube
from tiny import TINIES, Tinies, config_map

KEY = Key("Tiny", "default", "one")
NAME = "one-copy"


class Scripted(Tinies):
    """A kind that decides as a test says."""

    makes: tuple[Resource, ...] = (kube.SECRETS,)

    def __init__(self, decide: Callable[[View], Decision]) -> None:
        self._decide = decide

    def plan(self, view: View) -> Decision:
        """As the test says."""
        return self._decide(view)


class Site:
    """An API server with one Tiny, and an engine that reconciles it when told to."""

    def __init__(self, kind: Tinies | None = None) -> None:
        self.now = T0
        self.server = ApiServer(lambda: self.now)
        self.api = FakeKube(self.server)
        self.notices: list[str] = []
        self.store = Store((kind or Tinies(),))
        self.reconciler = Reconciler(self.api, self.store, self, lambda: self.now)
        body = {"apiVersion": TINIES.api_version, "kind": "Tiny", "metadata": {"name": "one", "generation": 1}}
        self.uid = self.server.create(TINIES, "default", {**body, "spec": {"text": "hello"}})["metadata"]["uid"]
        self.watch()

    def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:
        assert (owner.uid, api_version) == (self.uid, TINIES.api_version)
        self.notices += [notice.reason for notice in notices]

    def watch(self) -> None:
        by_name = {resource.plural: resource for resource in self.store.resources()}
        for event in self.server.events:
            if event.resource in by_name:
                self.store.see(by_name[event.resource], event.type, event.body, self.now)  # type: ignore[arg-type]
        self.server.events.clear()

    def reconcile(self) -> float | None:
        return asyncio.run(self.reconciler.reconcile(KEY))

    def refuse(self, error: Exception, verb: str = "create", *, naming: str = "") -> None:
        def before(call: Call) -> None:
            if call.verb == verb and naming in call.name:
                raise error

        self.api.before = before

    def status(self) -> dict[str, Any]:
        body = self.server.find(TINIES, "one")
        assert body is not None
        return body.get("status") or {}

    def posts(self) -> list[str]:
        return [call.name for call in self.api.calls if call.verb == "create"]


def named(owner: Owner, name: str) -> Ensure:
    """A Secret of the owner, which nobody watches."""
    body = config_map(owner, "x")
    body["metadata"]["name"] = name
    return Ensure(kube.SECRETS, body)


def many(view: View, count: int) -> Decision:
    """So many Secrets; those that were refused a moment ago are waited for."""
    names = [f"s{number}" for number in range(count)]
    made = {name for _, name in view.made}
    held = [name for name in names if name in view.refusals and view.refusals[name].retry_at > view.now]
    wanted = [name for name in names if name not in made and name not in held]
    phase = "Refused" if held else "Ready"
    status = {"phase": phase, "held": len(held)}
    write = StatusWrite(status, lambda: status, phase) if view.owner.status.value() != status else None
    wake = min((view.refusals[name].retry_at for name in held), default=None)
    return Decision(stages=(Stage(tuple(named(view.owner, name) for name in wanted)),), status=write, wake=wake)


def test_a_second_kind_takes_a_few_lines() -> None:
    site = Site()
    while site.reconcile() is not None:
        site.watch()
    copy = site.server.find(kube.CONFIG_MAPS, NAME)
    assert copy is not None
    assert copy["data"] == {"text": "hello"}
    assert site.status()["text"] == "hello"
    assert site.notices == ["Ready"]
    site.server.change(TINIES, "one", lambda body: body["spec"].update(text="good-bye"))
    for _ in range(4):
        site.watch()
        site.reconcile()
    assert site.status()["text"] == "good-bye"
    copy = site.server.find(kube.CONFIG_MAPS, NAME)
    assert copy is not None
    assert copy["data"] == {"text": "good-bye"}


def test_after_a_conflict_the_object_is_read_as_the_watch_may_be_late() -> None:
    site = Site(Scripted(lambda view: Decision(status=StatusWrite({"of": view.owner.uid}, dict, "Ready"))))
    site.server.delete(TINIES, "one")
    body = {"apiVersion": TINIES.api_version, "kind": "Tiny", "metadata": {"name": "one", "generation": 1}}
    again = site.server.create(TINIES, "default", {**body, "spec": {"text": "hello"}})["metadata"]["uid"]
    site.post = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        site.reconcile()
    site.reconcile()  # no watch has shown the other one
    assert site.status() == {"of": again}


class TestMaking:
    @pytest.mark.parametrize("verb", ["create", "get"])
    def test_a_child_that_may_have_been_made_without_an_answer_is_looked_for_before_anything_is_decided(
        self, verb: str
    ) -> None:
        seen: list[list[str]] = []

        def plan(view: View) -> Decision:
            seen.append([copy.name for copies in view.children.values() for copy in copies])
            copy = Ensure(kube.CONFIG_MAPS, config_map(view.owner, "hello"))
            return Decision(stages=(Stage((copy,)),)) if not seen[-1] else Decision()

        site = Site(Scripted(plan))

        def lost(call: Call) -> None:
            if call.verb == "create":
                raise RetryableError("no answer")

        def faulty(call: Call) -> None:
            if call.verb == "get":
                raise RetryableError("no answer")

        if verb == "create":
            site.api.after = lost
        else:
            # Another process made it, and this one can not read it.
            site.server.create(kube.CONFIG_MAPS, "default", config_map(site.store.owner(KEY), "hello"))  # type: ignore[arg-type]
            site.api.before = faulty
        with pytest.raises(RetryableError):
            site.reconcile()
        site.api.before = site.api.after = lambda call: None  # noqa: ARG005 - nothing goes wrong
        site.api.calls.clear()
        site.reconcile()  # the watch has shown nothing yet
        assert seen == [[], [NAME]]
        site.reconcile()
        assert [call.verb for call in site.api.calls].count("list") == 1, "it is looked for once"

    def test_what_is_refused_is_asked_for_in_growing_numbers(self) -> None:
        site = Site(Scripted(lambda view: many(view, 100)))
        site.refuse(DeniedError("exceeded quota"))
        asked = []
        for _ in range(3):
            site.api.calls.clear()
            due = site.reconcile()
            asked.append(len(site.posts()))
            assert due is not None
            site.now = due
        assert asked[0] <= 16
        assert asked[1:] == [1, 1]
        assert site.status() == {"phase": "Refused", "held": 100}
        site.refuse(DeniedError("exceeded quota"), naming="s2")
        site.api.calls.clear()
        site.reconcile()
        assert site.posts() == ["s0", "s1", "s2"], "one, then two; nothing after a refusal"

    def test_a_quota_that_refuses_for_a_quarter_of_an_hour_is_asked_a_few_dozen_times(self) -> None:
        site = Site(Scripted(lambda view: many(view, 500)))
        site.refuse(DeniedError("exceeded quota"))
        while site.now < T0 + 900:
            site.now = site.reconcile() or T0 + 900
        assert len(site.posts()) <= 40

    def test_a_stage_that_is_refused_keeps_later_ones_from_making_anything(self) -> None:
        def plan(view: View) -> Decision:
            if view.refusals:
                return Decision(status=StatusWrite({"told": sorted(view.refusals)}, dict, "Ready"))
            return Decision(stages=(Stage((named(view.owner, "a"),)), Stage((named(view.owner, "b"),))))

        site = Site(Scripted(plan))
        site.refuse(InvalidError("no such field"), naming="a")
        site.reconcile()
        assert site.posts() == ["a"]
        assert site.status() == {"told": ["a", "b"]}, "what was not asked for counts as refused"

    def test_one_that_is_taken_does_not_make_the_others_forgotten(self) -> None:
        site = Site(Scripted(lambda view: many(view, 3)))
        site.refuse(DeniedError("exceeded quota"), naming="s1")
        site.reconcile()
        assert site.status()["held"] >= 1
        assert site.server.find(kube.SECRETS, "s0") is not None

    def test_what_must_not_be_refused_is_an_error(self) -> None:
        site = Site(Scripted(lambda view: Decision(stages=(Stage((replace(named(view.owner, "a"), must=True),)),))))
        site.refuse(DeniedError("no"))
        with pytest.raises(DeniedError):
            site.reconcile()

    def test_an_object_of_that_name_that_is_not_ours_is_a_refusal_and_stays(self) -> None:
        site = Site(Scripted(lambda view: many(view, 1)))
        theirs = {"metadata": {"name": "s0", "ownerReferences": [{"uid": site.uid}]}}
        site.server.create(kube.SECRETS, "default", theirs)
        site.reconcile()
        assert site.status()["phase"] == "Refused", "an owner that is no controller makes nothing ours"
        site.now += 600
        assert site.server.find(kube.SECRETS, "s0") is not None

    def test_a_dry_run_makes_nothing_and_its_refusal_is_one(self) -> None:
        def plan(view: View) -> Decision:
            if view.refusals:
                return Decision(status=StatusWrite({"said": view.refusals["a"].kind}, dict, ""))
            dry = replace(named(view.owner, "a"), dry_run=True)
            return Decision(stages=(Stage((dry,)), Stage((named(view.owner, "b"),))))

        site = Site(Scripted(plan))
        site.refuse(InvalidError("spec.x: unknown"), naming="a")
        site.reconcile()
        assert site.status() == {"said": "Invalid"}
        assert site.server.of(kube.SECRETS) == []

    def test_what_a_namespace_shares_is_asked_for_once_in_a_while(self) -> None:
        shared = EnsureShared(kube.SERVICE_ACCOUNTS, {"metadata": {"name": "shared"}})
        site = Site(Scripted(lambda _: Decision(stages=(Stage((shared,)),))))
        for _ in range(3):
            site.reconcile()
        assert site.posts() == ["shared"]
        site.now += 601
        site.reconcile()
        assert site.posts() == ["shared", "shared"], "somebody may have deleted it"

    def test_nothing_is_made_for_an_object_that_has_changed_since_it_was_decided(self) -> None:
        def plan(view: View) -> Decision:
            # While a stage is carried out, the user changes the spec, and the watch shows it.
            first = replace(named(view.owner, "a"))
            return Decision(stages=(Stage((first,)), Stage((named(view.owner, "b"),))))

        site = Site(Scripted(plan))

        def after(call: Call) -> None:
            if call.name == "a":
                site.server.change(TINIES, "one", lambda body: body["spec"].update(text="other"))
                site.server.change(TINIES, "one", lambda body: body["metadata"].update(generation=2))
                site.watch()

        site.api.after = after
        with pytest.raises(ConflictError):
            site.reconcile()
        assert site.posts() == ["a"]


class TestReading:
    def test_what_is_read_is_there_for_the_next_decision_and_is_read_once(self) -> None:
        seen: list[Any] = []

        def plan(view: View) -> Decision:
            seen.append((view.facts.verified, dict(view.facts.existing)))
            secret = Ref(kube.SECRETS, "s0")
            return Decision(reads=(Verify((Ref(kube.CONFIG_MAPS, NAME),)), Exists((secret,))), wake=view.now + 9)

        site = Site(Scripted(plan))
        assert site.reconcile() == T0 + 9
        assert seen == [(False, {}), (True, {Ref(kube.SECRETS, "s0"): False})]

    def test_a_decision_that_asks_for_more_and_more_is_a_mistake(self) -> None:
        counter = iter(range(100))
        site = Site(Scripted(lambda _: Decision(reads=(Exists((Ref(kube.SECRETS, f"s{next(counter)}"),)),))))
        with pytest.raises(RuntimeError, match="asks for more"):
            site.reconcile()

    def test_a_child_that_is_gone_unseen_is_found_to_be(self) -> None:
        site = Site()
        site.reconcile()
        site.server.remove(kube.CONFIG_MAPS, NAME)
        site.server.events.clear()
        children: list[int] = []

        def plan(view: View) -> Decision:
            children.append(len(view.children[kube.CONFIG_MAPS]))
            return Decision(reads=(Verify(),))

        site.store.kinds["Tiny"] = Scripted(plan)
        site.reconcile()
        assert children == [1, 0]

    def test_of_many_children_all_are_read_by_one_list_and_some_of_those_that_it_lacks_by_their_names(self) -> None:
        names = tuple(Ref(kube.CONFIG_MAPS, f"{number}-copy") for number in range(40))
        site = Site(Scripted(lambda _: Decision(reads=(Verify(names),))))
        site.reconcile()
        assert [(call.verb, call.name) for call in site.api.calls] == [
            ("list", ""),
            *(("get", ref.name) for ref in names[:MOST_GETS]),
        ]

    def test_what_has_lost_its_labels_is_found_by_its_name_beside_a_list(self) -> None:
        children: list[int] = []

        def plan(view: View) -> Decision:
            children.append(len(view.children[kube.CONFIG_MAPS]))
            return Decision(reads=(Verify((Ref(kube.CONFIG_MAPS, NAME),), whole=True),))

        site = Site()
        site.reconcile()
        site.server.change(kube.CONFIG_MAPS, NAME, lambda body: body["metadata"].update(labels={}), "default")
        site.store = Store((Scripted(plan),))
        site.reconciler = Reconciler(site.api, site.store, site, lambda: site.now)
        site.store.see(TINIES, None, site.server.of(TINIES)[0], site.now)
        site.reconcile()
        assert children == [0, 1]

    def test_where_the_object_itself_is_gone_nothing_of_it_is_missing(self) -> None:
        site = Site(Scripted(lambda _: Decision(reads=(Exists((Ref(kube.SECRETS, "s0"),)),))))
        site.server.remove(TINIES, "one")
        with pytest.raises(NotFoundError):
            site.reconcile()

    def test_the_newest_event_about_an_object_is_found(self) -> None:
        found: list[Any] = []

        def plan(view: View) -> Decision:
            found.append(dict(view.facts.events))
            return Decision(reads=(EventsAbout((Ref(kube.CONFIG_MAPS, NAME),), ("TriggeredScaleUp",)),))

        site = Site(Scripted(plan))
        for number, (name, reason) in enumerate(
            [(NAME, "TriggeredScaleUp"), ("other", "TriggeredScaleUp"), (NAME, "Scheduled"), (NAME, "TriggeredScaleUp")]
        ):
            event = {
                "metadata": {"name": f"e{number}"},
                "regarding": {"kind": "ConfigMap", "name": name},
                "reason": reason,
                "eventTime": f"2026-01-01T00:00:0{number}Z",
            }
            site.server.create(kube.EVENTS, "default", event)
        site.reconcile()
        assert found == [{}, {Ref(kube.CONFIG_MAPS, NAME): 1_767_225_603.0}]

    def test_events_that_may_not_be_read_are_none(self) -> None:
        site = Site(Scripted(lambda _: Decision(reads=(EventsAbout((Ref(kube.PODS, "p"),), ("X",)),), wake=1.0)))
        site.refuse(DeniedError("events is forbidden"), "list")
        assert site.reconcile() == 1.0


class TestStatus:
    def test_a_status_that_is_refused_is_written_without_what_is_not_essential_and_the_rest_is_done(self) -> None:
        views: list[bool] = []

        def plan(view: View) -> Decision:
            views.append(view.status_refused)
            whole = {"phase": "Ready", "progress": {"step": 10**30}}
            return Decision(
                status=StatusWrite(whole, lambda: {"phase": "Ready"}, "Ready"), notices=(Notice("Ready", "x"),)
            )

        site = Site(Scripted(plan))

        def before(call: Call) -> None:
            if call.verb == "patch" and len([each for each in site.api.calls if each.verb == "patch"]) == 1:
                raise InvalidError("status.progress.step: Invalid value")

        site.api.before = before
        site.reconcile()
        assert site.status() == {"phase": "Ready"}
        assert site.notices == ["Ready"]
        site.reconcile()
        site.now += 61
        site.reconcile()
        assert views == [False, True, False], "what was refused is left out for a while"

    def test_an_error_of_ours_is_said_once_and_keeps_the_rest_of_the_status(self) -> None:
        site = Site()
        while site.reconcile() is not None:
            site.watch()
        for _ in range(2):
            asyncio.run(site.reconciler.tell_error(KEY, TypeError("unhashable type: 'dict'\nat line 7")))
        status = site.status()
        (condition,) = status["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == ("Reconciled", "False", "OperatorError")
        assert condition["message"].startswith("TypeError: unhashable type: 'dict'; ")
        assert "line 7" not in condition["message"]
        assert status["text"] == "hello"
        assert sum(call.verb == "patch" for call in site.api.calls) == 2

    def test_news_that_can_wait_are_due_with_the_next_write(self) -> None:
        site = Site()
        assert site.reconciler.due(News(KEY, can_wait=True)) is None
        while site.reconcile() is not None:
            site.watch()
        assert site.reconciler.due(News(KEY, can_wait=True)) == T0 + 2
        assert site.reconciler.due(News(KEY)) is None

    def test_news_that_change_nothing_in_the_status_are_acted_upon_no_more_often_than_others(self) -> None:
        site = Site()
        while site.reconcile() is not None:
            site.watch()
        site.now += 60
        assert site.reconciler.due(News(KEY, can_wait=True)) == T0 + 2, "nothing was done for a minute: at once"
        site.reconcile()
        assert site.reconciler.due(News(KEY, can_wait=True)) == T0 + 62

    def test_after_a_restart_news_that_can_wait_do_so_though_nothing_was_written_yet(self) -> None:
        site = Site()
        while site.reconcile() is not None:
            site.watch()
        again = Reconciler(site.api, site.store, site, lambda: site.now)
        assert again.due(News(KEY, can_wait=True)) is None
        site.now += 60
        asyncio.run(again.reconcile(KEY))
        due = again.due(News(KEY, can_wait=True))
        assert due is not None
        assert T0 + 60 < due <= T0 + 62, "it was written at some time within the last interval, as far as is known"

    def test_a_process_that_takes_over_spreads_the_writes_that_can_wait_over_their_interval(self) -> None:
        site = Site()
        while site.reconcile() is not None:
            site.watch()
        known = site.store.owner(KEY)
        assert known is not None
        again = Reconciler(site.api, site.store, site, lambda: site.now)
        due = []
        for number in range(1000):
            again._memories.clear()
            memory = again._memory(replace(known, uid=f"uid-{number}"))
            assert memory.last_write is not None
            due.append(memory.last_write + again.write_interval("Tiny") - T0)
        assert 0 < min(due) < 0.1
        assert 1.9 < max(due) <= 2
        assert 400 < sum(one < 1 for one in due) < 600

    def test_news_that_are_awaited_are_due_sooner_and_still_not_as_often_as_they_come(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = Site()
        while site.reconcile() is not None:
            site.watch()
        monkeypatch.setattr(type(site.store.kinds["Tiny"].measures), "awaits", lambda *_: True)
        assert site.reconciler.due(News(KEY, can_wait=True)) == T0 + 1

    def test_nothing_is_remembered_of_an_object_that_is_gone(self) -> None:
        site = Site()
        site.reconcile()
        assert len(site.reconciler) == 1
        site.server.remove(TINIES, "one")
        site.watch()
        site.reconcile()
        assert len(site.reconciler) == 0


class TestTakingAway:
    def test_an_unwatched_object_is_deleted_only_if_it_is_ours(self) -> None:
        gone = Decision(stages=(Stage((DeleteOwned(Ref(kube.SECRETS, "s0")),)),))
        site = Site(Scripted(lambda _: gone))
        site.server.create(kube.SECRETS, "default", {"metadata": {"name": "s0"}})
        site.reconcile()
        assert site.server.find(kube.SECRETS, "s0") is not None
        site = Site(Scripted(lambda view: many(view, 1)))
        site.reconcile()
        site.store.kinds["Tiny"] = Scripted(lambda _: gone)
        site.reconcile()
        assert site.server.find(kube.SECRETS, "s0") is None

    def test_an_api_server_that_does_not_answer_is_an_error(self) -> None:
        site = Site(Scripted(lambda view: many(view, 40)))
        site.refuse(RetryableError("429", 3))
        with pytest.raises(RetryableError):
            site.reconcile()
        assert len(site.posts()) <= 16, "no further ones are begun"


def test_the_children_of_an_object_that_became_known_late_are_read_before_anything_is_decided() -> None:
    site = Site()
    while site.reconcile() is not None:
        site.watch()
    body = site.server.find(TINIES, "one")
    assert body is not None
    site.store.drop_namespace("default")
    site.store.see(TINIES, None, body, site.now)
    site.api.calls.clear()
    site.reconcile()
    assert [call.verb for call in site.api.calls] == ["list"]
    known = site.store.owner(KEY)
    assert known is not None
    assert len(site.store.children(known)[kube.CONFIG_MAPS]) == 1
    site.api.calls.clear()
    site.reconcile()
    assert site.api.calls == []


def test_nothing_is_read_for_an_object_that_was_known_before_its_children() -> None:
    site = Site()
    while site.reconcile() is not None:
        site.watch()
    assert site.status()["phase"] == "Ready"
    site.watch()
    site.reconcile()
    assert "list" not in {call.verb for call in site.api.calls}
