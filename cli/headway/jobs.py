"""A job of a cluster, for programs: waiting for it, its logs, what it has left, and predictions with its model."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from headway.errors import ClusterError, HeadwayError, JobEndedError, NotFoundError, UsageError
from headway.statuses import one_of, seconds, status_of
from headway_api.bundle import MODEL_INFO_FILE, ONNX_FILE
from headway_api.status import TrainingJobStatus
from headway_cli.cluster import kubectl as calls
from headway_cli.cluster import reading, reports, steering
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.log_files import ALL, label
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.polling import Clock
from headway_cli.extras import installing
from headway_cli.overrides import changes_of

if TYPE_CHECKING:
    from headway_cli.predicting import FinishedModel
    from headway_trainer.report.model import RunResult

CLOCK = Clock()
LOGGER = logging.getLogger("headway")
LOGGER.addHandler(logging.NullHandler())
Until = Literal["Running", "Suspended", "Succeeded", "Failed"]
"""A phase that a job can be waited for."""
_MOST_RANKS = 1_000_000
_RANK = "rank-"


def _note(sentence: str) -> None:
    LOGGER.info("%s", sentence)


class LogLine(NamedTuple):
    """A line of a job's log; as a text it is as `headway logs` prints it."""

    source: str
    """`driver`, or `rank-N`."""
    text: str
    """The line, without its end."""

    @property
    def rank(self) -> int | None:
        """The training process, counted from 0; None for the driver."""
        return int(self.source.removeprefix(_RANK)) if self.source.startswith(_RANK) else None

    def __str__(self) -> str:
        return label(self.source) + self.text


