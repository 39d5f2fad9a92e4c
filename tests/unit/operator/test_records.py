"""What is kept of a pod: enough for every decision, whatever the kubelet says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_operator.engine.times import to_seconds, to_text
from headway_operator.training import records
from headway_operator.training.plan.model import Pod
from sim.builders import T0
from unit.operator.bodies import HEAD, pod_body


def pod(*, name: str = "digits-11111-1-worker-0-3", spec: Any = None, **status: Any) -> Pod:
    seen = records.pod(pod_body(4, name=name) | {"spec": spec or {}, "status": status}, None, T0)
    assert seen is not None
    return seen


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def terminated(code: int, **fields: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "finishedAt": to_text(T0), **fields}}


def test_names_tell_which_replacement_a_worker_is() -> None:
    assert pod().number == 3
    assert pod(name=HEAD).number == 0


def test_the_end_is_that_of_the_main_container() -> None:
    side = container("logs", **terminated(0))
    assert pod(phase="Running", containerStatuses=[side, container("main", running={})]).end is None
    seen = pod(phase="Running", containerStatuses=[side, container("main", **terminated(3, message="why"))])
    assert seen.ended, "a sidecar that goes on does not keep the pod's work going"
    assert seen.end is not None
    assert (seen.end.exit_code, seen.end.message, seen.end.at) == (3, "why", T0)


def test_a_failed_init_container_is_the_pod_s_end() -> None:
    init = container("code", **terminated(1, message="no such revision"))
    waiting = container("main", waiting={"reason": "PodInitializing"})
    seen = pod(phase="Failed", initContainerStatuses=[init], containerStatuses=[waiting])
    assert seen.end is not None
    assert (seen.end.reason, seen.end.message) == ("InitFailed", "init container code: no such revision")


def test_an_init_container_of_somebody_else_s_is_named_with_what_became_of_it() -> None:
    init = [container("code", **terminated(0)), container("vault-agent-init", **terminated(1, reason="Error"))]
    seen = pod(phase="Failed", initContainerStatuses=init)
    assert seen.end is not None
    assert seen.end.reason == "ForeignInitFailed"
    assert seen.end.message == "init container vault-agent-init exited with code 1 (Error). "


@pytest.mark.parametrize(
    ("reason", "kept"),
    [("ContainerCreating", ""), ("PodInitializing", ""), ("ErrImagePull", "ErrImagePull"), ("Odd", "Odd")],
)
def test_only_extraordinary_waits_are_kept(reason: str, kept: str) -> None:
    seen = pod(phase="Pending", containerStatuses=[container("main", waiting={"reason": reason})])
    assert seen.waiting == kept
    assert (seen.waiting_since == T0) == bool(kept)


def test_conditions_are_read() -> None:
    conditions = [
        {"type": "Ready", "status": "True"},
        {"type": "PodScheduled", "status": "False", "message": "0/2 nodes"},
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"},
    ]
    seen = pod(phase="Pending", conditions=conditions)
    assert (seen.ready, seen.unschedulable, seen.disruption) == (True, "0/2 nodes", "PreemptionByScheduler")


def test_a_disruption_that_does_not_hold_is_none() -> None:
    conditions = [{"type": "DisruptionTarget", "status": "False", "reason": "X"}]
    assert pod(conditions=conditions).disruption == ""


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("digits-11111-1-head", (1, "head", 0, 0)),
        ("digits-11111-12-worker-3-4", (12, "worker", 3, 4)),
        ("digits-11111-1", (1, "", 0, 0)),
        ("digits-1-head", (1, "head", 0, 0)),
        ("digits-1-worker-0-0", (1, "worker", 0, 0)),
        ("digits-11111-1-heads", None),
        ("digits-11111-1-worker-3", None),
        ("digits-11111-\u0661-head", None),
        ("digits-22222-1-head", None),
        ("digits-11111-9999999999-head", None),
        ("digits", None),
    ],
)
def test_a_name_tells_whose_an_object_is_and_what_for(name: str, place: tuple[int, str, int, int] | None) -> None:
    found = records.place_of(pod_body(4, name=name))
    assert (None if found is None else (found.attempt, found.role, found.index, found.number)) == place


def test_when_something_was_first_seen_is_told_by_our_own_clock() -> None:
    ended = {"phase": "Failed", "containerStatuses": [container("main", **terminated(1))]}
    going = pod_body(5) | {"status": ended}
    going["metadata"] |= {"deletionTimestamp": to_text(T0 + 900), "deletionGracePeriodSeconds": 120}
    before = None
    for later in (10, 20):
        before = records.pod(going, before, T0 + later)
        assert before is not None
        assert (before.ended_seen_at, before.deleting_seen_at, before.grace) == (T0 + 10, T0 + 10, 120)
    another = pod_body(6, uid="p2") | {"status": ended}
    seen = records.pod(another, before, T0 + 30)
    assert seen is not None
    assert (seen.ended_seen_at, seen.deleting_seen_at) == (T0 + 30, None)


@given(st.integers(0, 4_000_000_000))
def test_times_survive_being_written(seconds: int) -> None:
    assert to_seconds(to_text(seconds)) == seconds


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_none(text: str | None) -> None:
    assert to_seconds(text) is None


def test_a_time_with_microseconds_or_an_offset_is_read() -> None:
    assert to_seconds("2026-01-01T01:00:00.500000+01:00") == to_seconds("2026-01-01T00:00:00.5Z")
