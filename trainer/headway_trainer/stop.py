"""The wish that a pod's main process stop: SIGTERM and SIGINT as an event.

Process 1 of a container has no default handler, so a signal that comes before hear() is called is lost for good. The
main modules therefore call it before they import anything slow; this module imports nothing that is.
"""

from __future__ import annotations

import signal
import threading

REQUESTED = threading.Event()
"""Set when the process has been asked to stop."""


def hear() -> threading.Event:
    """Listen for the wish from now on; REQUESTED."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: REQUESTED.set())
    return REQUESTED
