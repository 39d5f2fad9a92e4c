"""A trial with a training function of the user's own, as the driver sees it."""

from __future__ import annotations

import logging
import threading
import time

import ray

from headway_api.training import Training
from headway_trainer.data import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.outcome import Hang
from headway_trainer.progress_log import Rhythm
from headway_trainer.ray import torch_backend
from headway_trainer.ray.controller_thread import Fit, Fitting
from headway_trainer.ray.kv_link import DriverLink
from headway_trainer.ray.stock import ENV, stock
from headway_trainer.ray.train_stage import (
    Questions,
    TrainingStage,
    describe_own,
    warn_of_lost_lines,
    watchdog_of,
)
from headway_trainer.ray.trial_reports import TrialReports
from headway_trainer.training.link import TrainEnd

STOP_SECONDS = 10.0
"""How long a function may go on once it was told to end."""
_GONE_SECONDS = 30.0
log = logging.getLogger("headway.training")


def train_own_trial(stage: TrainingStage, info: DataInfo | None) -> TrainEnd:
    """Run the user's function as a trial: what it reports is added to `stage.compared`.

    The end says `pruned` of one that the scheduler or a limit has ended, and is not `finished` of one that was stopped
    on its way as `stage.stop` was set. Raises as `train_stage.train_own` does, but Interrupted.
    """
    compared = stage.compared
    if stock() or compared is None:
        raise UserError(f"{ENV}=1 runs the built-in loop alone, and this job has training.entrypoint: take it out")
    keep_last = (stage.run.spec.training or Training()).checkpoint.keep_last
    reports = TrialReports(stage.store, stage.on_progress, keep_last=keep_last, compared=compared)
    for sentence in reports.recover():
        stage.note(sentence)
    ending = threading.Event()
    fitting = Fitting(
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
    fitting.start()
    link, spoken = DriverLink(stage.scope), Rhythm()
    watchdog, asked = watchdog_of(stage, fitting, from_first_sign=True), Questions(stage, link)
    until: float | None = None
    while not asked.ended(fitting.done):
        fitting.reached, steps = reports.reached, link.steps()
        stage.alive()
        if spoken.due(reports.newest and reports.newest.epoch):
            log.info("%s: %s", stage.scope, describe_own(reports, steps))
            warn_of_lost_lines(stage, link)
        watchdog.check((reports.count, steps), step=reports.step)
        if until is None and (stage.stop.is_set() or asked.refused):
            ending.set()
            link.ask_to_stop()
            until = time.monotonic() + STOP_SECONDS
        if until is not None and time.monotonic() > until:
            _end_processes(stage, fitting)
            break
    steps = link.steps()
    told = until is not None
    own_end = _came_to_its_end(stage, fitting, told=told)
    end = reports.end(None if steps is None else int(steps))
    # One that raises TrialStopped though nobody has told it to end has come to its end.
    return end.model_copy(update={"pruned": asked.refused, "finished": asked.refused or own_end or not told})


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
