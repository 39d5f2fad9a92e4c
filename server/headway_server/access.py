"""The access log: a line of JSON for each request, by whichever protocol."""

from __future__ import annotations

import sys
import time

import orjson


def access_log(method: str, path: str, status: int, seconds: float, size: int) -> None:
    """Write a line of JSON for a request to standard output."""
    told = {"time": time.time(), "method": method, "path": path, "status": status, "seconds": seconds, "bytes": size}
    sys.stdout.buffer.write(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
