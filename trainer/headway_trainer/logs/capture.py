"""What this process itself prints, for its own log on the storage, beside where it goes anyway."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from headway_trainer.logs.shipper import Shipper

Take = Callable[[list[str]], None]
"""Takes lines in, without their ends; it returns at once."""
RAYS_PRINTER = "ray_print_logs"
"""The thread in which Ray prints what other processes have printed: that is kept as theirs."""
_LINE_LENGTH = 64 * 2**10
"""What is longer, and has no end yet, is kept in pieces."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Tee:
    """A stream that also hands what is written to it to somebody else, line by line."""

    def __init__(self, stream: TextIO, take: Take) -> None:
        self._stream, self._take = stream, take
        self._lock = threading.Lock()
        self._begun = ""

    def write(self, text: str) -> int:
        """As the stream's."""
        if threading.current_thread().name != RAYS_PRINTER:
            with self._lock:
                *lines, self._begun = (self._begun + text).split("\n")
                if len(self._begun) > _LINE_LENGTH:
                    lines, self._begun = [*lines, self._begun], ""
            if lines:
                self._take(lines)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def capture(take: Take) -> None:
    """Hand all that Python code prints in this process from here on to take, too, but for what Ray prints for others.

    What native code prints goes where it went: nothing may stand between a crash and the pod's log.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", Tee(stream, take)) for stream in before)
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in before:
            handler.setStream(sys.stdout if handler.stream is before[0] else sys.stderr)


class LinesHandler(logging.Handler):
    """Hands log records to somebody, line by line."""

    def __init__(self, take: Take) -> None:
        super().__init__(logging.INFO)
        self._take = take
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on."""
        self._take(self.format(record).splitlines())


@contextlib.contextmanager
def kept(shipper: Shipper) -> Iterator[None]:
    """Keep what this process logs in this block, where its output is a terminal: that is for people alone."""
    root, ours = logging.getLogger(), logging.getLogger("headway")
    handlers: list[logging.Handler] = [LinesHandler(lambda lines: shipper.add(None, lines))]
    if not root.handlers and logging.lastResort is not None:
        handlers.append(logging.lastResort)  # it goes on to print warnings
    level = ours.level
    ours.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    shipper.start()
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        ours.setLevel(level)
        shipper.close()
