"""The store: never older knowledge over newer, no ghosts, our own writes at once, no harm by what anybody writes."""

from __future__ import annotations

import logging
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.keys import Key, Ref
from headway_operator.engine.packed import LARGEST
from headway_operator.engine.store import News, Store
from headway_operator.training import records
from headway_operator.training.plan.model import Pod
from sim.builders import T0, UID
from tiny import TINIES, Tinies
from unit.operator.bodies import CONFIG, HEAD, KEY, config_body, job_body, owner, pod_body, training_jobs

OTHER = UID[::-1]
NEWS = News(KEY)


def seen(**status: Any) -> Store:
    """A store that knows a job."""
    store = Store((training_jobs(),))
    store.see(kube.JOBS, "ADDED", job_body(**status), T0)
    return store


def pods(store: Store) -> list[Pod]:
    """The pods that are known of the job."""
    known = store.owner(KEY)
    return list(store.children(known)[kube.PODS]) if known is not None else []


def see_pod(store: Store, event: Any, body: dict[str, Any], now: float = T0) -> News | None:
    return store.see(kube.PODS, event, body, now)


def ghosts(store: Store, seen: set[str], version: int, *, within: bool = True) -> list[Key]:
    """Drop what a list of that version did not hold."""
    found = store.missing(kube.PODS, seen, version, lambda _: within)
    for key, ref, uid in found:
        store.drop_ghost(key, ref, uid)
    return [key for key, _, _ in found]


def test_news_names_the_key_and_repetitions_are_no_news() -> None:
    store = seen()
    assert see_pod(store, "ADDED", pod_body(5)) == NEWS
    assert see_pod(store, None, pod_body(5)) is None
    assert see_pod(store, "MODIFIED", pod_body(6)) == NEWS


def test_older_knowledge_never_replaces_newer() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(6, phase="Running"))
    assert see_pod(store, "MODIFIED", pod_body(5, phase="Pending")) is None
    assert pods(store)[0].phase == "Running"


