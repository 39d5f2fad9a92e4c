"""The folder of a local run: whose it is, whether it is finished, and how often it was begun."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from headway_api.base import StatusSection
from headway_api.job import TrainingJob

RUN_FILE = "run.json"


class RunState(StatusSection):
    """`run.json`: what the folder holds."""

    digest: str
    """Identifies the job's name and spec."""
    attempt: int
    """How often it was begun."""
    finished: bool = False
    """Whether it succeeded."""


@dataclass(frozen=True)
class Attempt:
    """One beginning of a run."""

    number: int
    """Counted from 1, over all beginnings of the same run."""
    resumes: bool
    """Whether an unfinished run goes on."""


class RunFolder:
    """The folder that a run's files go to."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._state: RunState | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second `headway run` out of the folder. Raises ClickException if one is there."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise click.ClickException(
                    f"another headway run is at work in {self.path}: wait for it, or choose another --output"
                ) from error
            yield

    def begin(self, job: TrainingJob, *, fresh: bool) -> Attempt:
        """Begin a run, or go on with the unfinished one of the same job. Raises ClickException where another's lies."""
        from headway_trainer import publish
        from headway_trainer.storage import Store

        digest, before = job_digest(job), self._read()
        resumes = before is not None and not before.finished and not fresh
        if resumes and before is not None and before.digest != digest:
            raise click.ClickException(
                f"{self.path} holds an unfinished run of another job or spec: "
                "give --fresh to discard it, or --output for another folder"
            )
        if before is not None and not resumes:
            publish.clean(Store.open(str(self.path)))
        number = before.attempt + 1 if before is not None and resumes else 1
        self._write(RunState(digest=digest, attempt=number))
        return Attempt(number, resumes)

    def finish(self) -> None:
        """Say that the run succeeded."""
        if (state := self._read()) is not None:
            self._write(state.model_copy(update={"finished": True}))

    def _read(self) -> RunState | None:
        try:
            return RunState.model_validate_json((self.path / RUN_FILE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _write(self, state: RunState) -> None:
        temporary = self.path / f".{RUN_FILE}"
        temporary.write_text(state.model_dump_json(indent=2))
        temporary.replace(self.path / RUN_FILE)


def job_digest(job: TrainingJob) -> str:
    """Identifies what is trained: everything but what only a cluster looks at."""
    only_cluster = {"image", "head", "scheduling", "retry", "suspend", "active_deadline_seconds", "storage"}
    spec = job.spec.model_dump(mode="json", exclude={*only_cluster, "ttl_seconds_after_finished"})
    return hashlib.sha256(json.dumps([job.metadata.name, spec], sort_keys=True).encode()).hexdigest()
