"""A real S3-compatible server on this machine: versitygw, built here, on a port of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway_cluster import build
from ports import free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "headway", "AWS_SECRET_ACCESS_KEY": "headway-secret", "AWS_REGION": "us-east-1"}
BUCKET = "models"
WITHIN_SECONDS = 20


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The URL of a server that keeps its bucket below a folder. Skips the test where it cannot be built."""
    if build.asset("versitygw") is None and not (build.S3.out() / "versitygw").exists() and not shutil.which("go"):
        pytest.skip("needs go to build versitygw")
    build.build(build.S3)
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    server = subprocess.Popen(
        [build.program(build.S3, "versitygw"), "--port", f"127.0.0.1:{port}", "posix", str(folder)],
        env={"ROOT_ACCESS_KEY": "headway", "ROOT_SECRET_KEY": "headway-secret", "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=WITHIN_SECONDS)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=1)  # noqa: S310 - our own server
        except urllib.error.HTTPError:
            return
        except OSError:
            assert server.poll() is None, "versitygw ended"
            assert time.monotonic() < deadline, "versitygw did not answer"
            time.sleep(0.05)
        else:
            return
