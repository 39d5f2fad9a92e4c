"""MLflow, by its own client: a run of a job is a run there, and a trial is one nested in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from headway_api.tracking import MLflow
from headway_trainer.tracking.events import MOST_NAME, Began, Ended, Point, State
from headway_trainer.tracking.parameters import MOST_TEXT
from headway_trainer.tracking.trackers.addresses import refuse_clouds_own
from headway_trainer.tracking.trackers.base import BrokenError, DownError, Known, RefusedError, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

Kind = TypeVar("Kind")
IDENTITY = "headway.run"
"""The tag by which a run is found that was made and not noted."""
PARENT = "mlflow.parentRunId"
TIMEOUT_SECONDS = 10
_AT_ONCE = 100
"""Parameters, and tags, of one request; 1000 numbers are as many as a server takes."""
_NUMBERS_AT_ONCE = 1000
_STATUS: dict[State, str] = {
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
_NEVER = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
)
"""Errors that come again however often it is tried."""
_WRONG_HOST = "Invalid Host header"
"""What MLflow's server says, from 3.5 on, to requests by a name that it was not given."""
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class MLflowServer:
    """A server of MLflow. What it is told twice it has once: a number is the same by its time, step and value."""

    def __init__(self, settings: MLflow, job: str) -> None:
        """job: its name, which the experiment has where none is set. Raises BrokenError."""
        refuse_clouds_own(settings.uri)
        os.environ.update(_ENVIRONMENT)
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise BrokenError(
                f"tracking.mlflow needs the package mlflow-skinny, which is not there ({error}): install"
                " headway[tracking], or mlflow-skinny into the image"
            ) from error
        self._host = urlsplit(settings.uri).netloc
        self._client: MlflowClient = MlflowClient(tracking_uri=settings.uri)
        self._experiment_name = settings.experiment or job
        self._experiment: str | None = None

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:
        """Make the run, or find it. Parameters are told once, as MLflow's never change; tags each time."""
        with _errors(self._host):
            found = known or self._found(began) or self._made(began, parent)
            if known is None:
                self._log(found, params=began.parameters)
            self._log(found, tags=began.tags)
            if known is not None:
                self._client.update_run(found.id, status="RUNNING")
            return found

    def points(self, known: Known, points: Sequence[Point]) -> None:
        """Tell numbers."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, _milliseconds(point.at), point.step)
            for point in points
            for name, value in _renamed(point.values).items()
        ]
        with _errors(self._host):
            for start in range(0, len(metrics), _NUMBERS_AT_ONCE):
                self._client.log_batch(known.id, metrics=metrics[start : start + _NUMBERS_AT_ONCE])

    def end(self, known: Known, ended: Ended) -> None:
        """Tell how it ended."""
        if ended.values:
            self.points(known, [Point(scope=ended.scope, step=max(known.step, 0), values=ended.values, at=ended.at)])
        with _errors(self._host):
            self._log(known, tags=ended.tags)
            self._client.set_terminated(known.id, _STATUS[ended.state], _milliseconds(ended.at))

    def settled(self) -> bool:
        """Each request is answered."""
        return True

    def close(self, seconds: float) -> None:
        """Nothing is on its way."""

    def _experiment_id(self) -> str:
        if self._experiment is None:
            self._experiment = self._named() or self._begun()
        return self._experiment

    def _named(self) -> str | None:
        found = self._client.get_experiment_by_name(self._experiment_name)
        return found.experiment_id if found is not None else None

    def _begun(self) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.create_experiment(self._experiment_name))
        except MlflowException as error:
            # Another job of the same moment has made it.
            found = self._named() if error.error_code == "RESOURCE_ALREADY_EXISTS" else None
            if found is None:
                raise
            return found

    def _found(self, began: Began) -> Known | None:
        """The run, if it was made and could not be noted."""
        wanted = f"tags.`{IDENTITY}` = '{_identity(began)}'"
        runs = self._client.search_runs([self._experiment_id()], filter_string=wanted, max_results=1)
        return Known(id=runs[0].info.run_id) if runs else None

    def _made(self, began: Began, parent: Known | None) -> Known:
        tags = {IDENTITY: _identity(began)} | ({PARENT: parent.id} if parent is not None else {})
        run = self._client.create_run(
            self._experiment_id(), start_time=_milliseconds(began.at), tags=tags, run_name=began.name
        )
        return Known(id=run.info.run_id)

    def _log(self, known: Known, *, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}) -> None:
        from mlflow.entities import Param, RunTag

        given: list[Any] = [Param(name, value[:MOST_TEXT]) for name, value in _renamed(params).items()]
        named: list[Any] = [RunTag(name, value[:MOST_TEXT]) for name, value in _renamed(tags).items()]
        for start in range(0, max(len(given), len(named)), _AT_ONCE):
            stop = start + _AT_ONCE
            self._client.log_batch(known.id, params=given[start:stop], tags=named[start:stop])


def _identity(began: Began) -> str:
    return f"{began.identity}/{began.scope}".replace("'", "_")


def _name(name: str) -> str:
    """A name as MLflow takes it."""
    path = posixpath.normpath(re.sub(r"[^/\w.\- :]", "_", name).strip("/")) if name.strip("/") else "_"
    return path.replace("..", "_") if path != "." else "_"


def _renamed(values: Mapping[str, Kind]) -> dict[str, Kind]:
    """Values by names that MLflow takes. Of names that would become the same one each that was changed has a part of
    its digest: a parameter has one value, and a curve is of one number."""
    names = {name: _name(name) for name in values}
    count = Counter(names.values())
    found = {}
    for name, value in values.items():
        new = names[name]
        if count[new] > 1 and new != name:
            new = f"{new[: MOST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        found[new] = value
    return found


def _milliseconds(at: float) -> int:
    return round(at * 1000)


def _reason(said: str) -> str:
    """Of an error without an answer what came of the connection, which stands at its end, after all of the request."""
    _, caused, reason = said.rpartition("(Caused by ")
    return reason.removesuffix(")") if caused else said


@contextlib.contextmanager
def _errors(host: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = shown(_reason(str(error)))
        if _WRONG_HOST in said:
            raise DownError(
                f"its server takes no requests for {host}: start `mlflow server` with that name in --allowed-hosts"
            ) from error
        if error.error_code in _NEVER:
            raise RefusedError(said) from error
        raise DownError(said) from error
    except Exception as error:  # what its client lets through
        raise DownError(f"{type(error).__name__}: {shown(str(error))}") from error
