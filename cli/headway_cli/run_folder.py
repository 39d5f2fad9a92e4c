"""The output folder of local runs: what Headway has there, which run goes on, and what a new one may take away.

    out/digits/            results of the newest finished run, beside whatever else lies there
        .headway/          Headway's own folder
            state.json     the runs that there are
            published.json the files outside of it that are Headway's
            runs/1-9f2c41/ one run's own files: prepared data, checkpoints, logs, results on their way out

docs/decisions/0064 says why.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_api.job import TrainingJob
from headway_cli.results import Results, write_atomically

OWN_FOLDER = ".headway"
STATE_FILE = "state.json"
_LOCK_FILE = "lock"
_RUNS = "runs"
_IGNORE_FILE = ".gitignore"
_KIB = 1024


class RunState(StatusSection):
    """One run, which has a folder of its own."""

    folder: str = Field(pattern=r"^\d+-[0-9a-f]{6}$")
    """Its folder's name in `runs`: nothing that is not listed there is ever deleted."""
    digest: str
    """Identifies the job's name and spec."""
    attempt: int = 1
    """How often it was begun."""
    outcome: Literal["Unfinished", "UserError", "Finished"] = "Unfinished"
    """Unfinished: it was stopped, or broke off. UserError: it ended with an error in the user's data, code or spec."""


class State(StatusSection):
    """`state.json`."""

    version: Literal[1] = 1
    """The version of this layout; another one is refused."""
    count: int = 0
    """Runs that were ever begun."""
    runs: list[RunState] = Field(default_factory=list)
    """Those that have files, oldest first."""


@dataclass(frozen=True)
class Attempt:
    """One beginning of a run."""

    number: int
    """Counted from 1, over all beginnings of the same run."""
    resumes: bool
    """Whether an unfinished run goes on."""
    path: Path
    """The run's own folder, which the pipeline takes for its storage."""


