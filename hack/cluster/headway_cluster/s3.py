"""A real S3-compatible server on demand, for the machine and for pods."""

from __future__ import annotations

import re
import time

from . import build
from .api import http_answers
from .errors import ClusterError
from .paths import S3_PORT
from .space import Space

ACCESS_KEY = "headway"
SECRET_KEY = "headway-secret"  # noqa: S105  (a test server that only this machine can reach)


def start(space: Space, buckets: list[str]) -> dict[str, str]:
    """Start the server unless it runs, make the buckets, and say how to reach it."""
    if not space.alive():
        raise ClusterError("no cluster: run `hack/cluster/cluster up` first")
    build.build(build.S3)
    folder = space.paths.state / "s3"
    folder.mkdir(exist_ok=True)
    for bucket in buckets:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise ClusterError(f"bucket name {bucket!r}: 3 to 63 of a-z, 0-9, . and -")
        (folder / bucket).mkdir(exist_ok=True)
    address = f"{space.paths.ip}:{S3_PORT}"
    space.start(
        "s3",
        [build.program(build.S3, "versitygw"), "--port", address, "posix", str(folder)],
        {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
    )
    deadline = time.monotonic() + 10
    while not http_answers(f"http://{address}/"):
        if time.monotonic() > deadline:
            raise ClusterError(f"S3 did not start: see {space.paths.logs / 's3.log'}")
        time.sleep(0.1)
    return {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
    }
