"""The training stage as the driver sees it: it starts Ray Train, passes progress on, and asks the loop to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headway_api import wire
from headway_trainer.data import DataInfo
from headway_trainer.errors import StorageError, UserError
from headway_trainer.outcome import Interrupted, Lost
from headway_trainer.training.link import TrainEnd, TrainProgress

STOP_SECONDS = 100.0
"""How long a checkpoint may take once a stop is asked for; less than a pod's grace period."""
_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class TrainingStage:
    """What the stage works with."""

    run: wire.RunFile
    secret_dir: str | None
    use_gpu: bool
    stop: threading.Event
    """Set when the driver is asked to stop."""
    on_progress: Callable[[TrainProgress], None]
    note: Callable[[str], None]
    """Takes a sentence for people."""


def train(stage: TrainingStage, info: DataInfo) -> TrainEnd:
    """Run the built-in loop on the job's workers.

    Raises UserError and StorageError from the workers, Lost when workers are lost beyond repair, and Interrupted
    when the stop was asked for and the loop has ended, or did not in time.
    """
    from headway_trainer.training import worker

    config = {
        "run": stage.run.model_dump_json(),
        "info": info.model_dump_json(),
        "secret_dir": stage.secret_dir,
    }
    fitting = _Fitting(stage, worker.train, config)
    fitting.start()
    value = _watch(stage, fitting)
    end = TrainEnd.model_validate(value)
    if not end.finished:
        raise Interrupted(f"stopped after step {end.step}; the checkpoint of that step is where it goes on")
    return end


def _watch(stage: TrainingStage, fitting: _Fitting) -> Any:
    from headway_trainer.training.ray_link import DriverLink

    link = DriverLink()
    last: TrainProgress | None = None
    asked_at: float | None = None
    while not fitting.done.wait(_POLL_SECONDS):
        progress = link.progress()
        if progress is not None and progress != last:
            last, fitting.step = progress, progress.step
            stage.on_progress(progress)
        if stage.stop.is_set() and asked_at is None:
            link.ask_to_stop()
            asked_at = time.monotonic()
        if asked_at is not None and time.monotonic() - asked_at > STOP_SECONDS:
            raise Interrupted(f"stopped; no checkpoint could be taken within {STOP_SECONDS:.0f} seconds")
    if (progress := link.progress()) is not None and progress != last:
        stage.on_progress(progress)
    return fitting.value()


class _Fitting(threading.Thread):
    """Ray Train's controller, in a thread: the main thread is for signals and progress."""

    def __init__(self, stage: TrainingStage, function: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> None:
        super().__init__(name="headway-fit", daemon=True)
        self.done = threading.Event()
        self.step = 0
        self._stage, self._function, self._config = stage, function, config
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
        """What rank 0's function returned. Raises what it raised."""
        if self._error is None:
            return self._value
        raise _told(self._error)

    def _fit(self) -> Any:
        import tempfile

        from ray.train import RunConfig

        from headway_trainer.training.failures import Policy
        from headway_trainer.training.ray_trainer import fit

        run = self._stage.run
        policy = Policy(
            step=lambda: self.step,
            startup_seconds=run.spec.scheduling.startup_deadline_seconds,
            tell=self._stage.note,
        )
        with tempfile.TemporaryDirectory(prefix="headway-train-") as folder:
            return fit(
                self._function,
                self._config,
                workers=run.spec.workers.replicas,
                use_gpu=self._stage.use_gpu,
                # The loop's checkpoints are its own: Ray Train has nothing to store.
                run_config=RunConfig(name=run.uid or run.name, storage_path=folder),
                policy=policy,
                reports=False,
            )


def _told(error: BaseException) -> BaseException:
    """What is behind the error of Ray Train."""
    from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

    from headway_trainer.training.failures import Kind, kind_of, own_failure

    if isinstance(error, WorkerGroupError):
        own = own_failure(error.worker_failures)
        if isinstance(own, UserError | StorageError):
            return own
        if own is not None:
            return own
        kinds = {kind_of(failure) for failure in error.worker_failures.values()}
        return Lost(str(next(iter(error.worker_failures.values()))), memory=Kind.MEMORY in kinds)
    if isinstance(error, ControllerError):
        return Lost(str(error.controller_failure), memory=False)
    return error
