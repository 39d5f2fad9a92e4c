"""The pages of `headway ui`, asked over HTTP, with a kubectl that answers what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from fake_kubectl import FakeKubectl
from headway_cli.cluster.kubectl import Target
from headway_cli.ui.asking import Site
from headway_cli.ui.guard import Keys
from headway_cli.ui.server import Pages
from ui_visitor import Visitor

NOW = datetime(2026, 11, 29, 19, 33, 9, tzinfo=UTC)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """The kubectl on PATH."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return FakeKubectl.on_path(tmp_path, monkeypatch)


@pytest.fixture
async def stranger(kubectl: FakeKubectl) -> AsyncIterator[Visitor]:
    """A browser that has no key."""
    del kubectl
    keys = Keys()
    with ThreadPoolExecutor(4) as executor:
        site = Site(Target(), context="here", namespace="default")
        app = Pages(site, keys, executor, lambda: NOW).app()
        async with TestClient(TestServer(app)) as client:
            yield Visitor(client, keys)


@pytest.fixture
async def visitor(stranger: Visitor) -> Visitor:
    """A browser that was let in."""
    await stranger.enter()
    return stranger
