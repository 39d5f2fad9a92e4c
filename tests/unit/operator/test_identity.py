"""Copies and odd words: whose an object is follows from its name and its controller, whatever else stands in it."""

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


OBJECTS = wire.object_name("digits", UID, 1)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "10001", "9" * 18])
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
    assert records.config_record(odd, None, T0) is not None
    assert records.pod(odd, None, T0) is None


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
        stage.reconcile()
    assert (stage.status()["phase"], stage.status()["attempt"]) == ("Running", 1)
    assert {stage.head(), stage.worker(0), "a-copy"} == set(stage.names(kube.PODS))
