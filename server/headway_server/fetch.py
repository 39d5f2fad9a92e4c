"""Fetches a finished model from an object store into a folder: every file by the digest that `model.json` tells, and
`model.json` by the digest that the model is named by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore
from pydantic import ValidationError

from headway_api.bundle import MODEL_INFO_FILE, ONNX_FILE, FileDigest
from headway_api.signatures import MOST_BYTES as MOST_SIGNATURE_BYTES
from headway_api.signatures import SIGNATURE_FILE
from headway_server.errors import BadModel
from headway_server.model import MOST_INFO_BYTES, Info

CHUNK = 8 * 1024 * 1024
NOT_SERVED = ("weights",)
"""Files of a bundle that no server reads: model.safetensors may be as large as the rest."""


class Unavailable(Exception):  # noqa: N818 - what the store is
    """The store does not give what is asked for. The message says what it said."""


def fetch(
    store: ObjectStore,
    uri: str,
    folder: Path,
    *,
    digest: str | None = None,
    most: int | None = None,
    signature: bool = False,
) -> int:
    """Fetch a bundle, and return how many bytes it has.

    uri: what the store is called in messages. digest: `sha256:` and the digest of model.json. most: how many bytes all
    files together may have. signature: whether its signature is fetched, too; it is not checked here. Raises
    BadModel where it is not what it should be, and Unavailable.
    """
    told = _whole(store, uri, MODEL_INFO_FILE, MOST_INFO_BYTES if most is None else min(MOST_INFO_BYTES, most))
    found = f"sha256:{hashlib.sha256(told).hexdigest()}"
    if digest is not None and found != digest:
        raise BadModel(f"{MODEL_INFO_FILE} at {uri} has the digest {found}, and {digest} is asked for")
    files = _files(told, uri)
    signed = _whole(store, uri, SIGNATURE_FILE, MOST_SIGNATURE_BYTES) if signature else None
    size = len(told) + sum(file.size_bytes for file in files)
    if most is not None and size > most:
        raise BadModel(f"the model at {uri} has {size} bytes, and {most} are allowed: raise the server's memory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            _copy(store, uri, file, folder / file.name)
        if signed is not None:
            (folder / SIGNATURE_FILE).write_bytes(signed)
        # Last: a folder with it is whole.
        (folder / MODEL_INFO_FILE).write_bytes(told)
    except OSError as error:
        raise BadModel(f"{folder} cannot be written: {error.strerror or error}") from error
    return size


def _files(told: bytes, uri: str) -> list[FileDigest]:
    """The files that servers read. Their names come from whoever wrote model.json."""
    try:
        info = Info.model_validate_json(told)
    except ValidationError as error:
        raise BadModel(f"{MODEL_INFO_FILE} at {uri} is not what this version of Headway reads") from error
    if "onnx" not in info.files:
        raise BadModel(f"{uri} holds no {ONNX_FILE}: report.md there says why it could not be exported")
    files = [file for name, file in info.files.items() if name not in NOT_SERVED]
    for file in files:
        if not file.in_folder or file.name in (MODEL_INFO_FILE, SIGNATURE_FILE):
            raise BadModel(f"{MODEL_INFO_FILE} at {uri} names {file.name[:80]!r}, which is no file of its folder")
        if file.size_bytes < 0:
            raise BadModel(f"{MODEL_INFO_FILE} at {uri} tells of {file.size_bytes} bytes for {file.name}")
    return files


def _copy(store: ObjectStore, uri: str, file: FileDigest, target: Path) -> None:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as stream:
        for chunk in _chunks(store, uri, file.name):
            size += len(chunk)
            if size > file.size_bytes:
                raise BadModel(f"{file.name} at {uri} is longer than the {file.size_bytes} bytes that it should have")
            digest.update(chunk)
            stream.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise BadModel(
            f"{file.name} at {uri} has the sha256 {digest.hexdigest()}, but {MODEL_INFO_FILE} tells of {file.sha256}"
        )


def _whole(store: ObjectStore, uri: str, name: str, most: int) -> bytes:
    data = bytearray()
    for chunk in _chunks(store, uri, name):
        data += chunk
        if len(data) > most:
            raise BadModel(f"{name} at {uri} is longer than {most} bytes")
    return bytes(data)


def _chunks(store: ObjectStore, uri: str, name: str) -> Iterator[Any]:
    """What an object holds, piece by piece."""
    try:
        yield from obstore.get(store, name).stream(min_chunk_size=CHUNK)
    except (NotFoundError, FileNotFoundError) as error:
        raise BadModel(f"{name} is not at {uri}: give the folder of a finished run") from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise Unavailable(f"{uri} may not be read with these credentials: {_first(error)}") from error
    except InvalidPathError as error:
        raise BadModel(f"{uri} is no path of an object store: {_first(error)}") from error
    except (BaseError, OSError) as error:
        raise Unavailable(f"{name} cannot be read at {uri}: {_first(error)}") from error
    except BaseException as error:
        # What obstore's Rust did not expect comes as this, which cannot be imported and is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise Unavailable(f"{name} cannot be read at {uri}: {_first(error)}") from error


def _first(error: BaseException) -> str:
    """The first line of what a store said: the rest is the source code's own view."""
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:300]
