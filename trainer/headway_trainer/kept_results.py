"""Results of stages, kept on the storage for the next attempt: `stages/<name>.json`.

Each has a digest of all that it came from; the next attempt takes it where that is the same. So a driver that dies in
one stage begins again with that one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from headway_api.base import StatusSection
from headway_trainer.errors import NotFound
from headway_trainer.storage import Store

FOLDER = "stages"
FORMAT = 1
"""Counts up when the same inputs would give another result, so that an older one is not taken."""
Result = TypeVar("Result", bound=StatusSection)


class Kept(StatusSection):
    """The file of a result."""

    digest: str
    """Identifies all that it came from."""
    result: JsonValue
    """The result."""


def digest_of(*inputs: BaseModel | JsonValue | Mapping[str, str]) -> str:
    """Identifies what a result came from."""
    told = [one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in inputs]
    return hashlib.sha256(json.dumps([FORMAT, *told], sort_keys=True).encode()).hexdigest()


def kept_path(name: str, folder: str = "") -> str:
    """Where a result is kept, below a folder of the run's."""
    return f"{folder}/{FOLDER}/{name}.json".lstrip("/")


def recall(store: Store, name: str, digest: str, kind: type[Result]) -> Result | None:
    """The result that was kept under a name, if it came from the same; none if there is none. Raises StorageError."""
    with contextlib.suppress(NotFound, ValidationError):
        kept = Kept.model_validate_json(store.read(kept_path(name)))
        return kind.model_validate(kept.result) if kept.digest == digest else None
    return None


def keep(store: Store, name: str, digest: str, result: StatusSection) -> None:
    """Keep a result for the next attempt. Raises StorageError."""
    kept = Kept(digest=digest, result=result.model_dump(mode="json"))
    store.write(kept_path(name), kept.model_dump_json().encode())
