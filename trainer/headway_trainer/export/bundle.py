"""Opens a finished model that may have been written, or changed, by anybody: each doubt is one sentence."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from headway_api.bundle import MODEL_INFO_FILE, ONNX_FILE, VERSION, Signature
from headway_api.external_data import has_external_data
from headway_api.reading import Read
from headway_trainer.errors import NotFound, StorageError, UserError
from headway_trainer.export.record import ModelInfo, signature
from headway_trainer.export.session import RUNTIME_ERRORS, Session
from headway_trainer.storage import Store

_REPLACE = "take the folder as its run wrote it"


def open_bundle(folder: str) -> tuple[ModelInfo, Signature, Session]:
    """What model.json tells, what the model takes and gives, and the model, of a run's folder, a path or URI.

    Raises UserError where there is none that can predict, or where what model.json tells is not what the model is;
    StorageError where its files cannot be read, or are not what was written.
    """
    store = Store.open(folder)
    info = _info(store)
    file = info.files.get("onnx")
    if file is None or info.signature is None:
        raise UserError(
            f"{store.uri} holds no {ONNX_FILE}: report.md there says why it could not be exported, unless its "
            "job's export.formats leave it out"
        )
    _check_signature(info, store.uri)
    data = store.read(ONNX_FILE)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise StorageError(f"{store.uri}/{ONNX_FILE} is not what {MODEL_INFO_FILE} tells of: copy the folder again")
    return info, info.signature, _session(data, info.signature, f"{store.uri}/{ONNX_FILE}")


def _info(store: Store) -> ModelInfo:
    try:
        info = ModelInfo.model_validate_json(store.read(MODEL_INFO_FILE))
    except NotFound as error:
        raise UserError(f"{store.uri} holds no {MODEL_INFO_FILE}: give the folder of a finished run") from error
    except ValidationError as error:
        raise UserError(f"{store.uri}/{MODEL_INFO_FILE} is not what this version of Headway reads") from error
    if info.version > VERSION:
        raise UserError(f"{store.uri} was made by a newer version of Headway: predict with that one")
    try:
        Read.model_validate(info.read)
    except ValidationError as error:
        raise UserError(
            f"`read` in {store.uri}/{MODEL_INFO_FILE} is not what this version of Headway reads: {_REPLACE}"
        ) from error
    return info


def _check_signature(info: ModelInfo, uri: str) -> None:
    """Raise UserError where the signature is not that of the data that the model was trained on."""
    found = info.signature
    try:
        expected = signature(info.data) if info.data is not None else None
    # Transforms that do not fit together fail wherever one of them needs what another lacks.
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"`data` in {uri}/{MODEL_INFO_FILE} contradicts itself: {_REPLACE}") from error
    if found is None or found == expected:
        return
    told, made = found.model_dump(), expected.model_dump() if expected is not None else {}
    parts = ", ".join(f"`signature.{name}`" for name in told if name not in made or told[name] != made[name])
    raise UserError(f"{parts} in {uri}/{MODEL_INFO_FILE}: not what its `data` tells of; {_REPLACE}")


def _session(model: bytes, told: Signature, uri: str) -> Session:
    """The model, ready to run. Raises UserError where it is none, reads other files, or takes or gives other tensors.

    Of tensors in other files the path is a stranger's, and Headway writes none.
    """
    try:
        external = has_external_data(model)
    except ValueError as error:
        raise UserError(f"{uri} is no ONNX model ({error}): {_REPLACE}") from error
    if external:
        raise UserError(
            f"{uri} keeps tensors in other files (ONNX external data), which are not read: save the model with all of "
            "them inside"
        )
    try:
        session = Session(model, told)
    except RUNTIME_ERRORS as error:
        raise UserError(f"{uri} is no model that onnxruntime can load: {_REPLACE}") from error
    if problem := session.mismatch(told):
        raise UserError(f"{uri} {problem}, which is not what `signature` in {MODEL_INFO_FILE} tells of: {_REPLACE}")
    return session
