"""Ray Train with its controller in this process, and without the actors that one job alone does not need.

Stock Ray Train starts, one after the other, processes for the controller, the autoscaling coordinator, the cleaner of
placement groups, the data set manager and the barrier of `report`, and imports torch in most of them, before the first
worker. Here the driver is the head pod's main process: its end is the cluster's end, so nothing has to outlive it, and
the controller's decisions (docs/decisions/0030) and callbacks run where the driver can see them.

`_Trainer` is what Ray's TorchTrainer is: a DataParallelTrainer with a torch backend. These are not public interfaces of
Ray, which is pinned to one minor version; a test drives them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.callbacks.user_callback import UserCallbackHandler
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import FailurePolicy
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup, WorkerGroupState, state, worker_group
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.config import LoggingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from headway_trainer.process_resources import ALONE, Sharing, part
from headway_trainer.ray.pool import KeptGroup, Shape, WorkerGroupPool
from headway_trainer.ray.runtime import WORKER_RESOURCE
from headway_trainer.ray.stock import stock
from headway_trainer.ray.torch_backend import LATER_SECONDS, TorchGroup, await_end, leave

log = logging.getLogger("headway.training")

_NOT_NEEDED = (PlacementGroupCleanerCallback, DatasetsCallback)


def fit(
    function: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    *,
    pods: int,
    processes: int,
    group: TorchGroup,
    sharing: Sharing = ALONE,
    run_config: RunConfig,
    policy: FailurePolicy,
    live: WorkerGroupCallback,
    reports: UserCallback | None = None,
    pool: WorkerGroupPool | None = None,
) -> Any:
    """Run function(config) in each of `processes` training processes of each of `pods` worker pods; what rank 0's
    returned.

    sharing: with how many fits each of them shares its place and its GPU, which then is one.
    live: is told, in this process, of each group of workers that starts and ends.
    reports: is called, in this process, for each `ray.train.report`; without it the function must not report, and the
    actor that is the workers' barrier is left out.
    pool: where the processes come from, if it has some, and stay; without it they end with the function.
    Raises `ray.train.TrainingFailedError` when policy gives up.
    """
    run_config.logging_config = LoggingConfig(log_level="WARNING")
    gpus = {"GPU": group.gpus * part(sharing.gpus)} if group.gpus else {}
    resources = {WORKER_RESOURCE: part(sharing.places), **gpus}
    scaling = ScalingConfig(num_workers=pods * processes, use_gpu=group.gpus > 0, resources_per_worker=resources)
    if stock():
        return _fit_stock(function, config, group, scaling, run_config)
    trainer = _Trainer(
        function, train_loop_config=config, backend_config=group, scaling_config=scaling, run_config=run_config
    )
    trainer.policy, trainer.live, trainer.reports = policy, live, reports
    trainer.workers = workers_in_pods(Shape(pods, processes, group.gpus, sharing), pool)
    with contextlib.nullcontext() if reports else _without_barrier:
        return trainer.fit().return_value


def _fit_stock(
    function: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    group: TorchGroup,
    scaling: ScalingConfig,
    run_config: RunConfig,
) -> Any:
    """By Ray's own trainer; what is lost ends the fit."""
    from ray.train.torch import TorchConfig, TorchTrainer  # it imports torch

    own = TorchConfig(backend="nccl" if group.gpus else "gloo", timeout_s=group.progress_seconds + LATER_SECONDS)
    trainer = TorchTrainer(
        function, train_loop_config=config, torch_config=own, scaling_config=scaling, run_config=run_config
    )
    return trainer.fit().return_value


class _StaticScaling(FixedScalingPolicy):  # type: ignore[misc]  # ray has no types
    """A fixed number of workers, without telling an autoscaler that is not there."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Nothing to register with."""

    def _maybe_send_resource_request(self) -> None:
        """Nobody to ask."""


