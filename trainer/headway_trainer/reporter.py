"""What is told of a run while it goes on: progress, heartbeats, sentences for people, and the last word."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from headway_api import wire
from headway_api.status import Result, TuningStatus
from headway_trainer.outcome import Verdict, bounded_warnings
from headway_trainer.progress import Sink, to_file
from headway_trainer.run_progress import Part, merged, scope_told, together
from headway_trainer.spent_time import SpentTime
from headway_trainer.tracking.recorder import Course, Unrecorded
from headway_trainer.training.checkpoints.last_step import StepKeeper
from headway_trainer.training.checkpoints.store import now
from headway_trainer.training.link import TrainEnd, TrainProgress

HEARTBEAT_SECONDS = wire.HEARTBEAT_SECONDS - 15
"""When a driver with nothing new says that it is alive: early enough for the patch to come in time."""
BEAT_SECONDS = 5.0
_ENDED = "ended"
"""Where children are counted that have ended, in the place of a scope; no child has this one."""


@dataclass
class Told:
    """What is known of a run so far: for the Outcome, however it ends."""

    progress: wire.ProgressFile
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What people should know of the data and the model: the status has it as `warnings`."""
    tuning: TuningStatus | None = None
    """How far the trials are, if there are any."""
    result: Result | None = None
    """What is published, if anything is."""
    bundle: str | None = None
    """The digest of the model.json that is published, if servers can load what it tells of."""


