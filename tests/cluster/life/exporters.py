"""What NVIDIA's DCGM exporter and the kubelet's cAdvisor would tell of pods that seem to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

GAUGES = {
    "DCGM_FI_DEV_GPU_UTIL": (87, True),
    "DCGM_FI_DEV_FB_USED": (40_000, True),
    "DCGM_FI_DEV_POWER_USAGE": (410, True),
    "container_memory_working_set_bytes": (2e9, False),
}
"""Values, and whether they are of a GPU rather than of a container."""
COUNTERS = {
    "container_cpu_usage_seconds_total": 1.5,
    "container_network_receive_bytes_total": 3e6,
    "container_network_transmit_bytes_total": 2e6,
}
"""Growth per second."""


def told(namespace: str, pods: list[str]) -> str:
    """Their exposition, of pods that each hold one GPU."""
    lines = []
    for pod in pods:
        whose = f'namespace="{namespace}",pod="{pod}",container="main"'
        for name, (value, of_gpu) in GAUGES.items():
            gpu = ',gpu="0"' if of_gpu else ""
            lines.append(f"{name}{{{whose}{gpu}}} {value}")
        lines += [f"{name}{{{whose}}} {rate * time.monotonic()}" for name, rate in COUNTERS.items()]
    return "\n".join([*lines, ""])


@contextmanager
def exporting(text: Callable[[], str]) -> Iterator[int]:
    """The port of a server of metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
