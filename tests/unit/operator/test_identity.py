"""Which objects are a job's: those with the name that their labels lead to and the job as their controller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import API_VERSION, wire
from headway_operator.engine import kube
from headway_operator.training import records
from sim.builders import T0, UID
from unit.operator.stage import Stage, running

KEY = ("team", "digits")
OTHER_UID = "22222222-2222-3333-4444-555555555555"
NO_NUMBERS = ("", "-1", "+1", " 1", "1 ", "01", "1_0", "1.0", "²", "\u0661", "9" * 5000, "x", None, 1, ["1"])
"""What a label or an annotation may hold and Headway never writes there."""


def body(name: str, role: str | None = "head", *, uid: str = UID, worker: str = "0", **meta: Any) -> dict[str, Any]:
    """An object of attempt 1 with all labels and the owner as they should be."""
    labels: dict[str, Any] = {wire.LABEL_JOB: "digits", wire.LABEL_JOB_UID: uid, wire.LABEL_ATTEMPT: "1"}
    labels |= {wire.LABEL_ROLE: role} if role else {}
    labels |= {wire.LABEL_WORKER: worker} if role == "worker" else {}
    owner = {"apiVersion": API_VERSION, "kind": "TrainingJob", "name": "digits", "uid": uid, "controller": True}
    whole = {"name": name, "namespace": "team", "uid": "p", "labels": labels, "ownerReferences": [owner]}
    return {"metadata": whole | meta}


HEAD, WORKER, OBJECTS = (
    wire.head_name("digits", UID, 1),
    wire.worker_name("digits", UID, 1, 3, 7),
    wire.object_name("digits", UID, 1),
)


@pytest.mark.parametrize(
    "ours",
    [
        body(HEAD),
        body(WORKER, "worker", worker="3"),
        body(OBJECTS, None),
        body("digits-1-head"),
        body("digits-1-worker-3-7", "worker", worker="3"),
        body("digits-1", None),
    ],
    ids=lambda item: item["metadata"]["name"],
)
def test_an_object_of_its_own_name_is_its_job_s_also_if_0_1_0_has_named_it(ours: dict[str, Any]) -> None:
    assert records.key_of(ours) == KEY


@pytest.mark.parametrize(
    "foreign",
    [
        body("a-copy"),
        body(f"{HEAD}-2"),
        body(wire.head_name("digits", OTHER_UID, 1)),
        body(wire.head_name("digits", UID, 2)),
        body(WORKER, "worker", worker="4"),
        body(WORKER),
        body(HEAD, "worker"),
        body(HEAD, "leader"),
        body(HEAD, None),
        body(OBJECTS.upper(), None),
        body("digits-1-worker-3-\u0667", "worker", worker="3"),
    ],
    ids=lambda item: item["metadata"]["name"],
)
def test_an_object_of_another_name_than_its_labels_lead_to_is_nobody_s(foreign: dict[str, Any]) -> None:
    assert records.key_of(foreign) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ownerReferences": []},
        {"ownerReferences": None},
        {"ownerReferences": [{"kind": "TrainingJob", "name": "digits", "uid": UID}]},
        {"ownerReferences": [{"kind": "TrainingJob", "name": "digits", "uid": OTHER_UID, "controller": True}]},
        {"ownerReferences": [{"kind": "TrainingJob", "name": "other", "uid": UID, "controller": True}]},
        {"ownerReferences": [{"kind": "Job", "name": "digits", "uid": UID, "controller": True}]},
        {"labels": None},
        {"labels": {wire.LABEL_JOB: "digits", wire.LABEL_JOB_UID: UID}},
    ],
)
def test_an_object_that_the_job_does_not_control_is_not_the_job_s(changes: dict[str, Any]) -> None:
    assert records.key_of(body(HEAD, **changes)) is None


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_a_number_that_headway_does_not_write_is_none(text: Any) -> None:
    odd = body(WORKER, "worker", worker=text)
    assert records.key_of(odd) is None
    odd = body(HEAD)
    odd["metadata"]["labels"][wire.LABEL_ATTEMPT] = text
    assert records.key_of(odd) is None


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_annotations_that_somebody_has_changed_say_nothing(text: Any) -> None:
    annotations = {wire.ANNOTATION_WORKERS: text, wire.ANNOTATION_PROGRESS_SECONDS: f"{text}s"}
    record = records.config_record(body(OBJECTS, None, annotations=annotations), None, T0)
    assert record is not None
    assert (record.workers, record.progress_seconds) == (0, 0.0)


@given(st.text(), st.text(), st.text())
def test_no_text_in_labels_or_annotations_keeps_an_object_from_being_read(one: str, two: str, three: str) -> None:
    annotations = {wire.ANNOTATION_WORKERS: one, wire.ANNOTATION_PROGRESS_SECONDS: two}
    odd = body(OBJECTS, "worker", worker=three, annotations=annotations)
    odd["metadata"]["labels"][wire.LABEL_ATTEMPT] = one
    records.key_of(odd)
    records.config_record(odd, None, T0)
    records.pod(odd, None, T0)


def test_a_copy_of_a_head_or_of_its_config_map_is_not_obeyed_by_the_next_operator() -> None:
    stage = Stage()
    running(stage)
    for resource, name in ((kube.PODS, stage.head()), (kube.CONFIG_MAPS, stage.of())):
        original = stage.server.find(resource, name)
        assert original is not None
        copy = {"metadata": original["metadata"] | {"name": "a-copy"}, "spec": {}, "data": {wire.KEY_PROGRESS: ""}}
        stage.server.create(resource, "default", copy)
    failed = {"name": "main", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    stage.server.change(
        kube.PODS, "a-copy", lambda pod: pod.update(status={"phase": "Failed", "containerStatuses": [failed]})
    )
    stage.server.objects = dict(sorted(stage.server.objects.items()))  # a LIST is in the order of names
    stage.restart(stage.defaults)
    for _ in range(5):
        stage.look()
    assert (stage.status()["phase"], stage.status()["attempt"]) == ("Running", 1)
    assert {stage.head(), stage.worker(0), "a-copy"} == set(stage.names(kube.PODS))