class _Workers(WorkerGroup):  # type: ignore[misc]  # ray has no types
    """Workers that take their environment from their node, so that the processes that wait there can be used.

    Their placement group has one bundle for each pod, which takes all that the pod has for training processes: so a pod
    has as many as were asked for, or none, also while there are more pods than the group needs.
    """

    shape = Shape(1, 1, 0)
    pool: WorkerGroupPool | None = None
    _kept: KeptGroup | None = None
    _worker_group_state: Any

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> Any:
        self._kept = None if self.pool is None else self.pool.take(self.shape)
        if self._kept is not None:
            log.info("the training processes of an earlier child go on with the next one")
            return self._kept.placement
        each = worker_group_context.resources_per_worker
        pod = {name: amount * self.shape.processes for name, amount in each.items()}
        return super()._create_placement_group(
            scaling_config,
            dataclasses.replace(worker_group_context, num_workers=self.shape.pods, resources_per_worker=pod),
        )

    def _create_workers(self, num_workers: int, *arguments: Any, **keywords: Any) -> Any:
        if self._kept is not None:
            return self._kept.workers
        bundles = [index // self.shape.processes for index in range(num_workers)]
        workers = super()._create_workers(num_workers, *arguments, placement_group_bundle_indices=bundles, **keywords)
        for worker, place in zip(workers, places([one.metadata.node_id for one in workers]), strict=True):
            worker.distributed_context = dataclasses.replace(worker.distributed_context, **place._asdict())
        return workers

    def _start(self) -> None:
        """As Ray's, but that nothing stays of a group whose ranks did not join.

        Ray forgets it with its actors and its placement group, which keep whole pods from any group that follows.
        """
        try:
            super()._start()
        except Exception:
            if self.has_started():
                self.shutdown()
            raise

    def shutdown(self) -> None:
        """As Ray's, but that the processes of a group that has done its work stay where there is a pool."""
        state, status = self._worker_group_state, self._latest_poll_status
        ended_well = status is not None and status.finished and not status.errors
        if self.pool is not None and state is not None and ended_well:
            # Nobody waits for it here: what the child came to is told meanwhile, and the next one made.
            leaving = [worker.execute_async(leave) for worker in state.workers]
            kept = KeptGroup(state.placement_group_handle, state.workers, leaving)
            self._worker_group_state = _Kept(**vars(state), keep=partial(self.pool.put, self.shape, kept))
        super().shutdown()

    def await_end(self, seconds: float) -> None:
        """Wait until all training functions have returned or a process has died, for so many seconds at most."""
        # A process is called by what its actor does: by this name people, and `ps`, know what it is there for.
        named = [worker.actor.execute.options(name="RayTrainWorker.await_end") for worker in self.get_workers()]
        ended = [execute.remote(await_end, seconds) for execute in named]
        ray.wait(ended, num_returns=len(ended), timeout=seconds)

    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> dict[str, Any]:
        return dict(custom_runtime_env)

    def _init_train_context_on_workers(self, workers: Any, sync_actor: Any, train_context_args: dict[str, Any]) -> None:
        """As Ray's, but there is no controller actor to hand out."""
        ray.get(
            [
                worker.actor.init_train_context.remote(
                    train_run_context=self._train_run_context,
                    distributed_context=worker.distributed_context,
                    synchronization_actor=None if sync_actor is _NoActor else sync_actor,
                    storage_context=self._storage_context,
                    worker_callbacks=self._worker_callbacks_to_propagate,
                    controller_actor=None,
                    **{name: values[index] for name, values in train_context_args.items()},
                )
                for index, worker in enumerate(workers)
            ]
        )


@dataclasses.dataclass(frozen=True)
class _Kept(WorkerGroupState):  # type: ignore[misc]  # ray has no types
    """The state of a group whose processes stay when it is shut down."""

    keep: Callable[[], None]

    def shutdown(self) -> None:
        """Put the processes by; the barrier of their reports is made anew for each function that reports."""
        if self.sync_actor is not _NoActor:
            state._shutdown_sync_actor(self.sync_actor)
        self.keep()


def workers_in_pods(shape: Shape, pool: WorkerGroupPool | None = None) -> type[WorkerGroup]:
    """The class of a group of workers of a shape. pool: as `fit` has it."""
    return type("WorkersInPods", (_Workers,), {"shape": shape, "pool": pool})


class Place(NamedTuple):
    """Where one rank runs."""

    local_rank: int
    """Its number among the ranks of its node."""
    local_world_size: int
    node_rank: int
    """Its node's number."""


def places(nodes: Sequence[str]) -> list[Place]:
    """The place of each rank, by the node that it runs on. Pure.

    Ray goes by IP addresses, which pods with `hostNetwork` share, though each has GPUs of its own that begin at 0.
    """
    ranks: dict[str, list[int]] = {}
    for rank, node in enumerate(nodes):
        ranks.setdefault(node, []).append(rank)
    found = {
        rank: Place(local, len(on_it), number)
        for number, on_it in enumerate(ranks.values())
        for local, rank in enumerate(on_it)
    }
    return [found[rank] for rank in range(len(nodes))]


class _Trainer(DataParallelTrainer):  # type: ignore[misc]  # ray has no types
    policy: FailurePolicy
    live: WorkerGroupCallback
    reports: UserCallback | None
    workers: type[WorkerGroup]

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = [one for one in super()._create_default_callbacks() if not isinstance(one, _NOT_NEEDED)]
        # Not through RunConfig, which is sent to the workers.
        own = [self.reports] if self.reports else []
        # First this one: it has to know the workers while they are joined.
        return [
            self.live,
            *callbacks,
            UserCallbackHandler(user_callbacks=own, train_run_context=self.train_run_context),
        ]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        arguments |= {"scaling_policy": _StaticScaling(self.scaling_config), "failure_policy": self.policy}
        controller = _Controller(**arguments)
        controller.worker_group_cls = self.workers
        asyncio.run(controller.run())
        return controller.get_result()


class _Controller(TrainController):  # type: ignore[misc]  # ray has no types
    """Looks at workers that stay for the next child as soon as they are done, and not at its next turn alone."""

    async def _poll_workers(self) -> Any:
        group = self.get_worker_group()
        if isinstance(group, _Workers) and group.pool is not None:
            group.await_end(self._health_check_interval_s)
            self._latest_poll_time = float("-inf")
        return await super()._poll_workers()


class _NoActor:
    """Stands where the barrier's actor would."""

    @classmethod
    def options(cls, **_: object) -> type[_NoActor]:
        return cls

    @classmethod
    def remote(cls, **_: object) -> type[_NoActor]:
        return cls


class _WithoutBarrier:
    """Ray starts the barrier's process with each group of workers; the built-in loop never reports through Ray.

    Several fits may be within it at once: the last one that leaves puts Ray's own back.
    """

    def __init__(self) -> None:
        self._lock, self._within = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                self._own = worker_group.SynchronizationActor, state._shutdown_sync_actor
                worker_group.SynchronizationActor, state._shutdown_sync_actor = _NoActor, lambda _: None

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                worker_group.SynchronizationActor, state._shutdown_sync_actor = self._own


_without_barrier = _WithoutBarrier()
