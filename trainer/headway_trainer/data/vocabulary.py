"""The vocabularies of texts, which are too large for the record of the data: in a file beside it."""

from __future__ import annotations

from pydantic import TypeAdapter

from headway_api.bundle import FileDigest
from headway_trainer.data.info import DataInfo
from headway_trainer.data.transform import Chain, TableChain, Tokens
from headway_trainer.storage import Store

VOCABULARY_FILE = "vocabulary.json"
"""Its name beside the finished model: by column, how a token may be written, and its number. Until then in data/."""
_VOCABULARIES = TypeAdapter(dict[str, dict[str, int]])


def write_vocabularies(store: Store, chain: Chain) -> list[FileDigest]:
    """Keep the vocabularies of a chain's texts in the run's folder, if it has any. Raises StorageError."""
    found = {one.inputs[0]: one.forms for one in _texts(chain)}
    if not found:
        return []
    return [store.write_described(f"data/{VOCABULARY_FILE}", _VOCABULARIES.dump_json(found))]


def with_vocabularies(info: DataInfo, store: Store, path: str = f"data/{VOCABULARY_FILE}") -> DataInfo:
    """What is known of the data, read from its record, with transforms that can be applied.

    path: the file in the store; beside a finished model it is VOCABULARY_FILE. Raises StorageError.
    """
    chain = info.transforms
    if not isinstance(chain, TableChain) or not _texts(chain):
        return info
    found = _VOCABULARIES.validate_json(store.read(path))
    read = [
        one.model_copy(update={"forms": found[one.inputs[0]]}) if isinstance(one, Tokens) else one
        for one in chain.transforms
    ]
    return info.model_copy(update={"transforms": chain.model_copy(update={"transforms": read})})


def _texts(chain: Chain) -> list[Tokens]:
    return [one for one in chain.transforms if isinstance(one, Tokens)] if isinstance(chain, TableChain) else []
