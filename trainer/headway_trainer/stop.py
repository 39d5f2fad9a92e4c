"""The wish that a pod's main process stop: SIGTERM and SIGINT as an event.

A signal that comes before hear() is called ends the process at once, without a last word; and where it is process 1 of
its namespace, which has no default handler, the signal is lost for good. The main modules therefore call it before they
import anything slow; this module imports nothing that is.

Python's own handlers run in the main thread alone, between two of its steps: not while it is in native code, and in the
middle of whatever lock it holds. So nothing is done there. Python also writes each signal's number to a pipe, at once,
whatever the main thread is in; a thread reads it there.
"""

from __future__ import annotations

import os
import signal
import threading

REQUESTED = threading.Event()
"""Set when the process has been asked to stop."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_heard: list[int] = []
"""The pipe's end that is read, once there is one."""


def hear() -> threading.Event:
    """Listen for the wish from now on; REQUESTED. In the main thread."""
    if not _heard:
        readable, writable = os.pipe()
        os.set_blocking(writable, False)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        _heard.append(readable)
        threading.Thread(target=_listen, args=(readable,), name="headway-signals", daemon=True).start()
    for number in _SIGNALS:
        signal.signal(number, _nothing)
    return REQUESTED


def _listen(readable: int) -> None:
    while True:
        if set(os.read(readable, 64)) & set(_SIGNALS):
            REQUESTED.set()


def _nothing(_number: int, _frame: object) -> None:
    """The signal must not end the process; the pipe has it already."""
