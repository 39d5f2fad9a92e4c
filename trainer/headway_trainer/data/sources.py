"""Where rows come from: opens what `spec.data.source` names and hands it to the reader of its format."""

from __future__ import annotations

from headway_api.data import Data
from headway_trainer.data.arrays import load_builtin
from headway_trainer.data.content import ArrayContent, TableContent


def load(spec: Data, *, volume_dir: str, secret_dir: str) -> TableContent | ArrayContent:  # noqa: ARG001
    """Load the source. Raises UserError for data that cannot be read, and StorageError."""
    source = spec.source
    assert source.builtin is not None  # noqa: S101
    return load_builtin(source.builtin.name)
