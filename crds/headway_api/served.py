"""What a version of a ModelDeployment is made of, which never changes: the model, and the pods that answer with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headway_api.base import Quantity, Section, formed
from headway_api.data import ClaimPath
from headway_api.job import Image
from headway_api.pods import above_zero

Digest = Annotated[
    str,
    formed(
        r"^sha256:[0-9a-f]{64}$",
        "must be sha256: and 64 digits of 0-9 and a-f, as sha256sum prints them",
        max_length=71,
    ),
]


class ModelSource(Section):
    """Where a finished model lies, and which it is: all that is in the folder of a run that has succeeded."""

    persistent_volume_claim: ClaimPath
    """The folder with `model.json` and `model.onnx`; the pods mount the volume read-only.

    The volume has to allow as many nodes as the replicas run on.
    """
    digest: Digest
    """The SHA-256 of `model.json`, which has those of all other files. A server does not become ready with another one.

    `result.json` tells it as the artifact `model-info`, and `sha256sum model.json` does.
    """


class ServerResources(Section):
    """What one server's pod asks for, and may not go beyond."""

    rules = (above_zero("cpu"), above_zero("memory"))

    cpu: Quantity = "1"
    """Cores; the model computes with as many threads."""
    memory: Quantity = "512Mi"
    """Memory in bytes; a server that takes more is ended."""


class Server(Section):
    """The pods that answer. A change makes a new version, as a change of the model does."""

    image: Image | None = None
    """The server image; the operator's default, as it is when the version begins, if absent."""
    resources: ServerResources = ServerResources()
    """One pod's resources."""
    drain_seconds: Annotated[int, Field(ge=0, le=600)] = 10
    """Seconds that a pod which has to go still answers, until all who send it requests know that it goes."""
