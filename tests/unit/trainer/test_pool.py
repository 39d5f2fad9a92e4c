"""Worker groups that are kept for the next child of a run: who gets which, and that none outlives the run."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError, RayActorError
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
from ray.train.v2._internal.execution.controller.state import InitializingState
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.poll import WorkerGroupPollStatus, WorkerStatus
from ray.train.v2._internal.execution.worker_group.state import WorkerGroupState

from headway_api.job import TrainingJobSpec
from headway_trainer.process_resources import processes_can_stay
from headway_trainer.ray import controller
from headway_trainer.ray.controller import workers_in_pods
from headway_trainer.ray.pool import LEAVE_SECONDS, KeptGroup, Shape, WorkerGroupPool
from headway_trainer.ray.torch_backend import await_end

ONE, TWO = Shape(1, 1, 0), Shape(1, 2, 0)


class Group(KeptGroup):
    """Says whether it was ended."""

    def __init__(self, *, leaves: bool = True) -> None:
        super().__init__(placement=object(), workers=[object()])
        object.__setattr__(self, "ended", 0)
        object.__setattr__(self, "leaves", leaves)

    def has_left(self) -> bool:
        return self.leaves

    def end(self) -> None:
        object.__setattr__(self, "ended", self.ended + 1)

    ended: int
    leaves: bool


def test_a_group_is_taken_once_and_by_its_shape_alone() -> None:
    pool, group = WorkerGroupPool(), Group()
    pool.put(ONE, group)
    assert pool.take(TWO) is None
    assert pool.take(ONE) is group
    assert pool.take(ONE) is None


def test_a_group_that_does_not_leave_its_process_group_is_ended_and_the_next_one_is_taken() -> None:
    pool, stuck, free = WorkerGroupPool(), Group(leaves=False), Group()
    pool.put(ONE, stuck)
    pool.put(ONE, free)
    assert pool.take(ONE) is free
    assert (stuck.ended, free.ended) == (1, 0)
    pool.put(ONE, stuck)
    assert pool.take(ONE) is None


@pytest.mark.parametrize("raised", [None, RayActorError(), GetTimeoutError()], ids=["in time", "one died", "too slow"])
def test_processes_can_take_other_work_once_all_have_left(
    monkeypatch: pytest.MonkeyPatch, raised: Exception | None
) -> None:
    asked: list[tuple[list[Any], float]] = []

    def get(promises: list[Any], *, timeout: float) -> None:
        asked.append((promises, timeout))
        if raised is not None:
            raise raised

    monkeypatch.setattr(ray, "get", get)
    group = KeptGroup(placement="place", workers=["rank 0", "rank 1"], leaving=["a", "b"])
    assert group.has_left() == (raised is None)
    assert asked == [(["a", "b"], LEAVE_SECONDS)]


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


def _shut_down(monkeypatch: pytest.MonkeyPatch, pool: WorkerGroupPool | None, status: WorkerStatus) -> Any:
    """Shut down a group in this state, up to where Ray ends its processes; what Ray would shut down."""
    group = object.__new__(workers_in_pods(ONE, pool))
    worker = SimpleNamespace(execute_async=lambda function: f"promise of {function.__name__}")
    group._worker_group_state = WorkerGroupState(0.0, object(), [worker], controller._NoActor)
    group._latest_poll_status = WorkerGroupPollStatus({0: status})
    monkeypatch.setattr(WorkerGroup, "shutdown", lambda _: None)
    group.shutdown()
    return group._worker_group_state


ENDED = WorkerStatus(running=False)


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        (ENDED, True),
        (WorkerStatus(running=True), False),
        (WorkerStatus(running=False, error=RayActorError()), False),
    ],
    ids=["it ended well", "it still runs", "it failed"],
)
def test_only_a_group_that_ended_well_is_kept(
    monkeypatch: pytest.MonkeyPatch, status: WorkerStatus, kept: bool
) -> None:
    monkeypatch.setattr(KeptGroup, "has_left", lambda _: True)
    pool = WorkerGroupPool()
    state = _shut_down(monkeypatch, pool, status)
    assert (type(state) is not WorkerGroupState) == kept
    if kept:
        state.shutdown()
    found = pool.take(ONE)
    assert (found is not None and found.workers == state.workers) == kept
    assert found is None or found.leaving == ["promise of leave"]


def test_without_a_pool_processes_end_with_their_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(_shut_down(monkeypatch, None, ENDED)) is WorkerGroupState


def test_a_kept_group_has_the_place_and_the_processes_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerGroup, "_create_placement_group", lambda *_: pytest.fail("made anew"))
    monkeypatch.setattr(KeptGroup, "has_left", lambda _: True)
    pool = WorkerGroupPool()
    pool.put(ONE, KeptGroup(placement="place", workers=["rank 0"]))
    group = object.__new__(workers_in_pods(ONE, pool))
    context = SimpleNamespace(num_workers=1, resources_per_worker={})
    assert group._create_placement_group(None, context) == "place"
    assert group._create_workers(1, "place", {}) == ["rank 0"]


def test_a_group_whose_ranks_do_not_join_gives_its_pods_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, given_back = WorkerGroupPool(), list[str]()

    def start(self: Any) -> None:
        # Ray's state is there before the ranks join.
        self._worker_group_state = SimpleNamespace(
            workers=[], shutdown=lambda: given_back.append("processes and places")
        )
        raise WorkerGroupStartupFailedError("a process died while it joined")

    monkeypatch.setattr(WorkerGroup, "_start", start)
    group = object.__new__(workers_in_pods(ONE, pool))
    group._worker_group_state, group._latest_poll_status, group._worker_group_context = None, None, object()
    group._callbacks, group._world_rank_to_ongoing_poll = [], {}
    with pytest.raises(WorkerGroupStartupFailedError, match="while it joined"):
        group._start()
    assert given_back == ["processes and places"]
    assert not group.has_started()
    assert pool.take(ONE) is None


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
        ({"training": {"entrypoint": "mine:train"}}, True),  # its modules are imported anew
    ],
)
def test_processes_that_have_run_a_users_model_take_no_other_child(spec: dict[str, Any], stays: bool) -> None:
    assert processes_can_stay(TrainingJobSpec.model_validate({"training": {}, **spec})) is stays
