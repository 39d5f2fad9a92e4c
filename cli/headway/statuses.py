"""Objects of a cluster as typed models, and deployments."""

from __future__ import annotations

import re
from typing import Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from headway.errors import ClusterError, RolloutError, UsageError
from headway_api.deployment_status import ModelDeploymentStatus
from headway_cli.cluster import rollouts
from headway_cli.cluster.fields import Object, at, text
from headway_cli.cluster.kubectl import Kubectl, is_name, refuse_another
from headway_cli.cluster.polling import Clock

CLOCK = Clock()
DeploymentUntil = Literal["RolledOut", "Ready"]
"""What a deployment can be waited for."""
Status = TypeVar("Status", bound=BaseModel)


def named(name: str) -> str:
    """A name that an object can have. Raises UsageError."""
    if not is_name(name):
        raise UsageError(f"{name!r} is no name: it has lower-case letters, digits, '-' and '.'")
    return name


def status_of(kind: type[Status], found: Object) -> Status:
    """The status of an object; with all defaults before the operator has said any. Raises ClusterError."""
    try:
        return kind.model_validate(at(found, "status") or {})
    except ValidationError as error:
        raise ClusterError(
            "the status is of another version of Headway: install the version of headway that the cluster's operator "
            f"has ({error.error_count()} fields cannot be read)"
        ) from error


def seconds(given: float | None) -> float | None:
    """A timeout that can be meant. Raises UsageError."""
    if given is not None and not given >= 0:
        raise UsageError(f"timeout {given!r}: write how many seconds at most, or None for however long it takes")
    return given


def one_of(given: str, allowed: tuple[str, ...]) -> str:
    """What is waited for. Raises UsageError."""
    if given not in allowed:
        raise UsageError(f"until {given!r}: write one of {', '.join(allowed)}")
    return given


class Deployment:
    """A ModelDeployment. Each method asks the cluster again, and raises NotFoundError once it has been deleted."""

    def __init__(self, kubectl: Kubectl, found: Object) -> None:
        self._kubectl, self._first = kubectl, found
        self.name = text(found, "metadata", "name")
        """Its name."""

    def __repr__(self) -> str:
        return f"Deployment({self.name!r})"

    def status(self) -> ModelDeploymentStatus:
        """How it is now, as `headway_api.deployment_status` has it."""
        found = rollouts.of(self._kubectl, self.name)
        refuse_another(found, self._first)
        return status_of(ModelDeploymentStatus, found)

    def wait(
        self,
        timeout: float | None = None,
        *,
        until: DeploymentUntil = "RolledOut",
        version: str | None = None,
        job: str | None = None,
    ) -> ModelDeploymentStatus:
        """Wait until a version answers, or a rollout has ended; the status then. An outage of the cluster of up to 10
        minutes is waited out.

        - `timeout`: how many seconds at most; however long it takes if None.
        - `until`: `"RolledOut"`: a version answers, and no other one is on its way; `"Ready"`: a version answers.
        - `version`: the name of the version that is to have come to that, as `churn-3`. One that has answered, and was
          followed by another, has come to that, too.
        - `job`: the name of a job that publishes here: its newest version. One that is not there yet is waited for.

        Raises UsageError for a name that no version of it, or no job, can have; RolloutError where it will not come to
        that: the version was rejected, or the spec is invalid; and TimedOutError: the rollout continues.
        """
        one_of(until, get_args(DeploymentUntil))
        if version is not None and job is not None:
            raise UsageError("give either version or job")
        if version is not None and not re.fullmatch(rf"{re.escape(self.name)}-[1-9][0-9]*", version):
            raise UsageError(
                f"version {version!r}: versions of {self.name} are named {self.name}-1, {self.name}-2, ..."
            )
        if job is not None:
            named(job)
        wanted = rollouts.Wanted(until, version, job)
        look = rollouts.until(self._kubectl, self._first, wanted, CLOCK, seconds(timeout))
        status = status_of(ModelDeploymentStatus, look.deployment)
        if look.verdict == "never":
            raise RolloutError(f"{self.name}: {look.words}: see `headway status {self.name}`", status)
        return status