def test_a_deleted_pod_s_last_state_is_kept_until_it_is_recorded() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    ended = {"name": "main", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
    see_pod(store, "DELETED", pod_body(6, phase="Failed", containerStatuses=[ended]))
    (pod,) = pods(store)
    assert pod.gone
    assert pod.end is not None
    assert pod.end.exit_code == 3
    store.forget(KEY, (pod.uid,))
    assert pods(store) == []


def test_a_last_state_that_comes_after_a_list_without_the_pod_is_taken_in_all_the_same() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    assert ghosts(store, set(), 9) == [KEY]
    ended = {"name": "main", "state": {"terminated": {"exitCode": 1, "message": "KeyError"}}}
    assert see_pod(store, "DELETED", pod_body(8, phase="Failed", containerStatuses=[ended])) == NEWS
    (pod,) = pods(store)
    assert pod.gone
    assert pod.end is not None
    assert pod.end.message == "KeyError"


def _named(body: dict[str, Any], name: str) -> dict[str, Any]:
    return body | {"metadata": body["metadata"] | {"name": name}}


def _owned(body: dict[str, Any], owners: Any) -> dict[str, Any]:
    return body | {"metadata": body["metadata"] | {"ownerReferences": owners}}


@pytest.mark.parametrize(
    "body",
    [
        _owned(pod_body(5), []),
        _owned(pod_body(5), None),
        _owned(pod_body(5), owner("somebody else")),
        _owned(pod_body(5), owner(controller=False)),
        _owned(pod_body(5), owner(kind="Job")),
        _owned(pod_body(5), owner(job="other")),
        _named(pod_body(5), "a-copy"),
        _named(pod_body(5), f"{HEAD}-2"),
        _named(pod_body(5), HEAD.replace("digits", "other")),
        _named(pod_body(5), wire.object_name("digits", UID, 1)),
        pod_body(5, job_uid=OTHER),
    ],
    ids=[
        "no owner", "null", "another owner", "no controller", "another kind", "another job", "a copy", "a longer name",
        "another job's name", "no place", "an earlier job",
    ],
)  # fmt: skip
def test_labels_alone_make_nothing_ours(body: dict[str, Any]) -> None:
    store = seen()
    assert see_pod(store, "ADDED", body) is None
    assert pods(store) == []


def test_whose_a_pod_is_does_not_depend_on_its_labels() -> None:
    store = seen()
    body = pod_body(5)
    body["metadata"]["labels"] = {wire.LABEL_ATTEMPT: "7", wire.LABEL_ROLE: "worker"}
    assert see_pod(store, "ADDED", body) == NEWS
    assert [(pod.attempt, pod.role) for pod in pods(store)] == [(1, "head")]


def test_a_deleted_pod_does_not_come_back_by_an_answer_that_was_under_way() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    see_pod(store, "DELETED", pod_body(7))
    store.created(KEY, kube.PODS, {"metadata": pod_body(5)["metadata"]}, T0)
    see_pod(store, None, pod_body(6))
    assert [pod.gone for pod in pods(store)] == [True]


def test_a_pod_that_only_lost_its_label_is_found_again_by_its_name() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    # What a watch shows of an object that its selector takes no more: deleted, with the version of the change.
    see_pod(store, "DELETED", pod_body(6))
    assert [pod.gone for pod in pods(store)] == [True]
    read = pod_body(6)
    read["metadata"]["labels"] = {}
    assert see_pod(store, None, read) == NEWS
    assert [pod.gone for pod in pods(store)] == [False]


def test_what_is_to_be_looked_for_by_name_comes_in_the_order_in_which_it_went() -> None:
    store = seen()
    names = [wire.worker_name("digits", UID, 1, index, 0) for index in (5, 1, 4, 0, 3, 2, 6, 7)]
    for index, name in enumerate(names):
        see_pod(store, "ADDED", pod_body(5, uid=f"p{index}", name=name))
        see_pod(store, "DELETED", pod_body(6, uid=f"p{index}", name=name))
    taken = store.take_doubtful(KEY)
    assert [ref.name for ref in taken] == names
    assert store.take_doubtful(KEY) == ()
    store.doubt(KEY, taken[6:])
    assert [ref.name for ref in store.take_doubtful(KEY)] == names[6:]


def test_what_was_deleted_is_remembered_for_two_comparisons_and_not_for_ever() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    see_pod(store, "DELETED", pod_body(6))
    store.age()
    assert see_pod(store, None, pod_body(5)) is None
    store.age()
    assert see_pod(store, None, pod_body(5)) == NEWS


def test_who_deletes_without_end_is_remembered_for_the_newest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway_operator.engine.table.TOMBSTONES", 10)
    store = seen()
    for number in range(100):
        see_pod(store, "DELETED", pod_body(6, uid=f"p{number}"))
    assert see_pod(store, None, pod_body(5, uid="p99")) is None
    assert see_pod(store, None, pod_body(5, uid="p0")) == NEWS


def test_a_pod_that_we_created_counts_before_the_watch_shows_it() -> None:
    store = seen()
    store.created(KEY, kube.PODS, {"metadata": pod_body(5)["metadata"]}, T0)
    (pod,) = pods(store)
    assert (pod.phase, pod.attempt, pod.role) == ("Pending", 1, "head")
    assert see_pod(store, "ADDED", pod_body(5)) is None
    assert see_pod(store, "MODIFIED", pod_body(7)) == NEWS


def test_a_deletion_that_we_asked_for_counts_before_the_watch_shows_it() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    store.deleting(KEY, Ref(kube.PODS, HEAD), "p1", T0 + 30)
    assert pods(store)[0].deleting == T0 + 30
    store.see(kube.CONFIG_MAPS, "ADDED", config_body(5), T0)
    store.deleting(KEY, Ref(kube.CONFIG_MAPS, CONFIG), "c1", T0 + 30)
    known = store.owner(KEY)
    assert known is not None
    assert store.children(known)[kube.CONFIG_MAPS] == (), "a ConfigMap goes at once"


def test_ghosts_are_dropped_but_nothing_that_is_younger_than_the_list() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    assert ghosts(store, set(), 4) == []
    assert ghosts(store, {"p1"}, 9) == []
    assert ghosts(store, set(), 9, within=False) == []
    assert ghosts(store, set(), 9) == [KEY]
    assert [pod.gone for pod in pods(store)] == [True]


def test_a_status_that_we_write_counts_at_once_among_the_others() -> None:
    """The watch shows it later, which is no news: a gang would not give back what it holds for a job that waits."""
    store = seen()
    known = store.owner(KEY)
    assert known is not None
    store.wrote_status(KEY, known.uid, 9, {"phase": "Queued"}, "Queued")
    assert store.others(replace(known, flags=frozenset()))["lacks room"] == 1
    store.wrote_status(KEY, known.uid, 10, {"phase": "Running"}, "Running")
    assert store.others(known)["lacks room"] == 0


@pytest.mark.parametrize("scope", [None, "default"])
def test_what_had_gone_before_all_were_listed_is_not_brought_back_by_a_slow_watch(scope: str | None) -> None:
    """A process that takes over has no memory of it: it would count beside its replacement."""
    store = seen()
    store.listed(kube.PODS, scope, 20)
    for event in ("ADDED", "MODIFIED"):
        assert store.see(kube.PODS, event, pod_body(20), T0) is None
    assert not pods(store)
    assert store.see(kube.PODS, "ADDED", pod_body(21), T0) == NEWS
    assert len(pods(store)) == 1


def test_what_a_list_or_a_read_shows_is_there_however_old_it_is() -> None:
    store = seen()
    store.listed(kube.PODS, None, 20)
    assert store.see(kube.PODS, None, pod_body(5), T0) == NEWS
    assert store.see(kube.PODS, "MODIFIED", pod_body(6), T0) == NEWS


def test_what_a_watch_shows_late_does_not_bring_back_what_a_list_did_not_hold_any_more() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    assert ghosts(store, set(), 9) == [KEY]
    store.forget(KEY, [pod.uid for pod in pods(store)])
    store.age()
    for version in (7, 8):
        assert see_pod(store, "MODIFIED", pod_body(version)) is None
    assert pods(store) == []


def test_a_deletion_of_the_earlier_object_leaves_the_new_one_of_the_same_name() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(9, uid="new"))
    see_pod(store, "DELETED", pod_body(8, uid="old"))
    assert [pod.uid for pod in pods(store)] == ["new"]


