"""The training stage as the driver sees it: it starts Ray Train, passes progress on, and asks the loop to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headway_api import wire
from headway_api.understand import write_run_file
from headway_trainer.data import DataInfo
from headway_trainer.logs.shipper import LOST_LINES
from headway_trainer.outcome import Interrupted, Lost
from headway_trainer.process_resources import ALONE, Sharing
from headway_trainer.progress_log import Rhythm, describe
from headway_trainer.ray import torch_backend
from headway_trainer.ray.controller_thread import Fit, Fitting
from headway_trainer.ray.failure_policy import Reached
from headway_trainer.ray.kv_link import DriverLink
from headway_trainer.ray.pool import WorkerGroupPool
from headway_trainer.ray.watchdog import Watchdog
from headway_trainer.registry import estimator_name
from headway_trainer.storage import Store
from headway_trainer.training.link import Compared, Question, TrainEnd, TrainProgress

STOP_SECONDS = 90.0
"""How long a checkpoint may take once a stop is asked for; less than a head pod's grace period."""
POLL_SECONDS = 0.25
_ANSWER_SECONDS = 0.02
"""How often the driver looks for a trial's question: the trial waits for the answer."""
log = logging.getLogger("headway.training")


@dataclass(frozen=True)
class TrainingStage:
    """What the stage works with."""

    run: wire.RunFile
    store: Store
    secret_dir: str | None
    code_dir: str | None
    """A folder of the user's code that is not on the path yet."""
    gpus: int
    """Lent to each training process; 0: it works on the CPU."""
    threads: int
    """What each training process computes with on the CPU."""
    stop: threading.Event
    """Set when the driver is asked to stop."""
    on_progress: Callable[[TrainProgress], None]
    note: Callable[[str], None]
    """Takes a sentence for people."""
    alive: Callable[[], None]
    """Called at each turn of the driver's loop: the proof that it turns."""
    warn: Callable[[str], None] = lambda _: None
    """Takes a sentence that is told of the run's outcome, too; once is enough."""
    scope: str = ""
    """Of the run that is trained: the job's own, or one of its children."""
    pool: WorkerGroupPool | None = None
    """Where training processes come from and stay for the next child; none if they end with the stage."""
    sharing: Sharing = ALONE
    """With how many trials each training process shares its place and its GPU."""
    rows_uri: str | None = None
    """The folder of the run whose rows a trial learns from; none where the rows are the run's own."""
    compared: Compared | None = None
    """How a trial is compared with others meanwhile; none where it is not."""

    def config(self, info: DataInfo | None) -> dict[str, Any]:
        """What the workers are told."""
        return {
            "run": write_run_file(self.run),
            "info": None if info is None else info.model_dump_json(),
            "secret_dir": self.secret_dir,
            "code_dir": self.code_dir,
            "threads": self.threads,
            "scope": self.scope,
            "rows_uri": self.rows_uri,
            "compared_at": [] if self.compared is None else sorted(self.compared.at),
            "until": None if self.compared is None else self.compared.until,
            "metric": None if self.compared is None else self.compared.metric,
        }


def train(stage: TrainingStage, info: DataInfo) -> TrainEnd:
    """Run the built-in loop on the job's workers.

    Raises UserError and StorageError from the workers, Lost when workers are lost beyond repair, Hang when they make
    no step for progressDeadlineSeconds, and Interrupted when the stop was asked for and the loop has ended, or did not
    in time.
    """
    fitting = Fitting(
        Fit(
            torch_backend.train_built_in,
            stage.config(info),
            stage.run,
            stage.gpus,
            stage.note,
            stage.stop,
            scope=stage.scope,
            pool=stage.pool,
            sharing=stage.sharing,
        )
    )
    fitting.start()
    link, watchdog, spoken = DriverLink(stage.scope), watchdog_of(stage, fitting), Rhythm()
    last: TrainProgress | None = None
    asked_at: float | None = None
    asked = Questions(stage, link)
    while not asked.ended(fitting.done):
        progress = link.progress()
        if progress is not None and progress != last:
            last, fitting.reached = progress, _reached(progress)
            stage.on_progress(progress)
        stage.alive()
        if spoken.due(last and (last.epoch, last.stage)):
            log.info("%s%s", f"{stage.scope}: " if stage.scope else "", describe(last))
            warn_of_lost_lines(stage, link)
        untimed = last is not None and (last.stage == "Evaluating" or not last.timed)
        watchdog.check((last, link.steps()), step=fitting.reached.step, untimed=untimed)
        if stage.stop.is_set() and asked_at is None:
            link.ask_to_stop()
            asked_at = time.monotonic()
        if asked_at is not None and time.monotonic() - asked_at > STOP_SECONDS:
            raise Interrupted(f"stopped; no checkpoint could be taken within {STOP_SECONDS:.0f} seconds")
    _tell_last(stage, link, last)
    try:
        end = TrainEnd.model_validate(fitting.value())
    except Lost as error:
        if asked_at is None:
            raise
        raise Interrupted(f"stopped; the workers were gone before a checkpoint could be taken: {error}") from None
    if not end.finished:
        raise Interrupted(_where_it_goes_on(stage, end))
    return end


def _where_it_goes_on(stage: TrainingStage, end: TrainEnd) -> str:
    if estimator_name(stage.run.spec.model) is None:
        return f"stopped after step {end.step}; that step's checkpoint is where it goes on"
    if end.checkpoint is None:
        return "stopped before the model was fitted; the next attempt fits it from the beginning"
    return f"stopped after {end.step} iterations of the fit; their checkpoint is where it goes on"


class Questions:
    """Answers what a trial asks, in the turns of the driver's loop: so the watchdog sees no time that it waits for."""

    def __init__(self, stage: TrainingStage, link: DriverLink) -> None:
        self._compared, self._link = stage.compared, link
        self._answered: Question | None = None
        self.refused = False
        """Whether the trial was told to end."""

    def ended(self, done: threading.Event) -> bool:
        """Whether the fit has ended, after at most POLL_SECONDS. Raises what the comparison raises."""
        if self._compared is None or not self._compared.at:
            return done.wait(POLL_SECONDS)
        until = time.monotonic() + POLL_SECONDS
        while time.monotonic() < until:
            if done.wait(_ANSWER_SECONDS):
                return True
            question = self._link.question()
            if question is not None and question != self._answered:
                goes_on = self._compared.goes_on(question)
                self._link.answer(question.epoch, goes_on=goes_on)
                self.refused = self.refused or not goes_on
                self._answered = question
        return False


def _reached(progress: TrainProgress) -> Reached:
    return Reached(progress.step, 0 if progress.checkpoint is None else progress.checkpoint.step)


def _tell_last(stage: TrainingStage, link: DriverLink, last: TrainProgress | None) -> None:
    """Pass on what came since the last check: before the fit's end is told, and without ever hiding it."""
    try:
        if (progress := link.progress()) is not None and progress != last:
            stage.on_progress(progress)
    except Exception:
        log.warning("the last progress of the training stage was lost", exc_info=True)


def warn_of_lost_lines(stage: TrainingStage, link: DriverLink) -> None:
    if link.lost_lines():
        stage.warn(LOST_LINES)


def watchdog_of(stage: TrainingStage, fitting: Fitting, *, from_first_sign: bool = False) -> Watchdog:
    spec = stage.run.spec
    return Watchdog(
        fitting.live,
        seconds=spec.progress_deadline_seconds,
        forming_seconds=spec.scheduling.startup_deadline_seconds,
        from_first_sign=from_first_sign,
    )
