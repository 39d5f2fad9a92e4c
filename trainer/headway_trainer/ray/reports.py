"""What a user's own training function reports through `ray.train.report`: progress, last values, checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from ray.train import CheckpointConfig, RunConfig
from ray.train.v2.api.callback import UserCallback

from headway_api.status import CheckpointStatus
from headway_api.status_words import MAX_METRIC_NAME_LENGTH, MAX_METRICS
from headway_trainer.errors import NotFound
from headway_trainer.ray.failure_policy import Reached
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import RAY_FOLDER, RAY_RUN, now
from headway_trainer.training.link import Measured, TrainEnd, TrainProgress

SNAPSHOT = "checkpoint_manager_snapshot.json"
_BACKUP = "checkpoint_manager_snapshot.backup.json"
NUMBER = "headway/report"
"""Beside what a trial's function reports: which of its reports it is, counted from 1."""
_EPOCH_NAMES = ("epoch", "current_epoch")
_STEP_NAMES = ("step", "global_step", "iteration")


class Reports(UserCallback):  # type: ignore[misc]  # ray has no types
    """Keeps the last value of each number that rank 0 reports, and passes progress on.

    Ray Train keeps its list of checkpoints in one file that it rewrites in place, and cannot resume once that file was
    cut short: so each list that is whole is copied, and put back where needed.
    """

    def __init__(self, store: Store, on_progress: Callable[[TrainProgress], None], *, keep_last: int) -> None:
        """keep_last: how many of the newest checkpoints stay."""
        self.count = 0
        """How often was reported."""
        self._count_before = 0
        """How often before this group of workers began."""
        self._checkpoints = 0
        self._store = store
        self._folder = store.child(RAY_FOLDER, RAY_RUN)
        self._on_progress = on_progress
        self._values: dict[str, float] = {}
        self._not_finite: dict[str, None] = {}
        """The names of those whose newest value is no finite number; what they were before stays a value."""
        self._checkpoint: CheckpointStatus | None = None
        self.newest: TrainProgress | None = None
        """What was passed on last."""
        self._notes: list[str] = []
        self._resumed = False
        """Whether training went on from a checkpoint, or began once more."""
        self._keep_last = keep_last
        self._number: int | None = None
        """Which of a trial's reports the newest is, over all attempts."""

    @property
    def step(self) -> int:
        """The last step that was reported; the number of reports where none was."""
        return self._whole(_STEP_NAMES) or self.count

    @property
    def reached(self) -> Reached:
        """How far training has come; without a step, in reports of this group of workers: it may repeat the others."""
        return Reached(self._whole(_STEP_NAMES) or self.count - self._count_before, self._checkpoints)

    def run_config(self) -> RunConfig:
        """Where Ray Train puts what is reported."""
        ray_store = self._store.child(RAY_FOLDER)
        return RunConfig(
            name=RAY_RUN,
            storage_path=ray_store.base,
            storage_filesystem=ray_store.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=self._keep_last),
        )

    def recover(self) -> list[str]:
        """See to it that Ray Train can read its list of checkpoints; sentences for people."""
        if not self._folder.exists(SNAPSHOT):
            return []
        if self._is_whole(SNAPSHOT):
            # The copy may list a checkpoint that had to make room just before the end.
            self._folder.write(_BACKUP, self._folder.read(SNAPSHOT))
            self._resumed = True
            return []
        if self._is_whole(_BACKUP):
            self._folder.write(SNAPSHOT, self._folder.read(_BACKUP))
            self._resumed = True
            return ["Ray Train's list of checkpoints was damaged; the list before it is used."]
        self._folder.delete(SNAPSHOT)
        return ["Ray Train's list of checkpoints was damaged, and there is none before it: training begins afresh."]

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Take a report in. Raises StorageError."""
        self.count += 1
        self._take(metrics[0])
        if checkpoint is not None:
            self._checkpoints += 1
            uri = self._folder.child(checkpoint.path.rstrip("/").rpartition("/")[2]).uri
            self._checkpoint = CheckpointStatus(uri=uri, step=self.step, time=now())
            self._folder.write(_BACKUP, self._folder.read(SNAPSHOT))
        self.newest = TrainProgress(
            epoch=self._whole(_EPOCH_NAMES) or 0,
            step=self.step,
            counts_reports=self._whole(_STEP_NAMES) is None,
            metrics=dict(self._values),
            measured=[self._measured(metrics[0])],
            not_finite=list(self._not_finite),
            checkpoint=self._checkpoint,
            notes=self._notes,
        )
        self._on_progress(self.newest)

    def after_exception(self, run_context: Any, worker_exceptions: Any) -> None:  # noqa: ARG002 - Ray's signature
        """A group of workers has ended; the next one may begin from nothing."""
        self._count_before = self.count
        self._resumed = True

    def end(self, counted: int | None) -> TrainEnd:
        """What there is to tell at the end. counted: the optimiser steps of the last group of workers, if any were.

        Those of a run that was resumed are not known: how many the checkpoint stands for is the function's secret.
        """
        reported = self._whole(_STEP_NAMES)
        return TrainEnd(
            finished=True,
            reports=self.count,
            own_steps=counted if reported is None and not self._resumed else reported,
            checkpoint=self._checkpoint,
            metrics={"reported": dict(self._values)},
            notes=self._notes,
        )

    def _take(self, reported: dict[Any, Any]) -> None:
        """Keep the numbers; of too many names, those that were reported last."""
        for key, value in reported.items():
            name = str(key)[:MAX_METRIC_NAME_LENGTH]
            if isinstance(value, float) and not math.isfinite(value):
                self._not_finite[name] = None
            elif _is_number(value):
                self._not_finite.pop(name, None)
                self._values.pop(name, None)
                self._values[name] = float(value)
        others = [name for name in self._values if name not in _EPOCH_NAMES + _STEP_NAMES]
        values, not_finite = len(self._values) - MAX_METRICS, len(self._not_finite) - MAX_METRICS
        for name in others[: max(0, values)]:
            del self._values[name]
        for name in list(self._not_finite)[: max(0, not_finite)]:
            del self._not_finite[name]
        if values > 0 or not_finite > 0:
            self._notes = [
                f"More than {MAX_METRICS} names of metrics were reported: the status and the result have those that "
                "were reported last."
            ]

    def _measured(self, reported: dict[Any, Any]) -> Measured:
        """The numbers of one report. Its step is the function's own, or else its epoch, or its number in a trial."""
        numbers = {str(key)[:MAX_METRIC_NAME_LENGTH]: number_of(value) for key, value in reported.items()}
        values = {name: value for name, value in numbers.items() if value is not None}
        step = self._whole(_STEP_NAMES)
        if step is None:
            step = self._whole(_EPOCH_NAMES)
        return Measured(step=self._number if step is None else step, values=values)

    def _whole(self, names: tuple[str, ...]) -> int | None:
        value = next((self._values[name] for name in names if name in self._values), None)
        return int(value) if value is not None and value >= 0 and value == int(value) else None

    def _is_whole(self, name: str) -> bool:
        """Whether a list can be read and what it lists is there."""
        try:
            listed = json.loads(self._folder.read(name))
            folders = [result["checkpoint_dir_name"] for result in listed["checkpoint_results"]]
        except (NotFound, ValueError, KeyError, TypeError):
            return False
        return all(self._folder.exists(folder) for folder in folders)


def number_of(value: object) -> float | None:
    """A reported value as a finite number; none for what is none."""
    return float(value) if _is_number(value) else None  # type: ignore[arg-type]  # it is one


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]  # that is the question
    except (OverflowError, TypeError, ValueError):
        return False