def test_nothing_is_kept_of_a_job_that_is_gone_and_nothing_goes_over_to_one_of_its_name() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    store.see(kube.JOBS, "DELETED", job_body(6), T0)
    see_pod(store, "DELETED", pod_body(7))
    assert store.owner(KEY) is None
    store.see(kube.JOBS, "ADDED", job_body(8, uid=OTHER), T0)
    see_pod(store, "MODIFIED", pod_body(9))
    assert pods(store) == []


def test_children_of_a_job_that_has_gone_while_they_were_looked_for_are_doubted_no_more() -> None:
    store = seen()
    store.see(kube.JOBS, "DELETED", job_body(6), T0)
    store.doubt(KEY, (Ref(kube.PODS, HEAD),))
    assert store.take_doubtful(KEY) == ()


def test_a_job_that_was_made_anew_unseen_inherits_nothing() -> None:
    store = seen()
    see_pod(store, "ADDED", pod_body(5))
    store.see(kube.JOBS, "MODIFIED", job_body(8, uid=OTHER), T0)
    assert pods(store) == []
    assert store.busy("TrainingJob") == 0


def test_our_own_status_write_is_no_news_when_it_comes_back() -> None:
    store = seen()
    store.wrote_status(KEY, UID, 4, {"phase": "Running"}, "Running")
    assert store.phases("TrainingJob") == {"Running": 1}
    assert store.see(kube.JOBS, "MODIFIED", job_body(4, phase="Running"), T0) is None
    assert store.see(kube.JOBS, "MODIFIED", job_body(5, phase="Running"), T0) == NEWS


def test_phases_and_flags_are_counted_as_objects_come_change_and_go() -> None:
    store = seen(phase="Queued")
    known = store.owner(KEY)
    assert known is not None
    assert store.phases("TrainingJob") == {"Queued": 1}
    assert sum(store.others(known).values()) == 0, "the job itself is none of the others"
    body = job_body(2, uid=OTHER, phase="Queued")
    body["metadata"]["name"] = "second"
    store.see(kube.JOBS, "ADDED", body, T0)
    assert sum(store.others(known).values()) == 1
    store.see(kube.JOBS, "DELETED", body, T0)
    assert sum(store.others(known).values()) == 0
    assert store.phases("TrainingJob") == {"Queued": 1}


def test_what_only_says_how_far_a_driver_is_can_wait_and_its_first_and_last_report_cannot() -> None:
    store = seen()
    reports = ("", '{"step":1}', '{"step":2}', '{"step":3,"outcome":{}}')
    news = [store.see(kube.CONFIG_MAPS, None, config_body(5 + n, text), T0) for n, text in enumerate(reports)]
    assert [each.can_wait if each else None for each in news] == [False, False, True, False]


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("x" * (records.PROGRESS_LIMIT + 1), id="too long to be read"),
        pytest.param("", id="nothing"),
        pytest.param('{"metrics":{"outcome":"0.5"}}', id="a metric called outcome"),
    ],
)
def test_a_driver_wakes_nobody_by_saying_the_like_again_and_again(word: str) -> None:
    store, steady = seen(), '{"step":1}'
    words = (steady, word, steady, word, steady, word)
    news = [store.see(kube.CONFIG_MAPS, None, config_body(5 + n, text), T0) for n, text in enumerate(words)]
    assert [each.can_wait for each in news[2:] if each] == [True] * 4


