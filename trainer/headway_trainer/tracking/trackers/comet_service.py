"""Comet, by the SDK of the user's image: a run of a job is an experiment there, and so is each of its trials, which
names its parent. The SDK sends in threads; `flush` says whether all has arrived."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from headway_api.tracking import Comet
from headway_trainer.tracking.events import Began, Ended, Point
from headway_trainer.tracking.trackers.base import BrokenError, DownError, Known, shown
from headway_trainer.tracking.trackers.wandb_service import id_of

PARENT = "headway.parent"
"""The key of the experiment that a trial belongs to."""
FLUSH_SECONDS = 10


class CometService:
    """The service."""

    def __init__(self, settings: Comet, job: str) -> None:
        """job: its name. Raises BrokenError where the image has no comet_ml, or there is no key."""
        try:
            self._comet: Any = importlib.import_module("comet_ml")
        except ImportError as error:
            raise BrokenError(
                f"tracking.comet needs the package comet_ml, which the image does not have ({error}): install it there"
            ) from error
        if "COMET_API_KEY" not in os.environ:
            raise BrokenError(
                "tracking.comet needs a key: put COMET_API_KEY into the Secret of tracking.secretRef, or, under headway"
                " run, into the environment"
            )
        self._settings, self._job = settings, job
        self._open: dict[str, Any] = {}

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:
        """Make the experiment, or go on with it."""
        found = known or Known(id=id_of(began))
        with _errors():
            experiment = self._opened(found.id, began.name)
            if known is None:
                experiment.log_parameters(began.parameters)
            experiment.log_others(began.tags | ({PARENT: parent.id} if parent is not None else {}))
        return found

    def points(self, known: Known, points: Sequence[Point]) -> None:
        """Tell numbers."""
        with _errors():
            experiment = self._opened(known.id)
            for point in points:
                experiment.log_metrics(point.values, step=point.step)

    def end(self, known: Known, ended: Ended) -> None:
        """Tell how it ended, and wait until all of it has arrived."""
        with _errors():
            experiment = self._opened(known.id)
            experiment.log_metrics(ended.values, step=max(known.step, 0))
            experiment.log_others(ended.tags | {"headway.state": ended.state})
            experiment.end()
            del self._open[known.id]

    def settled(self) -> bool:
        """Whether all that was told has arrived."""
        with _errors():
            return all(bool(one.flush(timeout=FLUSH_SECONDS)) for one in self._open.values())

    def close(self, seconds: float) -> None:  # noqa: ARG002 - the process is ended when its time is over
        """End what has not ended."""
        with _errors():
            for key in list(self._open):
                self._open.pop(key).end()

    def _opened(self, key: str, name: str | None = None) -> Any:
        if key not in self._open:
            silent = self._comet.ExperimentConfig(
                log_code=False,
                log_graph=False,
                parse_args=False,
                display_summary_level=0,
                log_git_metadata=False,
                log_git_patch=False,
                log_env_details=False,
                auto_output_logging=False,
                auto_param_logging=False,
                auto_metric_logging=False,
                auto_log_co2=False,
                name=name,
            )
            self._open[key] = self._comet.start(
                workspace=self._settings.workspace,
                project=self._settings.project,
                experiment_key=key,
                mode="get_or_create",
                online=True,
                experiment_config=silent,
            )
        return self._open[key]


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the SDK raises: it is tried again
        raise DownError(f"{type(error).__name__}: {shown(str(error))}") from error
