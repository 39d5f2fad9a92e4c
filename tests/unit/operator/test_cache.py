"""The cache: never older knowledge over newer, no ghosts, our own writes at once."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import wire
from headway_api.status import TrainingJobStatus
from headway_operator.engine.store import Cache
from headway_operator.engine.times import to_text
from sim.builders import T0, UID

KEY = ("default", "digits")


def job_body(version: int = 1, uid: str = UID, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": "digits",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": to_text(T0),
        },
        "spec": {},
        "status": status,
    }


def pod_body(version: int = 1, uid: str = "p1", job_uid: str = UID, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": wire.head_name("digits", job_uid, 1),
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": to_text(T0),
            "ownerReferences": [{"kind": "TrainingJob", "name": "digits", "uid": job_uid, "controller": True}],
            "labels": {
                wire.LABEL_JOB: "digits",
                wire.LABEL_JOB_UID: job_uid,
                wire.LABEL_ATTEMPT: "1",
                wire.LABEL_ROLE: "head",
            },
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", **status},
    }


def seen() -> Cache:
    cache = Cache()
    cache.see_job("ADDED", job_body())
    return cache


def test_news_names_the_job_and_repetitions_are_no_news() -> None:
    cache = seen()
    assert cache.see_pod("ADDED", pod_body(5), T0) == KEY
    assert cache.see_pod(None, pod_body(5), T0) is None
    assert cache.see_pod("MODIFIED", pod_body(6), T0) == KEY


def test_older_knowledge_never_replaces_newer() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(6, phase="Running"), T0)
    assert cache.see_pod("MODIFIED", pod_body(5, phase="Pending"), T0) is None
    assert cache.pods_of(KEY, UID)[0].phase == "Running"


def test_a_deleted_pod_s_last_word_is_kept_until_it_is_recorded() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    ended = {"name": "main", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
    cache.see_pod("DELETED", pod_body(6, phase="Failed", containerStatuses=[ended]), T0)
    (pod,) = cache.pods_of(KEY, UID)
    assert pod.gone
    assert pod.end is not None
    assert pod.end.exit_code == 3
    cache.forget(KEY, [pod])
    assert cache.pods_of(KEY, UID) == ()


def test_a_last_word_that_comes_after_a_list_without_the_pod_is_heard_all_the_same() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    assert cache.drop_ghost_pods(set(), 9, lambda *_: True) == [KEY]
    ended = {"name": "main", "state": {"terminated": {"exitCode": 1, "message": "KeyError"}}}
    assert cache.see_pod("DELETED", pod_body(8, phase="Failed", containerStatuses=[ended]), T0) == KEY
    (pod,) = cache.pods_of(KEY, UID)
    assert pod.gone
    assert pod.end is not None
    assert pod.end.message == "KeyError"


def test_labels_without_the_owner_are_a_copy_and_nobody_s() -> None:
    cache = seen()
    copied = pod_body(5)
    copied["metadata"]["ownerReferences"] = [{"uid": "somebody else"}]
    assert cache.see_pod("ADDED", copied, T0) is None
    del copied["metadata"]["ownerReferences"]
    assert cache.see_pod("ADDED", copied, T0) is None
    assert cache.pods_of(KEY, UID) == ()


def test_a_deleted_pod_does_not_come_back_by_an_answer_that_was_under_way() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    cache.see_pod("DELETED", pod_body(6), T0)
    cache.created_pod(KEY, {"metadata": pod_body(5)["metadata"]}, T0)
    assert [pod.gone for pod in cache.pods_of(KEY, UID)] == [True]


def test_what_was_deleted_is_remembered_for_two_comparisons_and_not_for_ever() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    cache.see_pod("DELETED", pod_body(6), T0)
    cache.age()
    assert cache.see_pod(None, pod_body(5), T0) is None
    cache.age()
    assert cache.see_pod(None, pod_body(5), T0) == KEY


def test_who_deletes_without_end_is_remembered_for_the_newest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway_operator.engine.store.TOMBSTONES", 10)
    cache = seen()
    for number in range(100):
        cache.see_pod("DELETED", pod_body(6, uid=f"p{number}"), T0)
    assert cache.see_pod(None, pod_body(5, uid="p99"), T0) is None
    assert cache.see_pod(None, pod_body(5, uid="p0"), T0) == KEY


def test_a_pod_that_we_created_counts_before_the_watch_shows_it() -> None:
    cache = seen()
    cache.created_pod(KEY, {"metadata": pod_body(5)["metadata"]}, T0)
    (pod,) = cache.pods_of(KEY, UID)
    assert (pod.phase, pod.attempt, pod.role) == ("Pending", 1, "head")
    assert cache.see_pod("ADDED", pod_body(5), T0) is None
    assert cache.see_pod("MODIFIED", pod_body(7), T0) == KEY


def test_a_deletion_that_we_asked_for_counts_before_the_watch_shows_it() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    cache.deleting_pod(KEY, cache.pods_of(KEY, UID)[0], T0 + 30)
    assert cache.pods_of(KEY, UID)[0].deleting == T0 + 30


def test_pods_of_an_earlier_job_of_the_same_name_are_not_this_one_s() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5, job_uid="earlier"), T0)
    assert cache.pods_of(KEY, UID) == ()


def test_ghosts_are_dropped_but_nothing_that_is_younger_than_the_list() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    assert cache.drop_ghost_pods(set(), 4, lambda *_: True) == []
    assert cache.drop_ghost_pods({"p1"}, 9, lambda *_: True) == []
    assert cache.drop_ghost_pods(set(), 9, lambda *_: False) == []
    assert cache.drop_ghost_pods(set(), 9, lambda *_: True) == [KEY]
    assert [pod.gone for pod in cache.pods_of(KEY, UID)] == [True]


def test_a_deletion_of_the_earlier_object_leaves_the_new_one_of_the_same_name() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(9, uid="new"), T0)
    cache.see_pod("DELETED", pod_body(8, uid="old"), T0)
    assert [pod.uid for pod in cache.pods_of(KEY, UID)] == ["new"]


def test_last_words_of_a_job_that_is_gone_are_not_kept() -> None:
    cache = seen()
    cache.see_pod("ADDED", pod_body(5), T0)
    cache.see_job("DELETED", job_body(6))
    cache.see_pod("DELETED", pod_body(7), T0)
    assert cache.pods_of(KEY, UID) == ()
    assert cache.job(KEY) is None


def test_our_own_status_write_is_no_news_when_it_comes_back() -> None:
    cache = seen()
    cache.wrote_status(KEY, UID, 4, TrainingJobStatus(phase="Running"), '{"phase":"Running"}')
    assert list(cache.phases()) == ["Running"]
    assert cache.see_job("MODIFIED", job_body(4, phase="Running")) is None
    assert cache.see_job("MODIFIED", job_body(5, phase="Running")) == KEY


def test_objects_with_strange_labels_are_nobody_s() -> None:
    cache = seen()
    body = pod_body(5)
    body["metadata"]["labels"][wire.LABEL_ATTEMPT] = "two"
    assert cache.see_pod("ADDED", body, T0) is None
    body["metadata"]["labels"] = {}
    assert cache.see_pod("ADDED", body, T0) is None
    assert cache.see_config("ADDED", body, 0.0) is None


def test_the_time_of_a_pull_error_is_that_of_its_first_showing() -> None:
    cache = seen()
    for version, reason in ((5, "ErrImagePull"), (6, "ImagePullBackOff"), (7, "ErrImagePull")):
        waiting = {"name": "main", "state": {"waiting": {"reason": reason, "message": "no such tag"}}}
        cache.see_pod("MODIFIED", pod_body(version, phase="Pending", containerStatuses=[waiting]), T0 + version)
    (pod,) = cache.pods_of(KEY, UID)
    assert (pod.waiting, pod.waiting_since) == ("ErrImagePull", T0 + 5)
    cache.see_pod("MODIFIED", pod_body(8), T0 + 8)
    assert cache.pods_of(KEY, UID)[0].waiting_since is None


def test_how_many_objects_there_are_is_known_without_counting_them() -> None:
    cache = seen()
    assert (len(cache.jobs), len(cache.pods)) == (1, 0)
    cache.see_pod("ADDED", pod_body(5), T0)
    cache.see_pod("MODIFIED", pod_body(6), T0)
    assert len(cache.pods) == 1
    cache.see_pod("DELETED", pod_body(7), T0)
    cache.see_pod("DELETED", pod_body(8), T0)
    assert len(cache.pods) == 0
