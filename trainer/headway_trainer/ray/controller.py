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
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.callbacks.user_callback import UserCallbackHandler
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import FailurePolicy
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup, state, worker_group
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.config import LoggingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from headway_trainer.ray.runtime import WORKER_RESOURCE
from headway_trainer.ray.stock import stock
from headway_trainer.ray.torch_backend import LATER_SECONDS, TorchGroup

_NOT_NEEDED = (PlacementGroupCleanerCallback, DatasetsCallback)


def fit(
    function: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    *,
    workers: int,
    group: TorchGroup,
    run_config: RunConfig,
    policy: FailurePolicy,
    live: WorkerGroupCallback,
    reports: UserCallback | None = None,
) -> Any:
    """Run function(config) on each worker; what rank 0's returned.

    live: is told, in this process, of each group of workers that starts and ends.
    reports: is called, in this process, for each `ray.train.report`; without it the function must not report, and the
    actor that is the workers' barrier is left out.
    Raises `ray.train.TrainingFailedError` when policy gives up.
    """
    run_config.logging_config = LoggingConfig(log_level="WARNING")
    resources = {WORKER_RESOURCE: 1.0, **({"GPU": float(group.gpus)} if group.gpus else {})}
    scaling = ScalingConfig(num_workers=workers, use_gpu=group.gpus > 0, resources_per_worker=resources)
    if stock():
        return _fit_stock(function, config, group, scaling, run_config)
    trainer = _Trainer(
        function, train_loop_config=config, backend_config=group, scaling_config=scaling, run_config=run_config
    )
    trainer.policy, trainer.live, trainer.reports = policy, live, reports
    with contextlib.nullcontext() if reports else _without_barrier():
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


class _Workers(WorkerGroup):  # type: ignore[misc]
    """Workers that take their environment from their node, so that the processes that wait there can be used."""

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


class _Controller(TrainController):  # type: ignore[misc]
    worker_group_cls = _Workers


class _Trainer(DataParallelTrainer):  # type: ignore[misc]
    policy: FailurePolicy
    live: WorkerGroupCallback
    reports: UserCallback | None

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
        asyncio.run(controller.run())
        return controller.get_result()


class _NoActor:
    """Stands where the barrier's actor would."""

    @classmethod
    def options(cls, **_: object) -> type[_NoActor]:
        return cls

    @classmethod
    def remote(cls, **_: object) -> type[_NoActor]:
        return cls


@contextlib.contextmanager
def _without_barrier() -> Iterator[None]:
    """Ray starts the barrier's process with each group of workers; the built-in loop never reports through Ray."""
    actor, shutdown = worker_group.SynchronizationActor, state._shutdown_sync_actor
    worker_group.SynchronizationActor, state._shutdown_sync_actor = _NoActor, lambda _: None
    try:
        yield
    finally:
        worker_group.SynchronizationActor, state._shutdown_sync_actor = actor, shutdown
