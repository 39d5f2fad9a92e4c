"""A real Prometheus, with a history that nobody scraped or one that scrapes."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drawn.history import History
from harness import HACK_CLUSTER, run
from ports import free_port

PATIENCE = 120


@contextmanager
def remembering(history: History, folder: Path) -> Iterator[str]:
    """Its address."""
    made, blocks = folder / "history.om", folder / "tsdb"
    with made.open("w") as file:
        file.writelines(history.text())
    promtool = run(HACK_CLUSTER, "which", "promtool", timeout=600).strip()
    run(promtool, "tsdb", "create-blocks-from", "openmetrics", made, blocks, timeout=600)
    made.unlink()
    with _running("global: {scrape_interval: 30s}\n", blocks, folder) as address:
        yield address


@contextmanager
def scraping(config: str, folder: Path) -> Iterator[str]:
    """The address of one that scrapes as a configuration says, and remembers as long as it runs."""
    with _running(config, folder / "tsdb", folder) as address:
        yield address


@contextmanager
def _running(told: str, storage: Path, folder: Path) -> Iterator[str]:
    config, port = folder / "prometheus.yaml", free_port()
    config.write_text(told)
    address = f"http://127.0.0.1:{port}"
    words = [
        run(HACK_CLUSTER, "which", "prometheus", timeout=600).strip(), f"--config.file={config}",
        f"--storage.tsdb.path={storage}", "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        _until_ready(address)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _until_ready(address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:  # noqa: S310 - our own
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"Prometheus was not ready within {PATIENCE} s")
