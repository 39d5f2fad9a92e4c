"""Where rows come from: opens what `spec.data.source` names and hands it to the reader of its format."""

from __future__ import annotations

from pathlib import Path

from headway_api.data import Data
from headway_trainer.data.arrays import load_builtin, load_npz
from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.files import find_files
from headway_trainer.errors import UserError


def load(spec: Data, *, volume_dir: str, secret_dir: str) -> TableContent | ArrayContent:
    """Load the source. Raises UserError for data that cannot be read, and StorageError."""
    source = spec.source
    if source.builtin is not None:
        return load_builtin(source.builtin.name)
    if source.persistent_volume_claim is not None:
        uri = _volume_path(volume_dir, source.persistent_volume_claim.name, source.persistent_volume_claim.path)
    else:
        uri = source.uri or ""
    files = find_files(uri, source.format, secret_dir if source.secret_ref else None)
    if files.format == "imageFolder":
        from headway_trainer.data.images import load_images

        return load_images(files)
    if files.format == "npz":
        if len(files.paths) > 1:
            raise UserError(f"data.source: {uri} holds {len(files.paths)} npz files: name one of them")
        return load_npz(files.store, files.paths[0], spec.target)
    from headway_trainer.data.tables import load_table

    return load_table(files, spec.target)


def _volume_path(volume_dir: str, claim: str, path: str) -> str:
    if not Path(volume_dir).is_dir():
        raise UserError(
            f"data.source.persistentVolumeClaim: the volume {claim} is mounted in the pods of a cluster only: "
            "under headway run set data.source.uri to a local path"
        )
    return str(Path(volume_dir, path))
