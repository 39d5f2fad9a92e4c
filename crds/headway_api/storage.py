"""`spec.storage`: where checkpoints, the model and the result go. All pods of the job must reach it."""

from __future__ import annotations

from headway_api.base import SecretRef, Section, Uri, exactly_one, needs
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
