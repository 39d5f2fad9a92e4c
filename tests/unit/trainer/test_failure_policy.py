"""What is done after a failure of workers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError
from ray.train.v2._internal.exceptions import (
    InsufficientClusterResourcesError,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from headway_trainer.errors import StorageError, UserError
from headway_trainer.outcome import Disconnected, Lost, judge
from headway_trainer.ray.controller_thread import Fitting, behind
from headway_trainer.ray.failure_policy import (
    CRASH_SECONDS,
    CRASHES,
    LOSSES_WITHOUT_PROGRESS,
    Kind,
    Policy,
    Reached,
    kind_of,
    own_failure,
)
from headway_trainer.ray.kv_link import DriverLink

RETRY, RAISE = FailureDecision.RETRY, FailureDecision.RAISE
DEAD = WorkerHealthCheckFailedError("a worker health check failed", failure=ActorDiedError())
PEER = RuntimeError("Connection closed by peer")


class World:
    """What the policy sees."""

    def __init__(self, startup_seconds: float = 100.0) -> None:
        self.step, self.saved, self.now, self.stopping = 0, 0, 0.0, False
        self.left, self.nodes_live = False, False
        self.told: list[str] = []
        self.policy = Policy(
            reached=lambda: Reached(self.step, self.saved),
            startup_seconds=startup_seconds,
            tell=self.told.append,
            stopping=lambda: self.stopping,
            left=lambda: self.left,
            lives=lambda _: self.nodes_live,
            clock=lambda: self.now,
        )

    def workers(self, failures: Mapping[int, Exception]) -> FailureDecision:
        return self.policy.make_decision(WorkerGroupError("the ranks' traces", worker_failures=dict(failures)))

    def start(self, error: Exception) -> FailureDecision:
        return self.policy.make_decision(ControllerError(error))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x"), Kind.OWN),
        (UserError("x"), Kind.OWN),
        (PEER, Kind.PEER),
        (DEAD, Kind.LOST),
        (WorkerHealthCheckTimeoutError("hangs"), Kind.LOST),
        (WorkerHealthCheckFailedError("x", failure=OutOfMemoryError("too much")), Kind.MEMORY),
        (WorkerHealthCheckFailedError("x", failure=TypeError("cannot pickle")), Kind.OWN),
    ],
)
def test_a_workers_failure_has_a_kind(error: Exception, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_the_users_exception_is_found_among_those_that_it_caused() -> None:
    own = UserError("mine")
    assert own_failure({0: PEER, 1: own, 2: DEAD}) is own
    assert own_failure({0: PEER, 1: DEAD}) is None


def test_a_users_exception_ends_the_run_at_once() -> None:
    assert World().workers({0: PEER, 1: UserError("mine")}) is RAISE


def test_a_lost_worker_is_waited_for_and_named() -> None:
    world = World()
    world.step = 40
    assert world.workers({0: PEER, 1: DEAD}) is RETRY
    assert world.told == ["Rank 1 was lost after step 40; training goes on from the newest checkpoint."]
    assert World().workers({0: PEER}) is RETRY


def test_a_pod_that_takes_two_ranks_with_it_is_one_loss() -> None:
    world = World()
    for _ in range(LOSSES_WITHOUT_PROGRESS - 1):
        assert world.workers({0: PEER, 1: PEER, 2: DEAD, 3: DEAD}) is RETRY
    assert world.told[0] == "Ranks 2, 3 were lost after step 0; training goes on from the newest checkpoint."
    assert world.workers({0: PEER, 1: PEER, 2: DEAD, 3: DEAD}) is RAISE


def test_workers_lost_again_and_again_at_the_same_step_end_the_run() -> None:
    world = World()
    decisions = [world.workers({0: DEAD}) for _ in range(LOSSES_WITHOUT_PROGRESS)]
    assert decisions == [RETRY] * (LOSSES_WITHOUT_PROGRESS - 1) + [RAISE]


def test_processes_that_crash_at_the_same_step_on_living_nodes_are_told_as_such() -> None:
    for nodes_live in (True, False):
        world = World()
        world.nodes_live, world.step = nodes_live, 7
        for _ in range(LOSSES_WITHOUT_PROGRESS):
            assert world.policy.crashed is None
            world.workers({0: PEER, 1: DEAD})
        assert (world.policy.crashed is not None) is nodes_live
        if world.policy.crashed is not None:
            said = "rank 1 ended without an exception 3 times, and came no further than step 7, while its pod lived on"
            assert said in world.policy.crashed


def test_collective_calls_that_fail_while_all_live_are_told_as_such_with_their_own_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = (
        "NCCL error in: ProcessGroupNCCL.cpp:93, " + "x" * 5000 + "\nLast error:\nBootstrap : no socket interface found"
    )
    error = type("DistBackendError", (RuntimeError,), {})(text)
    for nodes_live, dead in ((True, False), (False, False), (True, True)):
        world = World()
        world.nodes_live = nodes_live
        failures = {0: error, 1: DEAD} if dead else {0: error, 1: error}
        decisions = [world.workers(failures if loss == 0 else {0: error}) for loss in range(LOSSES_WITHOUT_PROGRESS)]
        assert decisions == [RETRY] * (LOSSES_WITHOUT_PROGRESS - 1) + [RAISE]
        assert (world.policy.disconnected is not None) is (nodes_live and not dead)
        if world.policy.disconnected is not None:
            assert "failed 3 times" in world.policy.disconnected
            assert "Last error: Bootstrap : no socket interface found" in world.policy.disconnected
            assert len(world.policy.disconnected) < 1200
            assert "the ranks' traces" in caplog.text


def test_workers_that_live_apart_are_no_lost_node() -> None:
    fitting = Fitting.__new__(Fitting)
    fitting._error = WorkerGroupError("", worker_failures={0: PEER})
    fitting._link = DriverLink()
    fitting._link.left = lambda: None  # type: ignore[method-assign]  # there is no Ray
    for told, kind, cause in ((None, Lost, "NodeLost"), ("no socket interface found", Disconnected, "Internal")):
        fitting._policy = World().policy
        fitting._policy.disconnected = told
        with pytest.raises(kind) as caught:
            fitting.value()
        assert judge(caught.value).cause == cause
        if told is not None:
            assert judge(caught.value).message == told


def test_a_process_that_ended_itself_is_not_started_again() -> None:
    world = World()
    world.left = True
    assert world.workers({0: PEER, 1: DEAD}) is RAISE


@given(known=st.lists(st.integers(1180, 1234), min_size=60, max_size=60))
def test_a_crash_at_one_step_ends_the_run_however_late_its_step_is_known(known: list[int]) -> None:
    world = World()
    world.nodes_live, world.saved = True, 1100
    for step in known:
        world.step, world.saved = step, 1150  # told once the first group was gone
        if world.workers({0: DEAD}) is RAISE:
            break
    assert world.policy.crashed is not None


def test_losses_with_progress_between_them_never_end_the_run() -> None:
    for gains in ({"step": 1}, {"saved": 1}):
        world = World()
        world.step = 500
        for loss in range(100):
            world.step = (world.step if "step" in gains else 500 - loss) + gains.get("step", 0)
            world.saved += gains.get("saved", 0)
            assert world.workers({0: DEAD}) is RETRY


def test_crashes_by_the_dozen_within_an_hour_end_the_run_whatever_its_steps_say() -> None:
    world = World()
    world.nodes_live = True
    decisions = []
    for _ in range(CRASHES):
        world.step, world.saved, world.now = world.step + 1, world.saved + 1, world.now + 60
        decisions.append(world.workers({0: DEAD}))
    assert decisions == [RETRY] * (CRASHES - 1) + [RAISE]
    assert world.policy.crashed is not None
    assert f"{CRASHES} times within an hour, last after step {CRASHES}" in world.policy.crashed


def test_crashes_that_are_far_apart_and_pods_that_are_lost_are_not_counted_together() -> None:
    for nodes_live, pause in ((True, CRASH_SECONDS / (CRASHES - 1)), (False, 1.0)):
        world = World()
        world.nodes_live = nodes_live
        for _ in range(5 * CRASHES):
            world.step, world.now = world.step + 1, world.now + pause + 1
            assert world.workers({0: DEAD}) is RETRY


def test_a_replacement_may_take_as_long_as_a_start() -> None:
    world = World(startup_seconds=100)
    world.now = 5000
    world.step = 3
    assert world.workers({1: DEAD}) is RETRY
    for now, decision in ((5060, RETRY), (5099, RETRY), (5101, RAISE)):
        world.now = now
        assert world.start(WorkerGroupStartupTimeoutError(2)) is decision
    assert world.start(InsufficientClusterResourcesError("x")) is RAISE


def test_a_start_that_fails_is_tried_again() -> None:
    assert World().start(WorkerGroupStartupFailedError("a node died")) is RETRY


def test_nothing_is_begun_anew_once_a_stop_is_asked_for() -> None:
    world = World()
    world.stopping = True
    assert world.workers({1: DEAD}) is RAISE
    assert world.start(WorkerGroupStartupFailedError("x")) is RAISE


def test_what_is_behind_ray_trains_error_is_told() -> None:
    storage = StorageError("full")
    assert behind(WorkerGroupError("", worker_failures={0: PEER, 1: storage})) is storage
    lost = behind(WorkerGroupError("", worker_failures={0: DEAD}))
    assert isinstance(lost, Lost)
    assert not lost.memory
    memory = behind(WorkerGroupError("", worker_failures={0: WorkerHealthCheckFailedError("x", OutOfMemoryError("y"))}))
    assert isinstance(memory, Lost)
    assert memory.memory
    assert isinstance(behind(ControllerError(ValueError("x"))), Lost)
    gone = RayTaskError("_join", "", RuntimeError("Connection closed by peer"))
    assert isinstance(behind(ControllerError(gone)), Lost)
    ours = ModuleNotFoundError("No module named 'x'")
    assert behind(ControllerError(RayTaskError("_join", "", ours))) is ours
    other = KeyError("x")
    assert behind(other) is other


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (OutOfMemoryError("2 worker(s) were killed"), "OutOfMemory", "raise head.resources.memory"),
        (ActorDiedError(), "Internal", "Ray's own controller of the training ended unexpectedly"),
    ],
)
def test_a_controller_of_rays_own_that_is_gone_is_no_fault_inside_headway(
    error: Exception, cause: str, message: str
) -> None:
    verdict = judge(behind(error))
    assert verdict.cause == cause
    assert message in verdict.message
    assert "fault inside Headway" not in verdict.message
