"""The training stage with a function of the user's own, as the driver sees it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from headway_api.training import Training
from headway_trainer.data import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.progress_log import Rhythm, describe
from headway_trainer.ray import torch_backend
from headway_trainer.ray.controller_thread import Fit, Fitting
from headway_trainer.ray.kv_link import DriverLink
from headway_trainer.ray.reports import Reports
from headway_trainer.ray.stock import ENV, stock
from headway_trainer.ray.train_stage import POLL_SECONDS, TrainingStage, warn_of_lost_lines, watchdog_of
from headway_trainer.training.link import TrainEnd

log = logging.getLogger("headway.training")


def train_own(stage: TrainingStage, info: DataInfo | None) -> TrainEnd:
    """Run the user's own training function on the job's workers. Raises as `train_stage.train` does."""
    refuse_stock()
    reports = Reports(stage.store, stage.on_progress, keep_last=keep_last_of(stage))
    fit = OwnFit(stage, info, reports, ending=stage.stop)
    for _ in fit.turns(lambda: fit.fitting.done.wait(POLL_SECONDS)):
        if stage.stop.is_set():
            raise Interrupted("stopped; the newest checkpoint that the training function reported is where it goes on")
    fit.fitting.value()
    return fit.end()


def refuse_stock() -> None:
    """Raise UserError where Ray is to be as it is: then its own trainer runs, which knows nothing of reports."""
    if stock():
        raise UserError(f"{ENV}=1 runs the built-in loop alone, and this job has training.entrypoint: take it out")


def keep_last_of(stage: TrainingStage) -> int:
    """How many of the function's checkpoints are kept."""
    return (stage.run.spec.training or Training()).checkpoint.keep_last


class OwnFit:
    """A fit of the user's function under way."""

    def __init__(
        self, stage: TrainingStage, info: DataInfo | None, reports: Reports, *, ending: threading.Event
    ) -> None:
        """Begin. ending: set when it is to end, after which lost workers are not waited for. Raises StorageError."""
        for sentence in reports.recover():
            stage.note(sentence)
        self.fitting = Fitting(
            Fit(
                torch_backend.train_own,
                stage.config(info),
                stage.run,
                stage.gpus,
                stage.note,
                ending,
                run_config=reports.run_config(),
                reports=reports,
                scope=stage.scope,
                pool=stage.pool,
                sharing=stage.sharing,
            )
        )
        self._stage, self._reports = stage, reports
        self.fitting.start()
        self.link = DriverLink(stage.scope)

    def turns(self, ended: Callable[[], bool]) -> Iterator[None]:
        """The turns of the driver's loop: it says that it is alive, and how far the function is, and watches it.

        ended: waits a while for the fit's end. Raises Hang.
        """
        stage, reports, fitting = self._stage, self._reports, self.fitting
        watchdog, spoken = watchdog_of(stage, fitting, from_first_sign=True), Rhythm()
        whose = f"{stage.scope}: " if stage.scope else ""
        while not ended():
            fitting.reached, steps = reports.reached, self.link.steps()
            stage.alive()
            if spoken.due(reports.newest and reports.newest.epoch):
                log.info("%s%s", whose, _described(reports, steps))
                warn_of_lost_lines(stage, self.link)
            watchdog.check((reports.count, steps), step=reports.step)
            yield

    def end(self) -> TrainEnd:
        """What the function came to, by its reports. Raises StorageError."""
        steps = self.link.steps()
        return self._reports.end(None if steps is None else int(steps))


def _described(reports: Reports, steps: bytes | None) -> str:
    counted = "" if steps is None else f"; rank 0 has made {steps.decode()} optimiser steps since the workers began"
    if reports.newest is None:
        return f"the training function has reported nothing yet{counted}"
    return f"{describe(reports.newest)}, {reports.count} reports{counted}"
