"""A kubectl that answers what a test says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_kubectl import FakeKubectl


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """The kubectl on PATH."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return FakeKubectl.on_path(tmp_path, monkeypatch)