class Job:
    """A TrainingJob. Each method asks the cluster again, and raises NotFoundError once the job has been deleted."""

    def __init__(self, kubectl: Kubectl, found: Object) -> None:
        self._kubectl, self._uid = kubectl, text(found, "metadata", "uid")
        self._model: FinishedModel | None = None
        self.name = text(found, "metadata", "name")
        """Its name."""
        self.namespace = text(found, "metadata", "namespace")
        """Its namespace."""

    def __repr__(self) -> str:
        return f"Job({self.name!r}, namespace={self.namespace!r})"

    def manifest(self) -> dict[str, Any]:
        """The job as the API server has it now: plain JSON."""
        found = calls.job(self._kubectl, self.name)
        if text(found, "metadata", "uid") != self._uid:
            raise NotFoundError(f"{self.name} was deleted meanwhile, and there is another job of that name")
        return found

    def status(self) -> TrainingJobStatus:
        """How the job is now, as `headway_api.status` has it: phase, progress, attempts, result and more."""
        return status_of(TrainingJobStatus, self.manifest())

    def wait(self, timeout: float | None = None, *, until: Until = "Succeeded") -> TrainingJobStatus:
        """Wait until the job has come to a phase; its status then. An outage of the cluster of up to 10 minutes is
        waited out.

        - `timeout`: how many seconds at most; however long it takes if None.
        - `until`: the phase. A job that has succeeded has been Running, too.

        Raises JobEndedError where it ends otherwise, and TimedOutError: the job continues.
        """
        one_of(until, get_args(Until))
        for step in steering.until_phase(self._kubectl, self.manifest(), until, CLOCK, seconds(timeout)):
            if step.done:
                return self._ended_as(step.job, until)
        raise AssertionError("the last step is done")

    def _ended_as(self, found: Object, until: Until) -> TrainingJobStatus:
        status, now = status_of(TrainingJobStatus, found), phase(found)
        if now == until or (now == "Succeeded" and until == "Running"):
            return status
        message = text(found, "status", "summary", "message")
        raise JobEndedError(
            f"{self.name} has ended: it is {now}, and {until} was waited for" + (f". {message}" if message else ""),
            status,
        )

    def logs(
        self,
        rank: int | Literal["all"] | None = None,
        *,
        attempt: int | None = None,
        follow: bool = False,
        tail: int | None = None,
        reader_pod: bool = False,
    ) -> Iterator[LogLine]:
        """The lines of the job's log, as `headway logs` has them: of the driver, which prints what all workers print,
        or of training processes. While the job runs the driver's come from its pod, all others from the job's storage,
        as they do when the pods are gone.

        - `rank`: a training process, counted from 0; or `"all"`.
        - `attempt`: the newest if None.
        - `follow`: print new lines, until the job has ended.
        - `tail`: only the last lines (of each rank).
        - `reader_pod`: let a short-lived pod read the storage, where only a pod can.
        """
        if isinstance(rank, int) and not 0 <= rank < _MOST_RANKS:
            raise UsageError(f"rank {rank}: write the number of a training process, counted from 0, or 'all'")
        if isinstance(rank, str) and rank != ALL:
            raise UsageError(f"rank {rank!r}: write the number of a training process, counted from 0, or 'all'")
        wanted = reading.Wanted(
            str(rank) if rank is not None else None, attempt, follow=follow, tail=tail, by_pod=reader_pod
        )
        return self._lines(wanted)

    def _lines(self, wanted: reading.Wanted) -> Iterator[LogLine]:
        for source, line in reading.lines(self._kubectl, self.manifest(), wanted, CLOCK, _note):
            yield LogLine(source, line)

    def stop(self, *, wait: bool = True, timeout: float = 600) -> TrainingJobStatus:
        """Suspend the job, as `headway stop` does: its driver saves a checkpoint, then its pods are deleted.

        - `wait`: until no pod is left; else the job is only asked to stop.
        - `timeout`: how many seconds at most.

        Returns the status then, whose phase is not Suspended where the job has ended meanwhile. Raises ClusterError
        where it had ended before, and TimedOutError: the request remains.
        """
        most = _bounded(timeout)
        found = self.manifest()
        if steering.is_suspended(found):
            return status_of(TrainingJobStatus, found)
        sent = steering.suspend(self._kubectl, found)
        return self._come(steering.until_suspended(self._kubectl, sent, CLOCK, most), sent, wait=wait)

    def resume(
        self,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as the command has --set
        *,
        wait: bool = True,
        timeout: float = 600,
    ) -> TrainingJobStatus:
        """Let the suspended job continue from its checkpoint, as `headway resume` does.

        - `set`: values of fields of spec that may change once a job has begun, as `{"workers.replicas": 8}`.
        - `wait`: until all pods are ready; else the job is only asked to continue.
        - `timeout`: how many seconds at most.

        Returns the status then. Raises InputError for changes that are mistakes, RefusedError for those that the API
        server does not allow, ClusterError where the job has ended, and TimedOutError: the request remains.
        """
        most = _bounded(timeout)
        found = self.manifest()
        changes = changes_of(found, (set or {}).items())
        if phase(found) == "Running" and not changes:
            return status_of(TrainingJobStatus, found)
        sent = steering.resume(self._kubectl, found, changes)
        return self._come(steering.until_running(self._kubectl, sent, CLOCK, most), sent, wait=wait)

    def _come(self, steps: Iterator[steering.Step], sent: Object, *, wait: bool) -> TrainingJobStatus:
        """The status when the job has come to where it was sent, or as it is now."""
        last = next(step.job for step in steps if step.done) if wait else sent
        return status_of(TrainingJobStatus, last)

    def result(self, *, reader_pod: bool = False) -> RunResult:
        """`result.json` of the finished job, as `headway_trainer.report.model` has it, held against its digest in the
        job's status. It is read from an object store with the credentials of this process' environment.

        - `reader_pod`: let a short-lived pod read the storage, where only a pod can.

        Raises NotFoundError where the job has left no result. Needs `pip install 'headway[predict]'`, and
        `'headway[server]'` for an object store.
        """
        from pydantic import ValidationError

        data = reports.content(self._kubectl, self.manifest(), reports.RESULT, by_pod=reader_pod, note=_note)
        try:
            from headway_trainer.report.model import RunResult

            return RunResult.model_validate_json(data)
        except ModuleNotFoundError as error:
            raise lacks(error, "Job.result") from error
        except ValidationError as error:
            raise ClusterError(f"result.json of {self.name} is no result that this version of Headway reads") from error

    def download(self, folder: str | os.PathLike[str], *, reader_pod: bool = False) -> list[Path]:
        """Fetch report, result and model of the finished job into a folder of this machine, as `headway report
        --download` does, each held against its digest; the paths of the files."""
        fetched = reports.download(self._kubectl, self.manifest(), Path(folder), by_pod=reader_pod, note=_note)
        return [path for path, _ in fetched]

    def predict(self, rows: object, *, reader_pod: bool = False) -> list[dict[str, object]]:
        """Predictions for rows, by the job's model and the code of `headway predict`; one for each row, in their order.
        The model is fetched by the first call, and kept as long as this object.

        - `rows`: the path or URI of a file as `headway predict` takes it; a list of mappings of columns' names to
          values; a table of pyarrow, pandas or polars; or a numpy array.
        - `reader_pod`: let a short-lived pod read the storage, where only a pod can.

        Of classes each answer has `label` and `probabilities`; else the values by their names. Raises InputError for
        rows that the model cannot take, NotFoundError where the job has left no model. Needs what `result` needs.
        """
        if self._model is None:
            self._model = self._fetched(reader_pod=reader_pod)
        return self._model.answers(rows)

    def _fetched(self, *, reader_pod: bool) -> FinishedModel:
        try:
            from headway_cli.predicting import FinishedModel
        except ModuleNotFoundError as error:
            raise lacks(error, "Job.predict") from error
        found = self.manifest()
        if phase(found) not in FINISHED:
            raise NotFoundError(f"{self.name} has left no model yet: it is {phase(found)}")
        names = (MODEL_INFO_FILE, ONNX_FILE)
        with tempfile.TemporaryDirectory(prefix="headway-model-") as folder:
            list(reports.download(self._kubectl, found, Path(folder), by_pod=reader_pod, note=_note, names=names))
            return FinishedModel(folder)


def _bounded(timeout: float) -> float:
    if seconds(timeout) is None:
        raise UsageError("timeout None: write how many seconds at most, or wait=False")
    return timeout


def lacks(error: ModuleNotFoundError, what: str) -> HeadwayError:
    """That a function needs a package that is not installed."""
    return HeadwayError(f"{what} needs the Python package {error.name}: {installing('headway[predict]')}")