class Reporter:
    """Tells of one attempt of a run."""

    def __init__(self, run: wire.RunFile, sink: Sink, note: Callable[[str], None]) -> None:
        """note: takes a sentence for people at once; what a sink takes is the newest of all."""
        self.told = Told(wire.ProgressFile(uid=run.uid, attempt=run.attempt))
        self._run, self._sink, self.note = run, sink, note
        self._told_at = time.monotonic()
        self._parts: dict[str, Part] = {}
        self.course: Course = Unrecorded()
        """Who is told of what trackers follow."""
        self.times: SpentTime | None = None
        """Who counts where the time goes; none where several models are trained side by side."""
        self.trainings_each = 1
        """The trainings that each trial is, if there are trials."""
        self.trained_in_a_trial = True
        """Whether the run's own model is a trial's, if there are trials: its steps were counted there."""
        self._lock = threading.RLock()
        """Children that are trained side by side tell from threads of their own."""

    def warn(self, sentence: str, *, instead_of: str | None = None) -> None:
        """Tell people a sentence that is no error; once is enough. instead_of: one from before that no longer holds."""
        with self._lock:
            if sentence in self.told.warnings:
                return
            for told in (self.told.warnings, self.told.notes):
                if instead_of is not None and instead_of in told:
                    told.remove(instead_of)
                told.append(sentence)
            # The last report of all is this one with the outcome, and the operator takes its warnings from there.
            warnings = bounded_warnings(self.told.warnings)
            self.told.progress = self.told.progress.model_copy(update={"warnings": warnings})
        self.note(sentence)

    def expect(self, weights: Mapping[str, int]) -> None:
        """Say which trainings there will be, by their scopes, and what share each has of the work. Children that have
        ended still count."""
        with self._lock:
            ended = {scope: part for scope, part in self._parts.items() if scope == _ENDED}
            self._parts = ended | {scope: Part(weight=max(1, weight)) for scope, weight in weights.items()}

    def expect_one(self, scope: str, weight: int, *, steps: int | None = None) -> None:
        """Say that a child is there, and what share it has of the work. steps: those of one that has ended before."""
        with self._lock:
            if steps is None and scope in self._parts:
                return  # it has waited, and what it came to counts
            ended = TrainProgress(step=steps, planned=weight) if steps is not None else None
            self._parts[scope] = Part(max(1, weight), ended)
            if ended is not None:
                self.ended(scope)

    def ended(self, scope: str) -> None:
        """Say that a child has ended, however far it came; nothing more is told of it."""
        with self._lock:
            part = self._parts.pop(scope)
            part.state = "done"
            before = self._parts.get(_ENDED)
            self._parts[_ENDED] = part if before is None else merged(before, part)

    def waits(self, scope: str) -> None:
        """Say that a child is not trained for now, and will be later."""
        with self._lock:
            self._parts[scope].wait()

    def tuning(self, tuning: TuningStatus) -> None:
        """Tell how far the trials are."""
        with self._lock:
            self.told.tuning = tuning
            self._tell(self.told.progress)

    def progress(self, progress: TrainProgress, steps: StepKeeper, scope: str = "", *, ended: bool = False) -> None:
        """Tell how far a training is. steps: knows what it lost of the attempt before; ended: whether it is over."""
        if progress.measured:
            self.course.measured(scope, *progress.measured)
        with self._lock:
            if not scope and self._is_of_a_trial():
                progress = _of_a_trial(progress)
            part = self._parts.setdefault(scope, Part())
            part.take(progress, steps.take(progress))
            part.state = "done" if ended else part.state
            planned = self._planned_children()
            if len(self._parts) > 1 or planned is not None:
                progress, lost = together(self._parts, children=planned if scope else None)
            else:
                lost = part.lost
                if self.times is not None:
                    self.times.hear(progress)
            self._take_notes(progress)
            told = to_file(self._run, progress, lost, scope_told(self._parts, planned=planned))
            if not told.progress.metrics:
                kept = told.progress.model_copy(update={"metrics": self.told.progress.progress.metrics})
                told = told.model_copy(update={"progress": kept})
            self._tell(told)

    def _is_of_a_trial(self) -> bool:
        """Whether the run's own model is a trial's, and its steps were counted there."""
        tuning = self.told.tuning
        return tuning is not None and not tuning.retrain and self.trained_in_a_trial

    def _planned_children(self) -> int | None:
        """How many trainings all trials are; none where that is not known."""
        planned = self.told.tuning.planned if self.told.tuning is not None else None
        return None if planned is None else planned * self.trainings_each

    def _take_notes(self, progress: TrainProgress) -> None:
        for sentence in progress.notes:
            if sentence not in self.told.notes:
                self.told.notes.append(sentence)
                self.note(sentence)

    def stage(self, name: str) -> None:
        """Tell what the driver does now: one of the words of `status.progress.stage`."""
        with self._lock:
            progress = self.told.progress.progress.model_copy(update={"stage": name, "update_time": now()})
            self._tell(self.told.progress.model_copy(update={"progress": progress}))

    def alive(self) -> None:
        """Called at each turn of a loop of the driver's: so the heartbeat proves that it turns."""
        if time.monotonic() - self._told_at < HEARTBEAT_SECONDS:
            return
        with self._lock:
            self._tell(self.told.progress)

    @contextlib.contextmanager
    def alive_meanwhile(self) -> Iterator[None]:
        """For work that has no loop of the driver's, and tells nothing: a thread proves that the process runs."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                self.alive()

        thread = threading.Thread(target=beat, name="headway-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def succeeded(self, end: TrainEnd) -> wire.Outcome:
        """The Outcome of an attempt that has published what training ended with."""
        word = self._outcome(outcome="Succeeded", message=" ".join(end.notes))
        if len(self._parts) > 1:
            return word  # steps are those of all trainings
        return word.model_copy(update={"checkpoint": end.checkpoint, "resumed_from_step": end.resumed_from_step})

    def failed(self, verdict: Verdict) -> wire.Outcome:
        """The Outcome of an attempt that did not succeed."""
        told = self.told
        message = " ".join([verdict.message, *(each for each in told.notes if each not in told.warnings)])
        interrupted = verdict.exit_code == wire.EXIT_INTERRUPTED
        word = self._outcome(outcome="Interrupted" if interrupted else "Failed", message=message)
        return word.model_copy(update={"cause": verdict.cause})

    def _outcome(self, **said: str) -> wire.Outcome:
        told = self.told.progress
        return wire.Outcome.model_validate(
            {
                "uid": self._run.uid,
                "attempt": self._run.attempt,
                "progress": told.progress,
                "checkpoint": told.checkpoint,
                "resumed_from_step": told.resumed_from_step,
                "steps_lost": told.steps_lost,
                "result": self.told.result,
                "bundle": self.told.bundle,
                "warnings": bounded_warnings(self.told.warnings),
                **said,
            }
        )

    def _tell(self, told: wire.ProgressFile) -> None:
        """Everything that is told carries a heartbeat."""
        warnings = bounded_warnings(self.told.warnings)
        fields = {"heartbeat_time": now(), "warnings": warnings, "tuning": self.told.tuning}
        self.told.progress = told.model_copy(update=fields)
        self._told_at = time.monotonic()
        self._sink.update(self.told.progress)


def _of_a_trial(progress: TrainProgress) -> TrainProgress:
    """The progress of a run whose model comes from a trial: its steps were counted there."""
    checkpoint = progress.checkpoint
    saved = None if checkpoint is None else checkpoint.model_copy(update={"step": 0})
    return progress.model_copy(update={"step": 0, "resumed_from_step": None, "checkpoint": saved})
