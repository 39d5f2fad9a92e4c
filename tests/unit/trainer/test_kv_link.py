"""When a pod that has to go may leave: once the checkpoint that it asked for is there, and no older one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from headway_api.status import CheckpointStatus
from headway_trainer.ray import kv_link
from headway_trainer.ray.kv_link import DriverLink, WorkerLink
from headway_trainer.ray.runtime import KEY_CHECKPOINT, KEY_TAKEN, Relay
from headway_trainer.training.link import Request, TrainProgress


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """The key-value store of Ray's head."""
    values: dict[bytes, bytes] = {}
    monkeypatch.setattr(kv_link, "_internal_kv_get", lambda key, **_: values.get(key))
    monkeypatch.setattr(kv_link, "_internal_kv_put", lambda key, value, **_: values.update({key: value}))
    return values


@pytest.fixture
def link(store: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerLink]:
    """Rank 0's end, whose thread looks when the test says so."""
    monkeypatch.setattr(kv_link, "PERIOD_SECONDS", 3600.0)
    store[KEY_CHECKPOINT] = b"3"  # three wishes of an earlier group of workers
    link = WorkerLink()
    yield link
    link.close()


def at(step: int, saved: int | None) -> TrainProgress:
    """The loop is at a step, and its newest checkpoint is of another."""
    time = "2026-11-21T12:00:00Z"
    checkpoint = None if saved is None else CheckpointStatus(uri=f"c/{saved}", step=saved, time=time)
    return TrainProgress(step=step, checkpoint=checkpoint)


def test_the_wish_is_fulfilled_by_a_checkpoint_of_the_step_at_which_the_loop_heard_of_it(
    store: dict[bytes, bytes], link: WorkerLink
) -> None:
    link._asked = 4
    assert link.request() == Request.CHECKPOINT
    taken = []
    for progress in (at(10, None), at(10, 8), at(12, 8), at(12, 10)):
        link.tell(progress)
        link._send()
        taken.append(store[KEY_TAKEN])
    assert taken == [b"3", b"3", b"3", b"4"]
    assert link.request() == Request.NONE


def test_a_new_group_has_fulfilled_the_wishes_before_it_and_an_ended_loop_all(
    store: dict[bytes, bytes], link: WorkerLink
) -> None:
    link._send()
    assert store[KEY_TAKEN] == b"3"
    store[KEY_CHECKPOINT] = b"5"
    link.close()
    assert store[KEY_TAKEN] == b"5"


def test_a_pod_whose_lines_are_missing_on_the_storage_tells_the_driver(
    store: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_link, "_internal_kv_list", lambda prefix, **_: [key for key in store if prefix in key])
    relay = Relay.__new__(Relay)
    relay._sender = {"actor_name": "job-worker-0-0"}
    relay._client = SimpleNamespace(internal_kv_put=lambda key, value, *_: store.update({key: value}))
    assert not DriverLink().lost_lines()
    relay.tell_lost_lines(70)
    assert DriverLink().lost_lines()
    relay._client = None
    relay.tell_lost_lines(71)  # a head that is gone is nobody's error
    assert store[b"lost-lines/job-worker-0-0"] == b"70"
