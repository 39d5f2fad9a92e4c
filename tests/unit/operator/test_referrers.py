"""What objects say of others: small, newest only, told to whom it is about, and kept until that is recorded."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_operator.engine import kube
from headway_operator.engine.comparison import Comparison
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Referrer
from headway_operator.engine.kube import Resource
from headway_operator.engine.referrers import MOST_GONE
from headway_operator.engine.store import News, Store
from headway_operator.serving import records
from sim.builders import T0
from sim.fakes.api import ApiServer, FakeKube
from tiny import TINIES, Tinies
from unit.operator.bodies import job_body, training_jobs

ONE = Key("Tiny", "default", "one")
NOTES = Resource("tiny.headway.dev", "v1", "notes", "Note")
OTHER = "b" * 36


@dataclass(frozen=True)
class Said:
    """A note about a Tiny."""

    uid: str
    refers_to: str
    text: str


def read(body: Mapping[str, Any]) -> Said | None:
    """What a note says; one that names nothing says nothing, and one without a spec cannot be read."""
    about = body["spec"].get("about")
    return Said(body["metadata"]["uid"], about, body["spec"].get("text", "")) if about else None


class Heeding(Tinies):
    """Tinies that heed notes and jobs."""

    referrers: tuple[Referrer, ...] = (Referrer(NOTES, read), Referrer(kube.JOBS, records.offer))


def note(version: int = 1, about: str = "one", *, name: str = "n", uid: str = "n1", **spec: Any) -> dict[str, Any]:
    meta = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"about": about, **spec}}


def tiny(name: str = "one") -> dict[str, Any]:
    return {"metadata": {**job_body()["metadata"], "name": name, "uid": f"uid-of-{name}"}, "spec": {"text": "a"}}


def store_of(*tinies: str, unreadable: list[str] | None = None) -> Store:
    told = [] if unreadable is None else unreadable
    store = Store((Heeding(), training_jobs()), unreadable=told.append)
    for name in tinies:
        store.take_in(TINIES, "ADDED", tiny(name), T0)
    return store


def said(store: Store, name: str = "one") -> list[str]:
    """The texts about a Tiny."""
    owner = store.owner(ONE._replace(name=name))
    return [each.text for each in store.references(owner)] if owner is not None else []


def test_all_objects_that_may_name_one_are_watched_and_once_where_they_are_a_kind_s_own() -> None:
    assert store_of().resources()[NOTES] == ""
    assert store_of().resources()[kube.JOBS] == ""


def test_an_object_wakes_the_one_that_it_names_and_no_other() -> None:
    store = store_of("one", "two")
    assert store.take_in(NOTES, "ADDED", note(text="a"), T0) == (News(ONE),)
    assert (said(store), said(store, "two")) == (["a"], [])
    assert store.take_in(NOTES, "ADDED", note(about="", name="silent", uid="s"), T0) == ()


def test_an_object_that_says_what_it_said_before_wakes_nobody() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(1, text="a"), T0)
    assert store.take_in(NOTES, "MODIFIED", note(2, text="a"), T0) == ()
    assert store.take_in(NOTES, "MODIFIED", note(3, text="b"), T0) == (News(ONE),)


def test_what_is_said_of_nobody_is_known_once_that_one_is_made() -> None:
    store = store_of()
    assert store.take_in(NOTES, "ADDED", note(text="a"), T0) == ()
    store.take_in(TINIES, "ADDED", tiny(), T0)
    assert said(store) == ["a"]


def test_an_object_is_about_one_of_its_own_namespace() -> None:
    store, foreign = store_of("one"), note(text="a")
    foreign["metadata"]["namespace"] = "elsewhere"
    assert store.take_in(NOTES, "ADDED", foreign, T0) == ()
    assert said(store) == []


def test_an_object_that_names_another_one_now_wakes_both() -> None:
    store = store_of("one", "two")
    store.take_in(NOTES, "ADDED", note(1, text="a"), T0)
    news = store.take_in(NOTES, "MODIFIED", note(2, about="two", text="a"), T0)
    assert news == (News(ONE), News(ONE._replace(name="two")))
    assert (said(store), said(store, "two")) == ([], ["a"])


def test_older_words_never_replace_newer_ones_and_none_come_back_after_the_end() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(5, text="new"), T0)
    assert store.take_in(NOTES, None, note(4, text="old"), T0) == ()
    assert said(store) == ["new"]
    store.take_in(NOTES, "DELETED", note(7, text="new"), T0)
    store.forget(ONE, ("n1",))
    assert store.take_in(NOTES, "MODIFIED", note(6, text="late"), T0) == ()
    assert said(store) == []


def test_last_words_are_kept_until_they_are_recorded() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(1, text="a"), T0)
    assert store.take_in(NOTES, "DELETED", note(2, text="a"), T0) == (News(ONE),)
    assert said(store) == ["a"]
    store.forget(ONE, ("another",))
    assert said(store) == ["a"]
    store.forget(ONE, ("n1",))
    assert said(store) == []


def test_last_words_that_only_the_end_shows_are_heard() -> None:
    store = store_of("one")
    assert store.take_in(NOTES, "DELETED", note(9, text="only now"), T0) == (News(ONE),)
    assert said(store) == ["only now"]
    store.take_in(NOTES, "ADDED", note(10, uid="n2", about=""), T0)
    store.take_in(NOTES, "DELETED", note(12, uid="n2", text="at last"), T0)
    assert sorted(said(store)) == ["at last", "only now"]


def test_last_words_are_heard_although_a_list_has_shown_before_that_the_object_is_gone() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(1, about=""), T0)
    for key, ref, uid in store.missing(NOTES, set(), 3, lambda _: True):
        store.drop_ghost(key, ref, uid)
    assert store.take_in(NOTES, "DELETED", note(3, text="late"), T0) == (News(ONE),)
    assert said(store) == ["late"]


def test_what_an_object_had_taken_back_before_its_end_is_not_said() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(1, text="a"), T0)
    assert store.take_in(NOTES, "DELETED", note(3, about=""), T0) == (News(ONE),)
    assert said(store) == []


def test_an_object_that_was_made_anew_unseen_has_said_its_last_words() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(1, text="first"), T0)
    store.take_in(NOTES, "MODIFIED", note(5, uid="n2", text="second"), T0)
    assert sorted(said(store)) == ["first", "second"]
    store.forget(ONE, ("n1", "n2"))
    assert said(store) == ["second"]


def test_of_nobody_and_of_many_no_more_is_kept_than_there_is_use_for() -> None:
    store = store_of("one")
    for number in range(MOST_GONE + 50):
        body = note(number + 1, name=f"n{number}", uid=f"n{number}", text=str(number))
        store.take_in(NOTES, "DELETED", body, T0)
        body["spec"]["about"] = "nobody"
        body["metadata"]["uid"] = f"m{number}"
        store.take_in(NOTES, "DELETED", body, T0)
    assert said(store) == [str(number) for number in range(50, MOST_GONE + 50)]
    store.take_in(TINIES, "ADDED", tiny("nobody"), T0)
    assert said(store, "nobody") == []


def test_an_object_that_is_deleted_needs_no_last_words() -> None:
    store = store_of("one")
    store.take_in(NOTES, "DELETED", note(1, text="a"), T0)
    store.take_in(TINIES, "DELETED", tiny(), T0)
    store.take_in(TINIES, "ADDED", {**tiny(), "metadata": {**tiny()["metadata"], "uid": OTHER}}, T0)
    assert said(store) == []


def test_nothing_is_known_of_a_namespace_that_is_lost() -> None:
    store = store_of("one")
    store.take_in(NOTES, "ADDED", note(1, text="a"), T0)
    store.take_in(NOTES, "DELETED", note(2, name="m", uid="m", text="b"), T0)
    store.drop_namespace("default")
    store.take_in(TINIES, "ADDED", tiny(), T0)
    assert said(store) == []
    assert store.take_in(NOTES, None, note(1, text="a"), T0) == (News(ONE),), "it is news again"


def test_an_unreadable_object_is_left_out_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="headway_operator.engine.store")
    told: list[str] = []
    store = store_of("one", unreadable=told)
    store.take_in(NOTES, "ADDED", note(1, text="a"), T0)
    broken = note(2)
    broken["spec"] = None
    with caplog.at_level(logging.WARNING, logger="headway_operator"):
        assert store.take_in(NOTES, "MODIFIED", broken, T0) == (News(ONE),)
    assert (said(store), told) == ([], ["notes"])
    assert not store.is_news(NOTES, broken), "or it would be read again and again"
    assert caplog.text.count("cannot be read") == 1
    junk: Any
    for junk in (None, 7, "x", [], {"name": 3}):
        store.take_in(NOTES, "MODIFIED", {"metadata": junk, "spec": junk}, T0)
        store.take_in(NOTES, "DELETED", {**broken, "metadata": junk}, T0)
        assert not store.is_news(NOTES, {"metadata": junk})
    assert said(store) == []


def test_a_comparison_finds_what_the_watch_has_missed() -> None:
    server = ApiServer(lambda: T0)
    for name in ("one", "two"):
        server.create(TINIES, "default", {"metadata": {"name": name}, "spec": {"text": "a"}})
    server.create(NOTES, "default", {"metadata": {"name": "stays"}, "spec": {"about": "one", "text": "stays"}})
    store, added = Store((Heeding(),)), list[News]()
    freshness = Freshness(store.resources(), now=lambda: T0, namespaces=(), lag=lambda _, __: None)
    comparison = Comparison(FakeKube(server), store, freshness, add=added.append, namespaces=(), now=lambda: T0)

    async def look() -> None:
        await comparison.seed()
        added.clear()
        server.create(NOTES, "default", {"metadata": {"name": "new"}, "spec": {"about": "two", "text": "new"}})
        server.delete(NOTES, "stays")
        await comparison.compare()

    asyncio.run(look())
    assert {news.key.name for news in added} == {"one", "two"}
    assert (said(store), said(store, "two")) == (["stays"], ["new"])


words = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from("ab")), max_size=12)


@given(words, st.randoms(use_true_random=False))
def test_in_whatever_order_events_come_the_newest_words_stand(
    said_in_turn: list[tuple[int, int, str]], chance: Any
) -> None:
    """Of each name one object after another lives: all that it said, then its end, in versions that grow."""
    events, alive = [], dict[str, str]()
    for version, (name, uid, text) in enumerate(said_in_turn, 1):
        events.append(note(version, name=f"n{name}", uid=f"{name}-{uid}", text=text))
        alive[f"n{name}"] = f"{name}-{uid}" + text
    order = sorted(events, key=lambda _: chance.random())
    store = store_of("one")
    for body in order:
        store.take_in(NOTES, None, body, T0)
    owner = store.owner(ONE)
    assert owner is not None
    store.forget(ONE, [each.uid for each in store.references(owner)])
    assert sorted(each.uid + each.text for each in store.references(owner)) == sorted(alive.values())


def test_thousands_of_jobs_with_large_specs_cost_little() -> None:
    bundle = {"digest": f"sha256:{'a' * 64}", "persistentVolumeClaim": {"name": "models", "path": "default/j-12345678"}}
    store = Store((Heeding(),))
    tracemalloc.start()
    try:
        for number in range(5000):
            spec = {"publish": {"deployment": "one"}, "training": {"arguments": {"a": f"{number:07}" * 10_000}}}
            status = {"phase": "Succeeded", "completionTime": "2026-01-01T00:00:00Z", "result": {"bundle": bundle}}
            job = job_body(number + 1, uid=f"job-{number}", spec=spec, **status)
            job["metadata"]["name"] = f"j-{number}"
            store.take_in(kube.JOBS, "ADDED", job, T0)
        del job, spec, status
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    store.take_in(TINIES, "ADDED", tiny(), T0)
    owner = store.owner(ONE)
    assert owner is not None
    assert len(store.references(owner)) == 5000
    assert grown < 10_000_000