class RunFolder:
    """An output folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._own = self.path / OWN_FOLDER
        self._results = Results(self.path, self._own)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second `headway run` out of the folder. Raises ClickException if one is there."""
        try:
            self._make()
            stream = (self._own / _LOCK_FILE).open("w")
        except OSError as error:
            raise click.ClickException(
                f"{self.path} cannot be written ({error.strerror}): choose another --output"
            ) from error
        with stream as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise click.ClickException(
                    f"another headway run is at work in {self.path}: wait for it, or choose another --output"
                ) from error
            yield

    def begin(
        self, job: TrainingJob, *, fresh: bool, names: Sequence[str], note: Callable[[str], None] = lambda _: None
    ) -> Attempt:
        """Begin a run, or go on with the unfinished one of the same job.

        names: files that a finished run will put into the folder. note: takes a sentence for people. Raises
        ClickException, before anything is changed, where another's unfinished run or files of others are in the way.
        """
        digest, state = job_digest(job), self._read()
        pending = [run for run in state.runs if run.outcome != "Finished"]
        same = next((run for run in reversed(pending) if run.digest == digest), None)
        if same is None and not fresh and any(run.outcome == "Unfinished" for run in pending):
            raise click.ClickException(
                f"{self.path} holds an unfinished run of another job or spec: "
                "give --fresh to discard it, or --output for another folder"
            )
        self._results.complete()
        self._results.adopt()
        self._results.refuse_foreign(names)
        if fresh and pending:
            self._discard(state, pending, note)
        elif same is not None and (change := self._correction(job, same)) is not None:
            note(self._replaced(pending, f"the source has changed since ({change})"))
        elif same is not None:
            note(f"Going on with the unfinished run in {self.path} (--fresh would discard it).")
            return self._go_on(state, same)
        elif pending:
            note(self._replaced(pending, "this is another spec"))
        return self._new(state, digest)

    def finish(self, attempt: Attempt, names: Sequence[str]) -> None:
        """Put a run's results in the place of those before, and delete the runs before it.

        names: the results, in the run's folder; the last one is moved last. Raises ClickException where a file of
        somebody else's has come in the way meanwhile: the run stays as it is.
        """
        self._results.publish(attempt.path, names)
        state = self._read()
        self._write(_with_outcome(state, attempt.path.name, "Finished"))
        with contextlib.suppress(click.ClickException):  # they stay in the list, and the next run tries again
            self._remove([run for run in state.runs if run.folder != attempt.path.name])

    def fail(self, attempt: Attempt) -> None:
        """Say that a run ended with an error in the user's data, code or spec."""
        self._write(_with_outcome(self._read(), attempt.path.name, "UserError"))

    def _make(self) -> None:
        """Make Headway's own folder, unless something else has its name."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self._own.is_symlink() or (self._own.exists() and not self._own.is_dir()):
            raise click.ClickException(
                f"{self._own} is no folder that Headway made: move it away, or choose another --output"
            )
        # A crash may have come between the folder and its state.
        if not self._own.exists() or all(path.name == f".{STATE_FILE}.tmp" for path in self._own.iterdir()):
            self._own.mkdir(exist_ok=True)
            self._write(State())
            (self._own / _IGNORE_FILE).write_text("*\n")
        self._read()

    def _new(self, state: State, digest: str) -> Attempt:
        number = state.count + 1
        run = RunState(folder=f"{number}-{secrets.token_hex(3)}", digest=digest)
        self._write(state.model_copy(update={"count": number, "runs": [*state.runs, run]}))
        (self._own / _RUNS / run.folder).mkdir(parents=True)
        return Attempt(1, resumes=False, path=self._own / _RUNS / run.folder)

    def _go_on(self, state: State, run: RunState) -> Attempt:
        again = run.model_copy(update={"attempt": run.attempt + 1, "outcome": "Unfinished"})
        self._write(state.model_copy(update={"runs": [again if one is run else one for one in state.runs]}))
        path = self._own / _RUNS / run.folder
        path.mkdir(parents=True, exist_ok=True)
        return Attempt(again.attempt, resumes=True, path=path)

    def _discard(self, state: State, runs: Sequence[RunState], note: Callable[[str], None]) -> None:
        for run in runs:
            note(f"--fresh deletes {self._described(run)}.")
        if any(run.outcome == "Finished" for run in state.runs):
            note(f"The results in {self.path} stay until this run has its own.")
        self._remove(runs)

    def _correction(self, job: TrainingJob, run: RunState) -> str | None:
        """How the source has changed since a run that ended with an error: what the user corrected is what counts."""
        if run.outcome != "UserError" or job.spec.data is None:
            return None
        from headway_trainer.data.preparation import source_changes
        from headway_trainer.storage import Store

        store = Store.open(str(self._own / _RUNS / run.folder))
        return source_changes(job.spec.data, seed=job.spec.seed, store=store)

    def _replaced(self, runs: Sequence[RunState], why: str) -> str:
        left = "; ".join(self._described(run) for run in runs)
        return (
            f"The run before ended with an error in its data, code or spec, and {why}: it begins anew. "
            f"Until it has finished, these stay: {left}."
        )

    def _described(self, run: RunState) -> str:
        path = self._own / _RUNS / run.folder
        files = [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
        size = sum(file.stat().st_size for file in files)
        return f"the unfinished run {path} ({len(files)} files, {_shown_size(size)}: data, checkpoints, logs)"

    def _remove(self, runs: Sequence[RunState]) -> None:
        """Delete the folders of runs. What is no longer listed is not touched again: so the list changes last.

        Raises ClickException where one cannot be deleted.
        """
        for run in runs:
            path = self._own / _RUNS / run.folder
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
            except OSError as error:
                raise click.ClickException(
                    f"{path} could not be deleted ({error.strerror}): delete it yourself, or choose another --output"
                ) from error
        state, gone = self._read(), {run.folder for run in runs}
        self._write(state.model_copy(update={"runs": [run for run in state.runs if run.folder not in gone]}))

    def _read(self) -> State:
        try:
            state = State.model_validate_json((self._own / STATE_FILE).read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            raise click.ClickException(
                f"{self._own} was not made by this version of Headway (there is no {STATE_FILE} in it that can be "
                "read): move it away, or choose another --output"
            ) from error
        return state

    def _write(self, state: State) -> None:
        write_atomically(self._own / STATE_FILE, state.model_dump_json(indent=2))


def unfinished_run(folder: Path) -> Path | None:
    """The run's own folder of the newest run in an output folder that has not finished; none where there is none."""
    own = folder / OWN_FOLDER
    try:
        state = State.model_validate_json((own / STATE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    runs = [run for run in state.runs if run.outcome != "Finished"]
    return own / _RUNS / runs[-1].folder if runs else None


def _with_outcome(state: State, folder: str, outcome: str) -> State:
    runs = [run.model_copy(update={"outcome": outcome}) if run.folder == folder else run for run in state.runs]
    return state.model_copy(update={"runs": runs})


def _shown_size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < _KIB:
            return f"{size:.3g} {unit}"
        size /= _KIB
    return f"{size:.3g} GiB"


def job_digest(job: TrainingJob) -> str:
    """Identifies what is trained: everything but what only a cluster looks at."""
    only_cluster = {"image", "head", "scheduling", "retry", "suspend", "active_deadline_seconds", "storage"}
    spec = job.spec.model_dump(mode="json", exclude={*only_cluster, "ttl_seconds_after_finished"})
    return hashlib.sha256(json.dumps([job.metadata.name, spec], sort_keys=True).encode()).hexdigest()
