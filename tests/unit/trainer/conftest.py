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


@pytest.fixture(scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """No power fails in here: what was written can be read without fsync."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield
