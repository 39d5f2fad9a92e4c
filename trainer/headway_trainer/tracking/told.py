"""A run's trackers from its beginning to its end: what is recorded for them, who tells them, and what was not told."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from headway_api import wire
from headway_api.tracking import Tracking
from headway_trainer.outcome import Verdict
from headway_trainer.report.model import RunResult
from headway_trainer.run import Run
from headway_trainer.tracking import processes
from headway_trainer.tracking.events import MOST_VALUES, State
from headway_trainer.tracking.marks import MOST_CHARACTERS
from headway_trainer.tracking.parameters import parameters_of, tags_of, without_secrets
from headway_trainer.tracking.recorder import Recorder

RECORD_SECONDS = 5.0
"""How long the last of a run may take to be recorded."""
FLUSH_SECONDS = 15.0
"""How long trackers may take to be told the last of a run that has succeeded."""
FLUSH_OF_FAILED = 10.0
FLUSH_OF_STOPPED = 5.0
"""A pod that has to go has other things to do."""


log = logging.getLogger("headway.tracking")


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    """No fault of what is told ends a run."""
    try:
        yield
    except Exception:
        log.warning("trackers are not told all of this run", exc_info=True)


class Trackers:
    """The trackers of a run, the job's own, in one attempt."""

    def __init__(self, run: Run) -> None:
        """Begin to record, and to tell trackers what is recorded. It returns at once."""
        self._run = run
        self._recorder: Recorder | None = None
        self._processes: list[processes.TellerProcess] = []
        with _harmless():
            self._begin(run.spec.tracking or Tracking())

    def _begin(self, settings: Tracking) -> None:
        run = self._run
        if not settings.tensorboard and not settings.named:
            return
        file = run.file
        self._recorder = Recorder(
            run.store, file.attempt, identity=file.uid, tags=tags_of(file), tracking=settings, fence=run.fence
        )
        run.reporter.course = self._recorder
        self._recorder.begin("", name=file.name, parameters=parameters_of(file.spec))
        self._recorder.start()
        self._processes = processes.begin(file, settings, run.around.storage_secret_dir, self._warn)

    def _warn(self, sentence: str, instead_of: str | None) -> None:
        self._run.reporter.warn(sentence, instead_of=instead_of)

    def succeeded(self, result: RunResult) -> None:
        """The run has a result, which may have failed at its gates."""
        state: State = "completed" if result.outcome == "Succeeded" else "failed"
        with _harmless():
            self._succeeded(result, state)
        with _harmless():
            # Whatever kept its values from being told: that it has ended is told, and nothing goes on.
            self._end(state, FLUSH_SECONDS, values={}, tags={})

    def _succeeded(self, result: RunResult, state: State) -> None:
        metrics = result.metrics
        parts = {"test": metrics.test, "final/validation": metrics.validation, "final/train": metrics.train}
        values = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        folder = without_secrets(self._run.store.uri).rstrip("/")
        tags = {
            "headway.report": f"{folder}/report.md",
            "headway.data": result.data.content_hash if result.data is not None else "",
            "headway.version": result.environment.headway,
            "headway.commit": result.environment.code_commit or "",
            "headway.message": result.message,
        }
        self._end(state, FLUSH_SECONDS, values=values, tags=tags)

    def failed(self, verdict: Verdict) -> None:
        """The attempt has ended without a result."""
        interrupted = verdict.exit_code == wire.EXIT_INTERRUPTED
        seconds = FLUSH_OF_STOPPED if self._run.around.stop.is_set() else FLUSH_OF_FAILED
        tags = {"headway.message": verdict.message, "headway.cause": str(verdict.cause or "")}
        with _harmless():
            self._end("interrupted" if interrupted else "failed", seconds, values={}, tags=tags)

    def _end(self, state: State, seconds: float, *, values: dict[str, float | None], tags: dict[str, str]) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        with self._run.reporter.alive_meanwhile():
            recorder.end("", state, values=values, tags=tags)
            recorded = recorder.close(RECORD_SECONDS)
            telling = [threading.Thread(target=one.end, args=(seconds,), daemon=True) for one in self._processes]
            for thread in telling:
                thread.start()
            for thread in telling:
                thread.join()
            for one in self._processes:
                one.conclude(self._run.store, self._folder())
            for sentence in self._problems(recorder, recorded=recorded):
                self._run.reporter.warn(sentence)

    def _folder(self) -> str:
        """The run, as `headway track` takes it: a cluster's storage, and the tracker, are reached from the cluster."""
        file = self._run.file
        if file.config_map is not None:
            return f"tj/{file.name} -n {file.namespace}"
        return without_secrets(self._run.store.uri)

    def _problems(self, recorder: Recorder, *, recorded: bool) -> list[str]:
        cut = []
        if recorder.is_full:
            cut.append(
                f"The record of this run is full ({MOST_CHARACTERS >> 20} MiB): trackers and TensorBoard have no"
                " numbers after that. Report fewer names, or less often."
            )
        if recorder.most_values > MOST_VALUES:
            most = f"{recorder.most_values:,}"
            cut.append(f"Trackers and TensorBoard have the first {MOST_VALUES} of up to {most} numbers at a step.")
        if recorder.undrawn:
            cut.append(f"TensorBoard's files lack a part of this run: {recorder.undrawn}")
        return cut + self._untold(recorder, recorded=recorded)

    def _untold(self, recorder: Recorder, *, recorded: bool) -> list[str]:
        if recorder.broken is not None:
            return [f"Trackers lack a part of this run: {recorder.broken}"]
        if self._processes and (not recorded or recorder.lost):
            return ["Trackers lack a part of this run, as the storage was slow or away."]
        return []
