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
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from pydantic import Field, ValidationError

from headway_api import trials
from headway_api.base import StatusSection
from headway_api.job import TrainingJob
from headway_cli.cluster.times import in_bytes
from headway_cli.raised_trials import job_digest, search_digest, trials_begun
from headway_cli.results import Results, write_atomically

OWN_FOLDER = ".headway"
STATE_FILE = "state.json"
_LOCK_FILE = "lock"
_RUNS = "runs"
_IGNORE_FILE = ".gitignore"


class RunState(StatusSection):
    """One run, which has a folder of its own."""

    folder: str = Field(pattern=r"^\d+-[0-9a-f]{6}$")
    """Its folder's name in `runs`: nothing that is not listed there is ever deleted."""
    digest: str
    """Identifies the job's name and spec."""
    search: str | None = None
    """Identifies the search that more trials may be asked of later, by the name and the rest of the spec."""
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
        """Begin a run, or go on with the unfinished one of the same job, or with a search that gets more trials.

        names: files that a finished run will put into the folder. note: takes a sentence for people. Raises
        ClickException, before anything is changed, where another's unfinished run or files of others are in the way,
        or a search has more trials behind it than are asked for.
        """
        digest, state = job_digest(job), self._read()
        pending = [run for run in state.runs if run.outcome != "Finished"]
        same = next((run for run in reversed(pending) if run.digest == digest), None)
        if same is None and not fresh:
            same = self._with_other_trials(job, state, digest)
        if not fresh and same not in pending and any(run.outcome == "Unfinished" for run in pending):
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
            note(self._going_on(job, same, digest))
            return self._go_on(state, same, digest)
        elif pending:
            note(self._replaced(pending, "this is another spec"))
        return self._new(state, job)

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

    def _with_other_trials(self, job: TrainingJob, state: State, digest: str) -> RunState | None:
        """The newest run of the same search for another number of trials, if it can go on; none if there is none.

        Raises ClickException where more trials have begun than are asked for.
        """
        search, most = search_digest(job), trials.raisable(job.spec.tuning)
        known = [run for run in state.runs if search is not None and run.search == search and run.digest != digest]
        if not known or most is None:
            return None
        run = known[-1]
        begun = trials_begun(self._own / _RUNS / run.folder)
        if most < begun:
            raise click.ClickException(
                f"tuning.trials is {most}, and {begun} trials of this search have begun in {self.path}: raise it above "
                f"{begun} to go on, or give --fresh to begin again, or --output for another folder"
            )
        # Of a finished run without further trials, nothing goes on: it begins anew, as any does that has finished.
        return run if run.outcome != "Finished" or 0 < begun < most else None

    def _going_on(self, job: TrainingJob, run: RunState, digest: str) -> str:
        kind = "finished" if run.outcome == "Finished" else "unfinished"
        discard = f"--fresh would {'begin again' if kind == 'finished' else 'discard it'}"
        if run.digest == digest:
            return f"Going on with the {kind} run in {self.path} ({discard})."
        begun, most = trials_begun(self._own / _RUNS / run.folder), trials.raisable(job.spec.tuning)
        stay = " Its results stay until there are new ones." if kind == "finished" else ""
        return (
            f"Going on with the {kind} run in {self.path}: tuning.trials is {most} now, and {begun} have begun "
            f"({discard}).{stay}"
        )

    def _new(self, state: State, job: TrainingJob) -> Attempt:
        number = state.count + 1
        folder = f"{number}-{secrets.token_hex(3)}"
        run = RunState(folder=folder, digest=job_digest(job), search=search_digest(job))
        self._write(state.model_copy(update={"count": number, "runs": [*state.runs, run]}))
        (self._own / _RUNS / run.folder).mkdir(parents=True)
        return Attempt(1, resumes=False, path=self._own / _RUNS / run.folder)

    def _go_on(self, state: State, run: RunState, digest: str) -> Attempt:
        update = {"attempt": run.attempt + 1, "outcome": "Unfinished", "digest": digest}
        again = run.model_copy(update=update)
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
            f"The run before ended with an error in its data, code or spec, and {why}: it begins again. "
            f"Until it has finished, these stay: {left}."
        )

    def _described(self, run: RunState) -> str:
        path = self._own / _RUNS / run.folder
        files = [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
        size = sum(file.stat().st_size for file in files)
        return f"the unfinished run {path} ({len(files)} files, {in_bytes(size)}: data, checkpoints, logs)"

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
