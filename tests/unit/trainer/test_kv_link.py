"""When a pod that has to go may leave: once the checkpoint that it asked for is there, and no older one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from headway_api.status import CheckpointStatus
from headway_trainer.ray import kv_link
from headway_trainer.ray.kv_link import DriverLink, WorkerLink
from headway_trainer.ray.runtime import KEY_CHECKPOINT, KEY_STOP, KEY_TAKEN, Asker, Relay
from headway_trainer.training.link import Request, TrainProgress


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """The key-value store of Ray's head."""
    values: dict[bytes, bytes] = {}
    monkeypatch.setattr(kv_link, "_internal_kv_get", lambda key, **_: values.get(key))
    monkeypatch.setattr(kv_link, "_internal_kv_put", lambda key, value, **_: values.update({key: value}))
    monkeypatch.setattr(kv_link, "_internal_kv_del", lambda key, **_: values.pop(key, None))
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


def _asker(store: dict[bytes, bytes]) -> Asker:
    """A pod that has to go."""
    asker = Asker.__new__(Asker)
    asker._client = SimpleNamespace(
        internal_kv_keys=lambda prefix, *_: [key for key in store if key.startswith(prefix)],
        internal_kv_get=lambda key, *_: store.get(key),
        internal_kv_put=lambda key, value, *_: store.update({key: value}),
    )
    return asker


def test_a_new_group_has_fulfilled_the_wishes_before_it_and_an_ended_loop_is_not_waited_for(
    store: dict[bytes, bytes], link: WorkerLink
) -> None:
    link.tell(at(10, None))
    link._send()
    assert store[KEY_TAKEN] == b"3"
    asker = _asker(store)
    asker.ask()
    assert not asker.is_answered()
    link.close()
    assert asker.is_answered()


def test_a_pod_may_leave_once_all_runs_that_train_have_taken_a_checkpoint(
    store: dict[bytes, bytes], link: WorkerLink
) -> None:
    other = WorkerLink("fold-2")
    for one in (link, other):
        one.tell(at(10, None))
        one._send()
    asker = _asker(store)
    asker.ask()
    for one, answered in ((link, False), (other, True)):
        one._asked = 4
        assert one.request() == Request.CHECKPOINT
        one.tell(at(11, 11))
        one._send()
        assert asker.is_answered() == answered
    other.close()


@pytest.mark.usefixtures("link")
def test_what_one_run_is_told_no_other_hears(store: dict[bytes, bytes]) -> None:
    other = WorkerLink("fold-2")
    other.tell(at(10, None))
    other._send()
    assert (DriverLink().progress(), DriverLink("fold-2").progress()) == (None, at(10, None))
    DriverLink("fold-2").ask_to_stop()
    assert [key for key in store if key.startswith(KEY_STOP)] == [KEY_STOP + b"fold-2"]
    other.close()


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
