"""The local image registry: one folder of images in the cache, served inside a cluster or for a moment."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .api import http_answers
from .errors import ClusterError
from .paths import cache_dir
from .shell import need
from .space import Space


def storage() -> Path:
    """Where the images are: shared by all clusters of this user."""
    return cache_dir() / "registry"


def configure(folder: Path, address: str) -> Path:
    """Write the configuration of a registry that serves the common folder."""
    # No blob descriptor cache: another process may write to the same folder.
    text = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage())}, "delete": {"enabled": True}},
        "http": {"addr": address, "secret": "a test registry on this machine only"},
    }
    storage().mkdir(parents=True, exist_ok=True)
    config = folder / "registry.yml"
    config.write_text(json.dumps(text))
    return config


def start(space: Space) -> None:
    """Serve the images to a cluster's containerd, and to the machine for pushing."""
    config = configure(space.paths.config, space.paths.registry)
    space.start("registry", [need("docker-registry"), "serve", str(config)])


def _free_address() -> str:
    """Always the same one if it is free: buildah remembers, by address, which layers a registry has."""
    for wanted in ("127.231.0.1:5000", "127.0.0.1:0"):
        host, _, port = wanted.partition(":")
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            return f"{host}:{probe.getsockname()[1]}"
    raise ClusterError("no free port on the loopback interface")


@contextmanager
def on_loopback(folder: Path) -> Iterator[str]:
    """Serve the same folder on the loopback interface for as long as an image is pushed: no cluster needed."""
    address = _free_address()
    config = configure(folder, address)
    with (folder / "registry.log").open("wb") as log:
        server = subprocess.Popen(
            [need("docker-registry"), "serve", str(config)], stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 10
        while not http_answers(f"http://{address}/v2/"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"the registry did not start:\n{(folder / 'registry.log').read_text()[-1000:]}")
            time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait()
