"""Objects of a cluster as typed models, and deployments, which have no more than a status here."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from headway_api.deployment_status import ModelDeploymentStatus
from headway_cli.cluster.errors import ClusterError, UsageError
from headway_cli.cluster.fields import Object, at
from headway_cli.cluster.kubectl import Kubectl, find, is_name, missing, objects
from headway_cli.cluster.names import MODEL_DEPLOYMENTS

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


class Deployment:
    """A ModelDeployment."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._kubectl = kubectl
        self.name = name
        """Its name."""

    def __repr__(self) -> str:
        return f"Deployment({self.name!r})"

    def status(self) -> ModelDeploymentStatus:
        """How it is now, as `headway_api.deployment_status` has it. Raises NotFoundError."""
        found = objects(find(self._kubectl, MODEL_DEPLOYMENTS, self.name))
        if not found:
            raise missing(self._kubectl.target, "ModelDeployment", self.name)
        return status_of(ModelDeploymentStatus, found[0])
