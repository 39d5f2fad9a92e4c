"""What tests with real parts share: a browser, which takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from browser import Browser, browsing, why_not


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real one, for tabs of all tests. Cookies of their servers keep apart by the ports."""
    if reason := why_not():
        pytest.skip(reason)
    with browsing() as found:
        yield found
