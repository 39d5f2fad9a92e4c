"""Which model a deployment takes of those that jobs publish: the newest ever, whatever becomes of the jobs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.deployment_status import Published
from headway_operator.engine import kube
from headway_operator.engine.times import to_text
from headway_operator.serving import records
from headway_operator.serving.plan import offers
from headway_operator.serving.plan.offers import Offer
from sim.builders import T0

from .serving_stage import DIGEST_2, Stage

NEWEST: dict[str, Any] = {"spec.versions": {}}
"""Changes of a deployment that takes what jobs publish."""
BUNDLE = {"digest": DIGEST_2, "persistentVolumeClaim": {"name": "models", "path": "default/a"}}


def digests(stage: Stage) -> dict[str, str]:
    """What the versions are made of, by name."""
    return {version["name"]: version["source"]["digest"] for version in stage.status["versions"]}


def champion(stage: Stage, number: int) -> str:
    """A version gets ready; the digest of what answers then."""
    stage.settle()
    stage.ready(number)
    stage.settle()
    return digests(stage)[stage.status["champion"]]


def test_a_deployment_that_no_job_has_published_to_waits_and_says_for_what() -> None:
    stage = Stage(NEWEST)
    assert stage.settle() is None, "it does not ask again and again"
    assert (stage.status["phase"], stage.status["versions"]) == ("Pending", [])
    for kind, reason in (("Ready", "NoVersion"), ("Progressing", "WaitingForPublish")):
        status, why, says = stage.condition(kind)
        assert (status, why) == ("False", reason)
        assert "a TrainingJob of this namespace with spec.publish.deployment digits has to succeed first" in says
    assert stage.of(kube.DEPLOYMENTS) == set()


def test_what_a_job_publishes_becomes_a_version_that_names_the_job() -> None:
    stage = Stage(NEWEST)
    stage.settle()
    digest = stage.train("monday", "a")
    assert champion(stage, 1) == digest
    assert stage.status["versions"][0]["job"] == "monday"
    assert stage.status["published"]["job"] == "monday"
    assert stage.condition("Progressing") == ("False", "Idle", "")


@pytest.mark.parametrize("restarts", [False, True])
def test_the_newest_that_was_published_takes_the_place_of_the_one_before(restarts: bool) -> None:
    stage = Stage(NEWEST)
    stage.train("monday", "a")
    champion(stage, 1)
    stage.after(60, restarts=restarts)
    digest = stage.train("tuesday", "b")
    assert champion(stage, 2) == digest
    stage.after(60, restarts=restarts)
    assert stage.states() == {"digits-1": "Retired", "digits-2": "Champion"}
    assert [version["job"] for version in stage.status["versions"]] == ["monday", "tuesday"]


def test_the_end_of_jobs_changes_nothing() -> None:
    stage = Stage(NEWEST)
    stage.train("monday", "a")
    stage.after(10)
    digest = stage.train("tuesday", "b")
    stage.settle()
    assert champion(stage, 2) == digest
    stage.server.remove(kube.JOBS, "tuesday")
    stage.after(30, restarts=True)
    stage.server.remove(kube.JOBS, "monday")
    stage.after(30)
    assert (digests(stage)[stage.status["champion"]], stage.status["lastNumber"]) == (digest, 2)


@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "seen at its end alone"])
def test_a_job_that_is_deleted_as_soon_as_it_ends_has_published(seen: bool) -> None:
    stage = Stage(NEWEST)
    stage.settle()
    digest = stage.train("monday", "a")
    if seen:
        stage.watch()
    else:
        stage.server.events.clear()
    stage.server.remove(kube.JOBS, "monday")
    assert champion(stage, 1) == digest
    owner = stage.store.owner(stage.key)
    assert owner is not None
    assert stage.store.references(owner) == (), "what is recorded is forgotten"


def test_last_words_outlive_a_status_write_that_fails() -> None:
    stage = Stage(NEWEST)
    stage.settle()
    digest = stage.train("monday", "a")
    stage.server.remove(kube.JOBS, "monday")
    stage.watch()
    stage.server.change(kube.MODEL_DEPLOYMENTS, "digits", lambda body: body["metadata"].update(labels={"a": "b"}))
    stage.server.events.clear()  # the watch is late: the write meets a conflict
    with pytest.raises(kube.ConflictError):
        stage.turn()
    assert champion(stage, 1) == digest


def test_an_older_job_that_is_seen_late_is_not_taken_for_newer() -> None:
    stage = Stage(NEWEST)
    stage.now -= 100
    stage.train("monday", "a")
    stage.now += 100
    late = [event for event in stage.server.events if event.resource == kube.JOBS.plural]
    stage.server.events = [event for event in stage.server.events if event not in late]
    digest = stage.train("tuesday", "b")
    assert champion(stage, 1) == digest
    stage.server.events += late
    stage.after(60)
    assert digests(stage) == {"digits-1": digest}


def test_a_model_that_the_spec_names_goes_before_what_jobs_publish_until_it_is_taken_out() -> None:
    stage = Stage()
    champion(stage, 1)
    digest = stage.train("monday", "a")
    stage.after(10)
    assert (stage.status["lastNumber"], stage.status["published"]["job"]) == (1, "monday")
    stage.server.remove(kube.JOBS, "monday")
    stage.after(10)
    stage.edit({"versions.source": None})
    assert champion(stage, 2) == digest


def test_what_answers_goes_on_where_the_spec_names_no_model_any_more_and_none_is_published() -> None:
    stage = Stage()
    before = champion(stage, 1)
    stage.edit({"versions.source": None})
    stage.after(1000)
    assert (digests(stage), stage.status["phase"]) == ({"digits-1": before}, "Ready")


def test_a_suspended_deployment_remembers_what_was_published_and_takes_it_afterwards() -> None:
    stage = Stage({**NEWEST, "spec.suspend": True})
    stage.settle()
    digest = stage.train("monday", "a")
    stage.settle()
    stage.server.remove(kube.JOBS, "monday")
    stage.settle()
    assert stage.of(kube.DEPLOYMENTS) == set()
    stage.edit({"suspend": False})
    assert champion(stage, 1) == digest


def test_a_published_version_that_is_rejected_stays_so_and_the_next_one_is_tried() -> None:
    stage = Stage(NEWEST)
    stage.train("monday", "a")
    champion(stage, 1)
    stage.after(1)
    stage.train("tuesday", "b")
    stage.settle()
    stage.troubled(2, waiting="CrashLoopBackOff", said="no such input", restarts=3)
    stage.after(30, restarts=True)
    assert stage.states() == {"digits-1": "Champion", "digits-2": "Rejected"}
    assert stage.target() == 1
    digest = stage.train("wednesday", "c")
    assert champion(stage, 3) == digest


def test_a_job_that_publishes_to_another_deployment_wakes_nobody() -> None:
    stage = Stage(NEWEST)
    stage.settle()
    stage.train("monday", "a", deployment="letters")
    for event in stage.server.events:
        assert stage.store.take_in(kube.JOBS, event.type, event.body, stage.now) == ()  # type: ignore[arg-type]
    assert stage.settle() is None
    assert "published" not in stage.status


def test_jobs_of_one_second_are_told_apart_the_same_way_in_every_process() -> None:
    stage = Stage(NEWEST)
    uids = {}
    for name, digit in (("a", "a"), ("b", "b"), ("c", "c")):
        stage.train(name, digit)
        body = stage.server.find(kube.JOBS, name)
        assert body is not None
        uids[name] = body["metadata"]["uid"]
    champion(stage, 1)
    stage.after(100, restarts=True)
    assert stage.status["versions"][0]["job"] == max(uids, key=lambda name: uids[name])
    assert stage.status["lastNumber"] == 1


def body_of(*, spec: Any = None, **status: Any) -> dict[str, Any]:
    """A job that has succeeded and publishes, with changes."""
    whole = {"phase": "Succeeded", "completionTime": to_text(T0), "result": {"bundle": BUNDLE}, **status}
    meta = {"name": "job", "namespace": "default", "uid": "u", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"publish": {"deployment": "digits"}} if spec is None else spec, "status": whole}


def test_what_a_job_offers_is_read_from_its_status() -> None:
    offer = records.offer(body_of())
    assert offer is not None
    assert (offer.job, offer.uid, offer.refers_to, offer.digest) == ("job", "u", "digits", DIGEST_2)
    found = offers.newest(None, [offer])
    assert found is not None
    assert found.source.model_dump(mode="json", by_alias=True, exclude_none=True) == BUNDLE


@pytest.mark.parametrize(
    "body",
    [
        body_of(phase="Running"),
        body_of(phase="Failed"),
        body_of(phase=None),
        body_of(result=None),
        body_of(result={}),
        body_of(spec={}),
        {"metadata": body_of()["metadata"], "spec": body_of()["spec"]},
    ],
)
def test_a_job_that_has_not_succeeded_with_a_model_offers_none(body: dict[str, Any]) -> None:
    assert records.offer(body) is None


@pytest.mark.parametrize(
    "body",
    [
        body_of(completionTime="tomorrow"),
        body_of(completionTime=None),
        body_of(result={"bundle": {**BUNDLE, "digest": "sha256:1"}}),
        body_of(result={"bundle": {**BUNDLE, "persistentVolumeClaim": {"name": "models", "path": "../secrets"}}}),
        body_of(result={"bundle": [1]}),
        body_of(spec={"publish": 7}),
        body_of(spec=[1]),
    ],
)
def test_what_is_not_as_the_operator_writes_it_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        records.offer(body)


times = st.integers(0, 3).map(lambda second: to_text(T0 + second))
offered = st.builds(
    lambda uid, time, digit: Offer(
        job=f"job-{uid}",
        uid=uid,
        refers_to="digits",
        time=time,
        digest=f"sha256:{digit * 64}",
        source=f'{{"digest": "sha256:{digit * 64}", "persistentVolumeClaim": {{"name": "models", "path": "{uid}"}}}}',
    ),
    st.sampled_from("abc"),
    times,
    st.sampled_from("12"),
)


@given(st.lists(offered, max_size=8), st.lists(st.integers(0, 7), max_size=20))
def test_whenever_each_offer_is_seen_and_gone_again_the_newest_is_what_is_remembered(
    all_of_them: list[Offer], turns: list[int]
) -> None:
    known: Published | None = None
    for turn in [*turns, *range(len(all_of_them))]:
        known = offers.newest(known, all_of_them[turn : turn + 2])
    assert offers.newest(known, all_of_them) == known
    assert known == offers.newest(None, all_of_them)
