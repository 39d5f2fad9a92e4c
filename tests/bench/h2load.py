"""Load by h2load (Debian's package nghttp2-client), which costs a small part of what servers do, on one core."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_GRPC = ("-H", "content-type: application/grpc", "-H", "te: trailers")
_JSON = ("--h1", "-H", "content-type: application/json")


@dataclass(frozen=True)
class Load:
    """What is sent, again and again, on each connection as soon as the answer before is there."""

    url: str
    body: Path
    """A file."""
    core: int
    """The one that the client runs on."""
    grpc: bool = False
    """Whether it is a message of gRPC's with its frame, over HTTP/2; else JSON over HTTP/1.1."""


@dataclass(frozen=True)
class Answered:
    """What came of it."""

    count: int
    per_second: float
    median: float
    """Milliseconds."""
    slow: float
    """The 99th percentile, in milliseconds."""


def run(load: Load, connections: int, seconds: float) -> Answered:
    """Send for so long. Raises RuntimeError where h2load is not installed, or a request got no 200."""
    if shutil.which("h2load") is None:
        raise RuntimeError("h2load is missing: apt-get install nghttp2-client")
    log = load.body.with_suffix(".log")
    log.unlink(missing_ok=True)
    words = ["taskset", "-c", str(load.core), "h2load", "-t1", "-m1", f"-c{connections}", f"-D{seconds * 1000:.0f}ms"]
    words += ["-d", str(load.body), f"--log-file={log}", *(_GRPC if load.grpc else _JSON), load.url]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    told = [line.split("\t") for line in log.read_text().splitlines()]
    taken = np.array([int(micro) for _, status, micro in told if status == "200"]) / 1000
    if found is None or len(taken) == 0 or len(taken) != len(told) or any(int(one) for one in found.groups()[1:]):
        raise RuntimeError(f"{load.url} did not answer all of it:\n{done.stdout}")
    return Answered(len(taken), len(taken) / seconds, float(np.median(taken)), float(np.percentile(taken, 99)))
