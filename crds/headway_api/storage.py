"""`spec.storage`: where checkpoints, the model and the result go. All pods of the job must reach it."""

from __future__ import annotations

from typing import Annotated

from headway_api.base import Cut, SecretRef, Section, StatusSection, Uri, exactly_one, needs
from headway_api.data import ClaimPath


class Storage(Section):
    """An object store or a volume that can be mounted by many pods at once."""

    rules = (
        exactly_one("uri", "persistentVolumeClaim", of="storage"),
        needs("secretRef", "uri", "only an object store asks for credentials"),
    )

    uri: Uri | None = None
    """A folder in an object store: `s3://`, `gs://` or `abfs://`."""
    persistent_volume_claim: ClaimPath | None = None
    """A folder in a ReadWriteMany volume (ReadWriteOnce does where all pods share a node)."""
    secret_ref: SecretRef | None = None
    """Credentials for `uri`, under the names that the cloud's own tools use, for example AWS_ACCESS_KEY_ID."""


class Bundle(StatusSection):
    """A finished model, in the form in which `spec.versions.source` of a ModelDeployment takes it."""

    digest: Annotated[str, Cut(71)]
    """The SHA-256 of its `model.json`, which has those of all its other files."""
    persistent_volume_claim: ClaimPath | None = None
    """The folder that it lies in, in a volume; or else `uri` is set."""
    uri: Annotated[str, Cut(4096)] | None = None
    """The folder that it lies in, in an object store."""
    secret_ref: SecretRef | None = None
    """Credentials for `uri`."""
