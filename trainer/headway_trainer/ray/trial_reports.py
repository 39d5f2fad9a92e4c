"""What the training function of the user's own reports in a trial of `spec.tuning`: as in any job, and by number."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray.train import CheckpointConfig, RunConfig

from headway_api.status import CheckpointStatus
from headway_trainer.errors import NotFound
from headway_trainer.ray.reports import NUMBER, SNAPSHOT, Reports, number_of
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import now
from headway_trainer.training.link import Compared, TrainEnd, TrainProgress


class TrialReports(Reports):
    """Keeps the metric that trials are compared by, by report, and the best checkpoints in place of the newest.

    What attempts before have reported is known of those reports whose checkpoints are still there: the function goes on
    from the newest one, and what it reported after it is reported again.
    """

    def __init__(
        self, store: Store, on_progress: Callable[[TrainProgress], None], *, keep_last: int, compared: Compared
    ) -> None:
        """compared: of the trial, as an own function's is; its values are added to."""
        super().__init__(store, on_progress, keep_last=keep_last)
        self._metric, self._better = compared.metric or "", compared.better
        self._by_number = compared.values

    def run_config(self) -> RunConfig:
        """As for any function, but that the best checkpoints stay; the newest one does, too."""
        config = super().run_config()
        config.checkpoint_config = CheckpointConfig(
            num_to_keep=self._keep_last,
            checkpoint_score_attribute=self._metric,
            checkpoint_score_order=self._better,
        )
        return config

    def recover(self) -> list[str]:
        """As for any function; and take in what is known of reports."""
        notes = super().recover()
        for _, metrics in self._listed():
            if (number := metrics.get(NUMBER)) is not None:
                self._by_number.setdefault(int(number), number_of(metrics.get(self._metric)))
        return notes

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Take a report in. Raises StorageError."""
        own = dict(metrics[0])
        number = own.pop(NUMBER, None)
        if isinstance(number, int):
            self._number = number
            for later in [one for one in self._by_number if one >= number]:
                del self._by_number[later]  # it has gone on from a checkpoint before them
            self._by_number[number] = number_of(own.get(self._metric))
        super().after_report(run_context, [own, *metrics[1:]], checkpoint)

    def end(self, counted: int | None) -> TrainEnd:
        """As for any function, with the best checkpoint that is there."""
        end = super().end(counted)
        return end.model_copy(update={"reports": len(self._by_number), "checkpoint": self._best() or end.checkpoint})

    def _best(self) -> CheckpointStatus | None:
        sign = 1.0 if self._better == "min" else -1.0
        ranked = [
            (sign * value, int(metrics.get(NUMBER) or 0), folder)
            for folder, metrics in self._listed()
            if (value := number_of(metrics.get(self._metric))) is not None and self._folder.exists(folder)
        ]
        if not ranked:
            return None
        _, number, folder = min(ranked)
        return CheckpointStatus(uri=self._folder.child(folder).uri, step=number, time=now())

    def _listed(self) -> list[tuple[str, dict[str, Any]]]:
        """Ray Train's list of checkpoints: each one's folder, and what was reported with it."""
        try:
            listed = json.loads(self._folder.read(SNAPSHOT))["checkpoint_results"]
            return [(one["checkpoint_dir_name"], dict(one["metrics"])) for one in listed]
        except (NotFound, ValueError, KeyError, TypeError):
            return []
