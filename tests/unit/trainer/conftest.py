"""What several files of these tests ask for by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from package_world import acme_installed


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is installed in a folder of its own."""
    with acme_installed(tmp_path, monkeypatch):
        yield tmp_path
