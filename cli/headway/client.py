"""Submit, watch and use jobs of a cluster from a Python program: the functions behind the command `headway`.

The cluster is reached by calling `kubectl`, so whatever a kubeconfig can do works here, too. Nothing is printed, and no
function ends the process. What cannot be done is a `HeadwayError`, whose text says what to do about it. What people
should know beside, as where logs come from, goes to the logger `headway`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from headway.errors import (
    ClusterError,
    ExistsError,
    HeadwayError,
    InputError,
    InvalidJobError,
    JobEndedError,
    NotFoundError,
    RefusedError,
    RolloutError,
    RunError,
    TimedOutError,
    UnreachedError,
    UsageError,
)
from headway.given import document_of
from headway.jobs import LOGGER, Job, LogLine, Until
from headway.local import LocalRun, run
from headway.statuses import Deployment, DeploymentUntil, named
from headway_api.job import TrainingJob
from headway_cli import job_file, submitting
from headway_cli.cluster import code_maps, rollouts
from headway_cli.cluster import kubectl as calls
from headway_cli.cluster.fields import text
from headway_cli.cluster.kubectl import Kubectl, Target, Where, is_name, objects, where
from headway_cli.cluster.names import MODEL_DEPLOYMENTS, TRAINING_JOBS

__all__ = [
    "Client",
    "ClusterError",
    "Deployment",
    "DeploymentUntil",
    "ExistsError",
    "HeadwayError",
    "InputError",
    "InvalidJobError",
    "Job",
    "JobEndedError",
    "LocalRun",
    "LogLine",
    "NotFoundError",
    "RefusedError",
    "RolloutError",
    "RunError",
    "TimedOutError",
    "UnreachedError",
    "Until",
    "UsageError",
    "Where",
    "run",
]
_CALLER = "Client.submit"


class Client:
    """The jobs and deployments of a namespace of a cluster."""

    def __init__(
        self,
        context: str | None = None,
        namespace: str | None = None,
        kubeconfig: str | os.PathLike[str] | None = None,
    ) -> None:
        """A client; the cluster is asked by its methods only.

        - `context`: of the kubeconfig; the current one if None.
        - `namespace`: the context's if None.
        - `kubeconfig`: a path; as kubectl finds it if None.

        Raises UsageError where no namespace can have that name.
        """
        if namespace is not None and not is_name(namespace):
            raise UsageError(f"{namespace!r} is no name of a namespace")
        self._kubectl = Kubectl(
            Target(
                namespace=namespace,
                context=context,
                kubeconfig=os.fspath(kubeconfig) if kubeconfig is not None else None,
            )
        )

    def where(self) -> Where:
        """The `context` (None within a pod) and `namespace` in use."""
        with closing(self._kubectl.where()) as call:
            return where(call, self._kubectl.target)

    def submit(
        self,
        job: str | os.PathLike[str] | Mapping[str, Any] | TrainingJob,
        *,
        code: str | os.PathLike[str] | None = None,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as the command has --set
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Start a job, as `headway submit` does, after the checks of `headway validate`.

        - `job`: the path of a YAML or JSON file, a document, or a TrainingJob of `headway_api.job`.
        - `code`: a folder whose Python modules go along in a ConfigMap, up to 1 MiB, in the place of `spec.code`.
        - `set`: values of fields of spec by their paths, as `{"training.epochs": 3}`.
        - `name`: in the place of the job's own.
        - `idempotency_key`: submitted again with the same key, the job is found and not made a second time.

        Raises InvalidJobError, which names every mistake, before the cluster is asked; ExistsError where there is
        another job of that name, or with that key; RefusedError where the API server does not take it; UnreachedError.
        """
        packed = code_maps.pack(Path(code)) if code is not None else None
        given = submitting.prepared(
            document_of(job, _CALLER, nothing_else=True),
            settings=(set or {}).items(),
            name=name,
            packed=packed,
            key=idempotency_key,
        )
        kubectl = Kubectl(job_file.placed(given.document, self._kubectl.target))
        if (warning := submitting.path_warning(given.document)) is not None:
            _warn(warning)
        if packed is not None and packed.left_out:
            _warn(f"Not packed, as only modules (*.py) are: {', '.join(packed.left_out)}")
        submitted = submitting.submit(kubectl, given, _warn)
        if submitted.again:
            LOGGER.info("trainingjob/%s was submitted with this key before", text(submitted.job, "metadata", "name"))
        return Job(kubectl, submitted.job)

    def job(self, name: str) -> Job:
        """The job of a name. Raises NotFoundError."""
        return Job(self._kubectl, calls.job(self._kubectl, named(name)))

    def jobs(self, selector: str | None = None) -> list[Job]:
        """The jobs of the namespace. `selector`: only those with these labels, as kubectl has it."""
        words = [f"--selector={selector}"] if selector is not None else []
        return [Job(self._kubectl, each) for each in objects(self._kubectl.get(TRAINING_JOBS, *words))]

    def deployment(self, name: str) -> Deployment:
        """The ModelDeployment of a name. Raises NotFoundError."""
        return Deployment(self._kubectl, rollouts.of(self._kubectl, named(name)))

    def deployments(self) -> list[Deployment]:
        """The ModelDeployments of the namespace."""
        found = objects(self._kubectl.get(MODEL_DEPLOYMENTS))
        return [Deployment(self._kubectl, each) for each in found]


def _warn(sentence: str) -> None:
    LOGGER.warning("%s", sentence)
