"""Ray Train's controller in a thread of the driver: the main thread is for signals and progress."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.exceptions import OutOfMemoryError as RayOutOfMemoryError
from ray.exceptions import RayActorError, RayTaskError
from ray.train import RunConfig
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from headway_api import wire
from headway_trainer.errors import OutOfMemory, UserError
from headway_trainer.outcome import Broken, Disconnected, Lost
from headway_trainer.process_resources import ALONE, Sharing
from headway_trainer.ray.controller import fit
from headway_trainer.ray.failure_policy import Kind, Policy, Reached, kind_of, own_failure
from headway_trainer.ray.kv_link import DriverLink
from headway_trainer.ray.pool import WorkerGroupPool
from headway_trainer.ray.torch_backend import TorchGroup
from headway_trainer.ray.watchdog import LiveWorkers


@dataclass(frozen=True)
class Fit:
    """What is fitted, and how."""

    function: Callable[[dict[str, Any]], Any]
    config: dict[str, Any]
    run: wire.RunFile
    gpus: int
    """Lent to each training process; 0: it works on the CPU."""
    note: Callable[[str], None]
    """Takes a sentence for people."""
    stop: threading.Event
    """Set when the run is asked to stop: then lost workers are not waited for."""
    run_config: RunConfig | None = None
    """Where Ray Train stores what is reported; nowhere if nothing is."""
    reports: UserCallback | None = None
    """Called for each report."""
    scope: str = ""
    """Of the run that is trained."""
    pool: WorkerGroupPool | None = None
    """Where training processes come from and stay; none if they end with the fit."""
    sharing: Sharing = ALONE
    """With how many fits each process shares its place and its GPU."""


class Fitting(threading.Thread):
    """A fit under way."""

    def __init__(self, what: Fit) -> None:
        super().__init__(name=f"headway-controller {what.scope}".strip(), daemon=True)
        self.done = threading.Event()
        self.live = LiveWorkers()
        """The workers that train now."""
        self.reached = Reached()
        """How far training has come: the main thread sets it."""
        self._what = what
        self._link = DriverLink(what.scope)
        self._policy: Policy | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Fit, and keep what came of it."""
        try:
            self._value = self._fit()
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def value(self) -> Any:
        """What rank 0's function returned. Raises what a worker's raised, UserError for one that left, Disconnected, or
        Lost."""
        if self._error is None:
            return self._value
        error = behind(self._error)
        if isinstance(error, Lost) and not error.memory:
            crashed, disconnected = (self._policy.crashed, self._policy.disconnected) if self._policy else (None, None)
            if (users := self._link.left() or crashed) is not None:
                raise UserError(users) from self._error
            if disconnected is not None:
                raise Disconnected(disconnected) from self._error
        raise error

    def _fit(self) -> Any:
        what = self._what
        policy = Policy(
            reached=lambda: self.reached,
            startup_seconds=what.run.spec.scheduling.startup_deadline_seconds,
            tell=what.note,
            stopping=what.stop.is_set,
            left=lambda: self._link.left() is not None,
            lives=self.live.lives,
        )
        self._policy = policy
        with tempfile.TemporaryDirectory(prefix="headway-train-") as folder:
            return fit(
                what.function,
                what.config,
                pods=what.run.spec.workers.replicas,
                processes=what.run.spec.workers.processes_each,
                group=TorchGroup(
                    gpus=what.gpus,
                    gpu_sharers=what.sharing.gpus,
                    progress_seconds=what.run.spec.progress_deadline_seconds,
                ),
                sharing=what.sharing,
                run_config=what.run_config or RunConfig(name=what.scope or "run", storage_path=folder),
                policy=policy,
                live=self.live,
                reports=what.reports,
                pool=what.pool,
            )


def behind(error: BaseException) -> BaseException:
    """What is behind an error of Ray Train: a worker's own exception, or what was lost."""
    if isinstance(error, WorkerGroupError):
        if (own := own_failure(error.worker_failures)) is not None:
            return own
        kinds = {kind_of(failure) for failure in error.worker_failures.values()}
        first = next(iter(error.worker_failures.values()))
        return Lost(_first_line(first), memory=Kind.MEMORY in kinds)
    if isinstance(error, ControllerError):
        return _behind_start(error.controller_failure)
    if isinstance(error, RayActorError | RayOutOfMemoryError):
        return _behind_own_controller(error)
    return error


def _behind_start(failure: BaseException) -> BaseException:
    """Of workers that did not start."""
    if isinstance(failure, RayTaskError) and kind_of(failure.cause) is Kind.OWN:
        # What readies the workers has raised: a fault of ours, and nothing that a new worker would not meet.
        raised: BaseException = failure.cause
        return raised
    return Lost(_first_line(failure), memory=False)


def _behind_own_controller(error: BaseException) -> BaseException:
    """Of Ray as it is (`stock`), whose controller is an actor in the head pod: it is gone."""
    if kind_of(error) is Kind.MEMORY:
        return OutOfMemory(
            "Ray ended its own controller of the training, a process of the head pod, for want of memory: raise"
            " head.resources.memory"
        )
    return Broken(f"Ray's own controller of the training ended unexpectedly: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
