"""`spec.tracking`: who is told of a run's course, beside Headway's own report."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from headway_api.addresses import URL, is_written_refused
from headway_api.base import SecretRef, Section, Text, formed

TRACKERS = ("mlflow", "wandb", "comet")
"""The fields of Tracking that name a tracker, by which its files are called, too."""
ENVIRONMENT = (
    "MLFLOW_TRACKING_",
    "WANDB_API_KEY",
    "COMET_API_KEY",
    "COMET_URL_OVERRIDE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
"""How the keys of `tracking.secretRef` begin that are set for the process that tells trackers."""


def _reachable(uri: str) -> str:
    if is_written_refused(uri):
        raise PydanticCustomError(
            "sentence",
            "must not be an address of the node or the cloud, which no tracker has: name the tracker's server",
        )
    return uri


ServerUri = Annotated[
    str,
    formed(
        URL,
        "must be http:// or https://, a host, and maybe a port and a path, for example http://mlflow:5000, without"
        " credentials",
        max_length=512,
    ),
    AfterValidator(_reachable),
]
_Name = Annotated[
    str,
    formed(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "must be letters, digits, '.', '_' and '-', and begin with a letter or digit",
        max_length=128,
    ),
]


class MLflow(Section):
    """A server of MLflow."""

    uri: ServerUri
    """Its address, without credentials."""
    experiment: Text | None = None
    """The experiment, which is made if needed; the job's name if absent."""


class WandB(Section):
    """Weights & Biases."""

    project: _Name
    """The project."""
    entity: _Name | None = None
    """The user or team; the key's own if absent."""
    uri: ServerUri | None = None
    """A server of one's own."""


class Comet(Section):
    """Comet."""

    project: _Name
    """The project."""
    workspace: _Name | None = None
    """The workspace; the key's own if absent."""


class Tracking(Section):
    """Who is told of metrics and parameters. A tracker that is down fails no job; it is told later what it missed."""

    tensorboard: bool = True
    """Whether `tensorboard/` in the job's folder gets event files."""
    mlflow: MLflow | None = None
    """MLflow."""
    wandb: WandB | None = None
    """Weights & Biases; the image needs the package wandb."""
    comet: Comet | None = None
    """Comet; the image needs the package comet_ml."""
    secret_ref: SecretRef | None = None
    """A Secret with credentials, keyed as environment variables: `MLFLOW_TRACKING_TOKEN`."""

    @property
    def named(self) -> tuple[str, ...]:
        """The trackers that are to be told, by their fields."""
        return tuple(name for name in TRACKERS if getattr(self, name) is not None)
