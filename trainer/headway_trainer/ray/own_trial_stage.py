"""A trial with a training function of the user's own, as the driver sees it."""

from __future__ import annotations

import logging
import threading
import time

import ray

from headway_trainer.data import DataInfo
from headway_trainer.outcome import Hang
from headway_trainer.ray.controller_thread import Fitting
from headway_trainer.ray.own_stage import OwnFit, keep_last_of, refuse_stock
from headway_trainer.ray.train_stage import Questions, TrainingStage
from headway_trainer.ray.trial_reports import TrialReports
from headway_trainer.training.link import TrainEnd

STOP_SECONDS = 10.0
"""How long a function may go on once it was told to end."""
_GONE_SECONDS = 30.0
log = logging.getLogger("headway.training")


def train_own_trial(stage: TrainingStage, info: DataInfo | None) -> TrainEnd:
    """Run the user's function as a trial: what it reports is added to `stage.compared`.

    The end says `pruned` of one that the scheduler or a limit has ended, and is not `finished` of one that was stopped
    on its way as `stage.stop` was set. Raises as `own_stage.train_own` does, but Interrupted.
    """
    compared = stage.compared
    refuse_stock()
    if compared is None:
        raise ValueError(f"{stage.scope} is compared with nothing")
    reports = TrialReports(stage.store, stage.on_progress, keep_last=keep_last_of(stage), compared=compared)
    ending = threading.Event()
    fit = OwnFit(stage, info, reports, ending=ending)
    asked = Questions(stage, fit.link)
    until: float | None = None
    for _ in fit.turns(lambda: asked.ended(fit.fitting.done)):
        if until is None and (stage.stop.is_set() or asked.refused):
            ending.set()
            fit.link.ask_to_stop()
            until = time.monotonic() + STOP_SECONDS
        if until is not None and time.monotonic() > until:
            _end_processes(stage, fit.fitting)
            break
    told = until is not None
    own_end = _came_to_its_end(stage, fit.fitting, told=told)
    # One that raises TrialStopped though nobody has told it to end has come to its end.
    return fit.end().model_copy(update={"pruned": asked.refused, "finished": asked.refused or own_end or not told})


def _came_to_its_end(stage: TrainingStage, fitting: Fitting, *, told: bool) -> bool:
    """Whether the function has returned by itself. told: whether it was told to end, so that no error of it counts."""
    if not fitting.done.is_set():
        return False
    try:
        return bool(fitting.value())
    except Exception as error:
        if not told:
            raise
        log.info("%s was told to end, and ended with %s: %s", stage.scope, type(error).__name__, error)
        return False


def _end_processes(stage: TrainingStage, fitting: Fitting) -> None:
    """End the processes of a function that goes on though it was told to end. Raises Hang where they do not end."""
    log.info("%s goes on %.0f s after it was told to end: its processes are ended", stage.scope, STOP_SECONDS)
    for worker in list(fitting.live.workers):
        ray.kill(worker.actor)
    until = time.monotonic() + _GONE_SECONDS
    while not fitting.done.wait(0.25):
        stage.alive()
        if time.monotonic() > until:
            raise Hang(f"{stage.scope} was told to end, and its processes could not be ended")