def test_several_kinds_live_in_one_store() -> None:
    store = Store((training_jobs(), Tinies()))
    assert set(store.resources()) == {kube.JOBS, TINIES, kube.PODS, kube.CONFIG_MAPS}
    tiny = {"metadata": job_body()["metadata"], "spec": {"text": "a"}}
    store.see(kube.JOBS, "ADDED", job_body(), T0)
    assert store.see(TINIES, "ADDED", tiny, T0) == News(Key("Tiny", "default", "digits"))
    assert sorted(key.kind for key in store.owners()) == ["Tiny", "TrainingJob"]
    body = config_body(5, name="digits-copy")
    body["metadata"]["ownerReferences"] = owner(kind="Tiny")
    assert store.see(kube.CONFIG_MAPS, "ADDED", body, T0) == News(Key("Tiny", "default", "digits"))
    assert (store.busy("Tiny"), store.busy("TrainingJob"), pods(store)) == (1, 0, [])


class TestWhatAnybodyMayWrite:
    def test_an_unreadable_object_is_counted_and_named_once(self, caplog: pytest.LogCaptureFixture) -> None:
        counted: list[str] = []
        store = Store((training_jobs(),), unreadable=counted.append)
        store.see(kube.JOBS, "ADDED", job_body(), T0)
        body = config_body(5) | {"data": ["x"]}
        with caplog.at_level(logging.WARNING, logger="headway_operator"):
            for version in (5, 6, 7):
                body["metadata"]["resourceVersion"] = str(version)
                assert store.see(kube.CONFIG_MAPS, "MODIFIED", body, T0) is None
        assert counted == ["configmaps"] * 3
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith(f"ConfigMap default/{CONFIG} cannot be read")

    def test_an_endless_report_is_none_and_its_object_is_known(self) -> None:
        store = seen()
        body = config_body(5) | {"data": {wire.KEY_PROGRESS: "x" * 1_000_000}}
        assert store.see(kube.CONFIG_MAPS, "ADDED", body, T0) == NEWS
        known = store.owner(KEY)
        assert known is not None
        (record,) = store.children(known)[kube.CONFIG_MAPS]
        assert record.progress == ""

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["²", "9" * 5000, "-1"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        st.sampled_from(["resourceVersion", "creationTimestamp", "ownerReferences", "annotations", "labels", "name"]),
        st.sampled_from(["spec", "status", "data"]),
    )
    def test_no_object_whatever_stands_in_it_raises(self, junk: Any, field: str, part: str) -> None:
        store = seen()
        for resource, body in ((kube.PODS, pod_body(5)), (kube.CONFIG_MAPS, config_body(5)), (kube.JOBS, job_body(5))):
            store.see(resource, "MODIFIED", body | {"metadata": body["metadata"] | {field: junk}}, T0)
            store.see(resource, None, body | {part: junk}, T0)
            store.see(resource, "DELETED", body | {part: junk, "metadata": junk}, T0)
            store.is_news(resource, {"metadata": junk})

    @pytest.mark.parametrize("workers", ["²", "9" * 5000, "٣", "-1", "1e3", "", " 1"])
    def test_odd_numbers_in_annotations_count_as_none(self, workers: str) -> None:
        store = seen()
        body = config_body(5, **{wire.ANNOTATION_WORKERS: workers, wire.ANNOTATION_PROGRESS_SECONDS: workers})
        assert store.see(kube.CONFIG_MAPS, "ADDED", body, T0) == NEWS
        known = store.owner(KEY)
        assert known is not None
        (record,) = store.children(known)[kube.CONFIG_MAPS]
        assert (record.workers, record.progress_seconds) == (0, 0.0)

    def test_objects_of_no_known_job_and_large_ones_cost_next_to_nothing(self) -> None:
        store = seen()
        tracemalloc.start()
        try:
            for number in range(2000):
                body = config_body(5 + number, f"{number}" * 100_000)
                body["metadata"] |= {"uid": f"u{number}", "ownerReferences": owner("of nobody")}
                store.see(kube.CONFIG_MAPS, "ADDED", body, T0)
            for number in range(500):
                template = {"metadata": {"annotations": {"a": f"{number:07}" * 200_000}}}
                job = job_body(number + 1, uid=f"job-{number}", spec={"workers": {"template": template}})
                job["metadata"]["name"] = f"large-{number}"
                store.see(kube.JOBS, "ADDED", job, T0)
            del body, job, template
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert grown < 4_000_000
        large = store.owner(Key("TrainingJob", "default", "large-7"))
        assert large is not None
        assert large.spec.too_large
        assert large.spec.size > LARGEST
