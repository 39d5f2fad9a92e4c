"""What a run has prepared: `data/info.json` and the arrays that it tells of, as a later attempt finds them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_api.bundle import FileDigest
from headway_api.data import Data
from headway_api.model import TokenOptions
from headway_api.training_rows import REFERENCE_FILE
from headway_trainer.data.fingerprint import Fingerprint
from headway_trainer.data.forecast.info import SERIES_FILE
from headway_trainer.data.info import INFO_FILE, SPLITS, DataInfo, w_file, x_file, y_file
from headway_trainer.data.sample import SAMPLE_FILE
from headway_trainer.data.vocabulary import VOCABULARY_FILE
from headway_trainer.errors import NotFound
from headway_trainer.kept_results import kept_path
from headway_trainer.seeds import split_seed
from headway_trainer.storage import Store

CHILDREN = "children"
"""The folder of what belongs to the trainings that a run has beside its own."""
STUDY_FOLDER = f"{CHILDREN}/study"
"""The folder, in the run's, of the rows of its trials, where the run itself learns from more (`tuning.final`)."""
FORMAT = 6
"""Counts up when the same spec and seed would be prepared differently, so that older arrays are not reused."""


class Prepared(StatusSection):
    """`data/info.json`: what is known of prepared data, and the arrays that belong to it."""

    info: DataInfo
    """What is known of it."""
    files: list[FileDigest]
    """All its arrays, by their paths in the run's folder."""
    source: Fingerprint | None = None
    """What the source's files were like; none for a built-in set."""
    folds: list[DataInfo] = Field(default_factory=list)
    """What is known of the rows of each fold, whose arrays are in the folder of `fold_folder`."""
    study: DataInfo | None = None
    """What is known of the rows of trials, whose arrays are in STUDY_FOLDER; none where trials have the run's own."""


def data_digest(spec: Data, seed: int, tokens: TokenOptions | None = None, *, retrain: bool = False) -> str:
    """Identifies what is prepared: the data section, without credentials, the seed of the split, how texts become
    tokens, if they do, and whether the run learns from the rows by which its trials are compared (retrain)."""
    told = [FORMAT, spec.model_dump(mode="json", exclude={"source": {"secret_ref"}}), split_seed(spec, seed)]
    told += [] if tokens is None else [tokens.model_dump(mode="json")]
    told += ["retrain"] if retrain else []
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def find_prepared(store: Store, digest: str) -> Prepared | None:
    """What was prepared from what digest identifies (`data_digest`); none if nothing was. Raises StorageError."""
    if not store.exists(INFO_FILE):
        return None
    try:
        found = Prepared.model_validate_json(store.read(INFO_FILE))
    except ValidationError:
        return None
    return found if found.info.digest == digest else None


def damage(store: Store, found: Prepared) -> str | None:
    """Which of the arrays is not what was written, in words; none if all are. Raises StorageError."""
    for file in found.files:
        if _is_done(store, file):
            continue
        try:
            if store.size(file.name) != file.size_bytes or store.sha256(file.name) != file.sha256:
                return f"{file.name} was not what was written there"
        except NotFound:
            return f"{file.name} was gone"
    return None


def prepared_folds(store: Store) -> list[DataInfo]:
    """What is known of the rows of each fold, once `prepare` has returned. Raises StorageError."""
    return Prepared.model_validate_json(store.read(INFO_FILE)).folds


def prepared_study(store: Store) -> DataInfo | None:
    """What is known of the rows of trials, once `prepare` has returned; none where trials have the run's own.

    Raises StorageError.
    """
    return Prepared.model_validate_json(store.read(INFO_FILE)).study


def _is_done(store: Store, file: FileDigest) -> bool:
    """Whether an array is of a fold that has ended: it may be gone."""
    folder, _, _ = file.name.rpartition("/data/")
    return folder != "" and store.exists(kept_path("train", folder))


def fold_scope(number: int) -> str:
    """The name of a fold as a child of a run. number: counted from 1."""
    return f"fold-{number}"


def by_scope(folds: Iterable[DataInfo]) -> dict[str, DataInfo]:
    """What is known of the folds, in their order, by their scopes."""
    return {fold_scope(number): info for number, info in enumerate(folds, 1)}


def fold_folder(number: int) -> str:
    """The folder, in the run's, of what belongs to a fold, counted from 1."""
    return f"{CHILDREN}/{fold_scope(number)}"


def forget(store: Store) -> None:
    """Delete prepared rows, and models that lie beside them until they are published: the files that are known, and no
    others. Raises StorageError."""
    files = [file(name) for file in (x_file, y_file, w_file) for name in SPLITS]
    files += [SERIES_FILE, SAMPLE_FILE, f"data/{REFERENCE_FILE}", f"data/{VOCABULARY_FILE}"]
    with contextlib.suppress(NotFound, ValidationError):
        files += [file.name for file in Prepared.model_validate_json(store.read(INFO_FILE)).files]
    # What tells of the rows goes first: rows that are half deleted are none.
    folder = INFO_FILE.partition("/")[0]
    files += [f"{folder}/{name}" for name in store.list(folder) if re.fullmatch(r"model-\d+\.onnx", name)]
    for path in dict.fromkeys([INFO_FILE, *files]):
        store.delete(path)
    if not store.list(folder):
        store.delete(folder)
    for name in store.list(CHILDREN):
        forget(store.child(CHILDREN, name))
