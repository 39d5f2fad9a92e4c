"""A job on this machine: `headway run`, as a process of its own, as it has signals, threads and Ray's variables to
itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from headway.errors import HeadwayError, RunError, TimedOutError
from headway.given import document_of
from headway.jobs import LOGGER, lacks
from headway.statuses import seconds
from headway_api.job import TrainingJob
from headway_cli import submitting

if TYPE_CHECKING:
    from headway_cli.predicting import FinishedModel
    from headway_trainer.report.model import RunResult

_PROGRAM = "from headway_cli.main import main; main()"
_CALLER = "run"
_RESULT = "result.json"
_KEPT_LINES = 200
"""Of what a run prints, for an error."""
_STOP_SECONDS = 120.0
"""How long a run may take to save a checkpoint, once it is asked to stop."""
_QUIET = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
"""For whoever reads lines."""


@dataclass(frozen=True)
class LocalRun:
    """A run on this machine that has succeeded."""

    folder: Path
    """Where its model, report and result are."""
    result: RunResult
    """`result.json`, as `headway_trainer.report.model` has it."""

    def predict(self, rows: object) -> list[dict[str, object]]:
        """Predictions for rows by the run's model: as `Job.predict`."""
        return self._model.answers(rows)

    @cached_property
    def _model(self) -> FinishedModel:
        try:
            from headway_cli.predicting import FinishedModel
        except ModuleNotFoundError as error:
            raise lacks(error, "LocalRun.predict") from error
        return FinishedModel(str(self.folder))


def run(
    job: str | os.PathLike[str] | Mapping[str, Any] | TrainingJob,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - as the command has --set
    output: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    code: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
) -> LocalRun:
    """Train the model of a job on this machine, as `headway run` does, in a process of its own; each line that it
    prints goes to the logger `headway`.

    - `job`: the path of a YAML or JSON file, a document, or a TrainingJob of `headway_api.job`.
    - `set`: values of fields of spec by their paths, as `{"training.epochs": 3}`.
    - `output`: the folder of the run; `out/NAME` if None. An unfinished run of the same job there continues.
    - `fresh`: discard an unfinished run of another job in the folder.
    - `code`: the folder of your own modules; that of the file if None, and of a document the working folder.
    - `timeout`: how many seconds at most; however long it takes if None.

    Ctrl-C, and the end of the timeout, let it save a checkpoint first, so the same call continues from there. Raises
    InvalidJobError, which names every mistake, before anything is begun; RunError where it leaves no result; and
    TimedOutError. Needs `pip install 'headway[trainer]'`.
    """
    most = seconds(timeout)
    given = submitting.prepared(document_of(job, _CALLER), settings=(set or {}).items()).document
    folder = Path(output) if output is not None else Path("out", submitting.title(given))
    modules = code if code is not None else _beside(job, given)
    words = ["run", "-", f"--output={folder}", *(["--fresh"] if fresh else [])]
    if modules is not None:
        words.append(f"--code={os.fspath(modules)}")
    process = _Process(words, json.dumps(given))
    code_of_exit = process.ended(most)
    if code_of_exit != 0:
        raise RunError(process.why(code_of_exit), code_of_exit, process.output)
    return LocalRun(folder.absolute(), _result(folder / _RESULT))


def _beside(job: object, given: Mapping[str, Any]) -> Path | None:
    """The folder of a job's file, where its spec does not say where its code is."""
    if not isinstance(job, str | os.PathLike) or "code" in given["spec"]:
        return None
    return Path(job).resolve().parent


def _result(path: Path) -> RunResult:
    try:
        from headway_trainer.report.model import RunResult
    except ModuleNotFoundError as error:
        raise lacks(error, "run") from error
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HeadwayError(f"{path} cannot be read, though the run has succeeded: {error}") from error


class _Process:
    """`headway run`, from its beginning to its end."""

    def __init__(self, words: list[str], document: str) -> None:
        self._words, self._document = words, document
        self._lines, self._errors = deque[str](maxlen=_KEPT_LINES), deque[str](maxlen=_KEPT_LINES)
        self._readers: list[threading.Thread] = []
        self._process: subprocess.Popen[str] | None = None

    def ended(self, most: float | None) -> int:
        """Its exit code, once it has ended. Raises TimedOutError. Nothing of it is left then, whatever happens."""
        try:
            return self._begun().wait(most)
        except subprocess.TimeoutExpired as error:
            self._stop()
            raise TimedOutError(
                f"the run has not come to its end within {most:g} s, and was stopped: the same call continues it"
            ) from error
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self._close()

    def _begun(self) -> subprocess.Popen[str]:
        process = self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | _QUIET,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C comes to it from here alone
        )
        for stream in ((process.stdout, self._lines), (process.stderr, self._errors)):
            reader = threading.Thread(target=_read, args=stream, daemon=True)
            reader.start()
            self._readers.append(reader)  # Ctrl-C may come at any moment: one that has not begun cannot be joined
        if process.stdin is not None:
            with suppress(OSError):  # it has ended, and says why
                process.stdin.write(self._document)
                process.stdin.close()
        return process

    def _stop(self) -> None:
        """Let it save a checkpoint and end. A second Ctrl-C ends it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)

    def _close(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in self._readers:
            reader.join(timeout=1)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.close()

    @property
    def output(self) -> str:
        """The end of what it has printed."""
        return "\n".join([*self._lines, *self._errors])

    def why(self, code: int) -> str:
        """Why there is no result, as it has said."""
        if code < 0:
            return f"the process of the run was ended by signal {-code}: the same call continues it"
        told = [line for line in self._errors if line.strip()]
        first = next((number for number, line in enumerate(told) if line.startswith("Error: ")), 0)
        sentence = "\n".join(told[first:]).removeprefix("Error: ") or next(reversed(self._lines), "")
        return sentence or f"the run has ended with exit code {code}, and says nothing"


def _read(stream: IO[str], kept: deque[str]) -> None:
    take: Callable[[str], None] = kept.append
    with suppress(ValueError):  # closed: a child of it holds the other end
        for line in stream:
            take(line.rstrip("\n"))
            LOGGER.info("%s", line.rstrip("\n"))
