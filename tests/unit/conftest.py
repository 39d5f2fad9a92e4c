"""What holds for unit tests: none of them leaves a thread behind, which would be there for all that follow."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

PATIENCE_SECONDS = 10.0
"""For threads that are about to end, all together."""
OF_THE_PROCESS = ("headway-signals", "tqdm_monitor", "(_poll_wrapper)")
"""Parts of the names of threads that a process has once, for as long as it lives; the last one is gRPC's."""


@pytest.fixture(autouse=True, scope="module")
def _no_thread_stays() -> Iterator[None]:
    """Fail where a module's tests, and its own fixtures, leave threads of Python's that do not end."""
    before = set(threading.enumerate())
    yield
    if not _begun_since(before):
        return
    gc.collect()  # the workers of an executor end once nobody can reach it
    until = time.monotonic() + PATIENCE_SECONDS
    for thread in _begun_since(before):
        thread.join(max(0.0, until - time.monotonic()))
    left = [f"{thread.name} ({getattr(thread, '_target', None)})" for thread in _begun_since(before)]
    assert not left, f"these tests leave threads that go on: close what began them: {', '.join(left)}"


def _begun_since(before: set[threading.Thread]) -> list[threading.Thread]:
    begun = [one for one in threading.enumerate() if one not in before]
    return [one for one in begun if not any(part in one.name for part in OF_THE_PROCESS)]
