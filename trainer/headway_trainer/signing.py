"""Signs what a run leaves, with the key of the Secret that `export.signing` names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headway_api import signatures
from headway_api.signatures import KEY_FILE, MOST_KEY_BYTES, BadKey
from headway_trainer.errors import UserError

if TYPE_CHECKING:
    from headway_trainer.run import Run

_FIELD = "spec.export.signing.secretRef"


def signing_key(run: Run) -> bytes | None:
    """The key that the model is to be signed with, in PEM; None for a job that asks for none, and on one machine, where
    there are no Secrets. Raises UserError for one that is missing, or is no key: before hours of training, not after.
    """
    signing = run.spec.export.signing
    if signing is None or not run.file.uid:
        return None
    name = signing.secret_ref.name
    try:
        with (Path(run.around.signing_secret_dir) / KEY_FILE).open("rb") as stream:
            pem = stream.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise UserError(f"{_FIELD}: the Secret {name} has no key {KEY_FILE} that can be read") from error
    try:
        signatures.load_private_key(pem)
    except BadKey as error:
        raise UserError(f"{_FIELD}: {KEY_FILE} of the Secret {name}: {error}") from error
    except ModuleNotFoundError as error:
        raise UserError(f"{_FIELD}: the image of this job has no package {error.name}: take it in") from error
    return pem


def warn_where_nobody_signs(run: Run) -> None:
    """On one machine the key is the user's own business."""
    if run.spec.export.signing is not None and not run.file.uid:
        run.reporter.warn("The model is not signed here, where there are no Secrets: headway sign does it.")
