"""Weights & Biases, by the SDK of the user's image: a run of a job is a run there, and its trials are in its group.

The SDK sends in a process of its own and says that all has arrived only when a run is finished. So nothing counts as
told before; a run that goes on is resumed by its id, and numbers up to the step that the server has are not told again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from headway_api.tracking import WandB
from headway_trainer.tracking.events import Began, Ended, Point
from headway_trainer.tracking.trackers.addresses import refuse_clouds_own
from headway_trainer.tracking.trackers.base import BrokenError, DownError, Known, shown

INIT_SECONDS = 30.0


class WandBService:
    """The service, or a server of one's own."""

    def __init__(self, settings: WandB, job: str) -> None:
        """job: its name. Raises BrokenError where the image has no wandb, or there is no key."""
        if settings.uri is not None:
            refuse_clouds_own(settings.uri)
        os.environ.setdefault("WANDB_SILENT", "true")
        try:
            self._wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise BrokenError(
                f"tracking.wandb needs the package wandb, which the image does not have ({error}): install it there"
            ) from error
        if "WANDB_API_KEY" not in os.environ and os.environ.get("WANDB_MODE") != "offline":
            raise BrokenError(
                "tracking.wandb needs a key: put WANDB_API_KEY into the Secret of tracking.secretRef, or, under headway"
                " run, into the environment"
            )
        self._settings, self._job = settings, job
        self._folder = os.environ.get("WANDB_DIR") or tempfile.mkdtemp(prefix="headway-wandb-")
        self._open: dict[str, Any] = {}
        """Runs that the SDK sends of, by their ids."""

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:  # noqa: ARG002 - groups say it
        """Make the run, or resume it."""
        run_id = known.id if known is not None else id_of(began)
        with _errors():
            run = self._opened(
                run_id,
                name=began.name,
                group=began.identity,
                job_type="trial" if began.scope else "job",
                config={**began.parameters, **began.tags},
                allow_val_change=True,
            )
            return Known(id=run_id, step=int(run.starting_step) - 1)

    def points(self, known: Known, points: Sequence[Point]) -> None:
        """Tell numbers."""
        with _errors():
            run = self._opened(known.id)
            for point in points:
                run.log(point.values, step=point.step)

    def end(self, known: Known, ended: Ended) -> None:
        """Tell how it ended, and wait until all of it has arrived."""
        with _errors():
            run = self._opened(known.id)
            run.summary.update(ended.values)
            run.config.update({**ended.tags, "headway.state": ended.state}, allow_val_change=True)
            run.finish(exit_code=0 if ended.state in ("completed", "stopped") else 1)
            del self._open[known.id]

    def settled(self) -> bool:
        """Whether no run is open."""
        return not self._open

    def close(self, seconds: float) -> None:  # noqa: ARG002 - the process is ended when its time is over
        """Finish the runs that have not ended: an attempt was stopped."""
        with _errors():
            for run_id in list(self._open):
                self._open.pop(run_id).finish(exit_code=1)

    def _opened(self, run_id: str, **given: Any) -> Any:
        if run_id not in self._open:
            settings = self._wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                disable_job_creation=True,
                init_timeout=INIT_SECONDS,
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
                **({"base_url": self._settings.uri} if self._settings.uri is not None else {}),
            )
            self._open[run_id] = self._wandb.init(
                project=self._settings.project,
                entity=self._settings.entity,
                id=run_id,
                resume="allow",
                reinit="create_new",
                dir=self._folder,
                settings=settings,
                **given,
            )
        return self._open[run_id]


def id_of(began: Began) -> str:
    """A run's id: the same for each attempt."""
    return hashlib.sha256(f"{began.identity}/{began.scope}".encode()).hexdigest()[:32]


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the SDK raises: it is tried again
        raise DownError(f"{type(error).__name__}: {shown(str(error))}") from error
