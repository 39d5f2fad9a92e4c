"""kubectl for pages: no call outlives the page that waits for it by much, and none outlives the server."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from headway_cli.cluster.errors import ClusterError, UnreachedError
from headway_cli.cluster.kubectl import Call, Kubectl, Stream, Target

SECONDS = 30.0
"""How long a call may take: a page is asked for again, where the command line waits."""


class Reach:
    """All calls that go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: weakref.WeakSet[Call | Stream] = weakref.WeakSet()
        self._over = False

    def connect(self, target: Target) -> Kubectl:
        """A kubectl whose calls are kept in mind."""
        return _Kept(target, self)

    def keep(self, call: Call | Stream) -> None:
        """Keep a call in mind; it is ended at once where all have been."""
        with self._lock:
            self._calls.add(call)
            over = self._over
        if over:
            call.end()

    def end(self) -> None:
        """End all calls, and all that begin after this."""
        with self._lock:
            self._over = True
            calls = list(self._calls)
        for call in calls:
            call.end()


class _Kept(Kubectl):
    """See Reach."""

    def __init__(self, target: Target, reach: Reach) -> None:
        super().__init__(target, apart=True)
        self._reach = reach

    def start(self, *words: str, stdin: str | None = None, seconds: float = SECONDS) -> Call:
        """See Kubectl."""
        call = super().start(*words, stdin=stdin, seconds=min(seconds, SECONDS))
        self._reach.keep(call)
        return call

    def stream(self, *words: str, writes: bool = False) -> AbstractContextManager[Stream]:
        """See Kubectl."""
        return self._bounded(super().stream(*words, writes=writes))

    @contextmanager
    def _bounded(self, opened: AbstractContextManager[Stream]) -> Iterator[Stream]:
        late = threading.Event()
        with opened as stream:
            self._reach.keep(stream)

            def end() -> None:
                late.set()
                stream.end()

            # A node that does not answer any more says nothing, and never that it says nothing.
            timer = threading.Timer(SECONDS, end)
            timer.daemon = True
            timer.start()
            try:
                yield stream
            except ClusterError as error:
                raise (_late() if late.is_set() else error) from None
            finally:
                timer.cancel()
            if late.is_set():
                raise _late()


def _late() -> UnreachedError:
    return UnreachedError(
        f"this was not read within {SECONDS:g} s: the pod's node does not answer, or there is too much to read"
    )
