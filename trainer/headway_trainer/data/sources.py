"""Where rows come from: opens what `spec.data.source` names and hands it to the reader of its format."""

from __future__ import annotations

from pathlib import Path

from headway_api.data import Data
from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.fingerprint import Fingerprint, changes, take
from headway_trainer.data.missing_targets import without_missing_targets
from headway_trainer.data.read.builtin import load_builtin
from headway_trainer.data.read.files import SourceFile, SourceFiles, find_files, find_parts
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.parts import divided
from headway_trainer.data.unlabelled import without_target
from headway_trainer.errors import StorageError, UserError


def load(spec: Data, *, volume_dir: str, secret_dir: str) -> TableContent | ArrayContent:
    """Load the source. Raises UserError for data that cannot be read, and StorageError."""
    content = _load(spec, volume_dir, secret_dir)
    if spec.task == "reconstruction":
        return without_target(content)
    return without_missing_targets(content, spec.target_names) if spec.missing_targets == "drop" else content


def _load(spec: Data, volume_dir: str, secret_dir: str) -> TableContent | ArrayContent:
    source = spec.source
    if source.builtin is not None:
        return load_builtin(source.builtin.name)
    files = _find(spec, volume_dir, secret_dir)
    options = Options.of(spec)
    if files.format == "imageFolder":
        from headway_trainer.data.read.images import load_images
        from headway_trainer.data.read.labels import find_labels, labelled

        if source.labels is None:
            return load_images(files, labelled=spec.task != "reconstruction")
        files, beside = labelled(files, find_labels(source.labels.file, files, _secrets(spec, secret_dir)), spec)
        return load_images(files, beside=beside)
    if files.format == "npz":
        from headway_trainer.data.read.npz import load_npz

        target = None if spec.task == "reconstruction" else next(iter(spec.target_names), "y")
        return load_npz(files, target, spec.columns or {})
    from headway_trainer.data.read.tables import load_table

    return load_table(files, spec.target_names, options)


def take_fingerprint(spec: Data, *, volume_dir: str, secret_dir: str) -> Fingerprint | None:
    """What the source's files are like now; none for a built-in set. Raises UserError and StorageError."""
    return None if spec.source.builtin is not None else take(_all_files(spec, volume_dir, secret_dir))


def changes_since(before: Fingerprint, spec: Data, *, volume_dir: str, secret_dir: str) -> str | None:
    """How the source differs from what it was, in words; none if it does not."""
    try:
        return changes(before, _all_files(spec, volume_dir, secret_dir))
    except (UserError, StorageError) as error:
        return f"it cannot be looked at now ({error})"


def _all_files(spec: Data, volume_dir: str, secret_dir: str) -> list[SourceFile]:
    """All that the rows come from."""
    files = _find(spec, volume_dir, secret_dir)
    labels = spec.source.labels
    if labels is None:
        return files.files
    from headway_trainer.data.read.labels import find_labels

    return [*files.files, *find_labels(labels.file, files, _secrets(spec, secret_dir)).files]


def _secrets(spec: Data, secret_dir: str) -> str | None:
    return secret_dir if spec.source.secret_ref else None


def _find(spec: Data, volume_dir: str, secret_dir: str) -> SourceFiles:
    source = spec.source
    secrets = _secrets(spec, secret_dir)
    form = source.format or ("imageFolder" if source.labels is not None else None)
    if source.parts is not None:
        given = (source.parts.train, source.parts.validation, source.parts.test)
        return find_parts({part: uri for part, uri in enumerate(given) if uri is not None}, form, secrets)
    if source.persistent_volume_claim is not None:
        uri = _volume_path(volume_dir, source.persistent_volume_claim.name, source.persistent_volume_claim.path)
    else:
        uri = source.uri or ""
    return divided(find_files(uri, form, secrets))


def _volume_path(volume_dir: str, claim: str, path: str) -> str:
    if not Path(volume_dir).is_dir():
        raise UserError(
            f"data.source.persistentVolumeClaim: the volume {claim} is mounted in the pods of a cluster only: "
            "under headway run set data.source.uri to a local path"
        )
    return str(Path(volume_dir, path))
