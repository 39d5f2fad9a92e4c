"""Worker groups that are kept for the next child of a run: who gets which, and that none outlives the run."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError
from ray.train.v2._internal.execution.controller.state import InitializingState
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.poll import WorkerGroupPollStatus, WorkerStatus
from ray.train.v2._internal.execution.worker_group.state import WorkerGroupState

from headway_api.job import TrainingJobSpec
from headway_trainer.process_resources import processes_can_stay
from headway_trainer.ray import controller
from headway_trainer.ray.controller import workers_in_pods
from headway_trainer.ray.pool import KeptGroup, Shape, WorkerGroupPool
from headway_trainer.ray.torch_backend import await_end

ONE, TWO = Shape(1, 1, 0), Shape(1, 2, 0)


class Group(KeptGroup):
    """Says whether it was ended."""

    def __init__(self) -> None:
        super().__init__(placement=object(), workers=[object()])
        object.__setattr__(self, "ended", 0)

    def end(self) -> None:
        object.__setattr__(self, "ended", self.ended + 1)

    ended: int


def test_a_group_is_taken_once_and_by_its_shape_alone() -> None:
    pool, group = WorkerGroupPool(), Group()
    pool.put(ONE, group)
    assert pool.take(TWO) is None
    assert pool.take(ONE) is group
    assert pool.take(ONE) is None


def test_what_waits_when_no_child_follows_is_ended_and_so_is_what_comes_later() -> None:
    pool, waits, taken = WorkerGroupPool(), Group(), Group()
    pool.put(ONE, taken)
    assert pool.take(ONE) is taken
    pool.put(TWO, waits)
    pool.close()
    assert (waits.ended, taken.ended) == (1, 0)
    pool.put(ONE, taken)
    assert taken.ended == 1
    assert pool.take(ONE) is None


class Shut(Exception):  # noqa: N818 - it is none
    """Ray's own shutdown."""


def _shut_down(monkeypatch: pytest.MonkeyPatch, pool: WorkerGroupPool | None, status: WorkerStatus, left: bool) -> Any:
    """Shut down a group in this state, up to where Ray ends its processes; what Ray would shut down."""
    group = object.__new__(workers_in_pods(ONE, pool))
    group._worker_group_state = WorkerGroupState(0.0, object(), [object()], object())
    group._latest_poll_status = WorkerGroupPollStatus({0: status})
    monkeypatch.setattr(controller, "_leave_process_group", lambda _: left)
    monkeypatch.setattr(WorkerGroup, "shutdown", lambda _: None)
    group.shutdown()
    return group._worker_group_state


ENDED = WorkerStatus(running=False)


@pytest.mark.parametrize(
    ("status", "left", "kept"),
    [
        (ENDED, True, True),
        (ENDED, False, False),
        (WorkerStatus(running=True), True, False),
        (WorkerStatus(running=False, error=RayActorError()), True, False),
    ],
    ids=["it ended well", "a process did not leave", "it still runs", "it failed"],
)
def test_only_a_group_that_ended_well_is_kept(
    monkeypatch: pytest.MonkeyPatch, status: WorkerStatus, left: bool, kept: bool
) -> None:
    pool = WorkerGroupPool()
    state = _shut_down(monkeypatch, pool, status, left)
    assert (type(state) is not WorkerGroupState) == kept
    if kept:
        state.shutdown()
    found = pool.take(ONE)
    assert (found is not None and found.workers == state.workers) == kept


def test_without_a_pool_processes_end_with_their_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(_shut_down(monkeypatch, None, ENDED, True)) is WorkerGroupState


def test_a_kept_group_has_the_place_and_the_processes_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerGroup, "_create_placement_group", lambda *_: pytest.fail("made anew"))
    pool = WorkerGroupPool()
    pool.put(ONE, KeptGroup(placement="place", workers=["rank 0"]))
    group = object.__new__(workers_in_pods(ONE, pool))
    context = SimpleNamespace(num_workers=1, resources_per_worker={})
    assert group._create_placement_group(None, context) == "place"
    assert group._create_workers(1, "place", {}) == ["rank 0"]


class Running:
    """A worker whose training function returns after a while."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.actor = SimpleNamespace(execute=SimpleNamespace(options=lambda **_: self))

    def remote(self, function: Any, seconds: float) -> Any:
        assert function is await_end
        self.asked.append(seconds)
        return self


@pytest.mark.parametrize("pool", [WorkerGroupPool(), None], ids=["they stay", "they end with their fit"])
def test_workers_that_stay_are_polled_as_soon_as_all_are_done(
    monkeypatch: pytest.MonkeyPatch, pool: WorkerGroupPool | None
) -> None:
    workers = [Running(), Running()]
    waited: list[tuple[Any, int, float]] = []
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(ray, "wait", lambda ends, *, num_returns, timeout: waited.append((ends, num_returns, timeout)))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    group: Any = object.__new__(workers_in_pods(TWO, pool))
    group.get_workers = lambda: workers
    group.poll_status = lambda **_: ENDED
    polling: Any = object.__new__(controller._Controller)
    polling._worker_group, polling._health_check_interval_s = group, 0.25
    polling._latest_poll_time, polling._state = time.monotonic() + 3600, InitializingState()
    assert asyncio.run(polling._poll_workers()) is ENDED
    if pool is None:
        assert (waited, len(slept)) == ([], 1)
    else:
        assert (waited, slept) == ([(workers, 2, 0.25)], [])
        assert [one.asked for one in workers] == [[0.25], [0.25]]


@pytest.mark.parametrize(
    ("spec", "stays"),
    [
        ({"model": {"name": "mlp"}, "data": {"source": {"builtin": {"name": "iris"}}}}, True),
        ({"model": {"entrypoint": "mine:make"}, "data": {"source": {"builtin": {"name": "iris"}}}}, False),
        ({"model": {"name": "acme.resnet"}, "data": {"source": {"builtin": {"name": "iris"}}}}, False),
        (
            {
                "model": {"name": "mlp"},
                "data": {"source": {"builtin": {"name": "iris"}}},
                "evaluation": {"metrics": ["acme.lift"]},
            },
            False,
        ),
        ({"training": {"entrypoint": "mine:train"}}, False),
    ],
)
def test_processes_that_have_run_a_users_code_take_no_other_child(spec: dict[str, Any], stays: bool) -> None:
    assert processes_can_stay(TrainingJobSpec.model_validate({"training": {}, **spec})) is stays
