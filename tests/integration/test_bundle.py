"""An archive of `headway bundle` serves its model where there is no network: in a namespace that has none."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from commands import headway
from served import bundle

ALONE = ("unshare", "--net", "--map-root-user")
DRIVER = """
import fcntl, json, re, signal, socket, struct, subprocess, sys, urllib.request

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
try:
    socket.create_connection(("192.0.2.1", 443), 5)
except OSError as error:
    network = str(error)
server = subprocess.Popen([sys.argv[1], "--port=0", "--admin-port=0", "--drain-seconds=0"], stdout=subprocess.PIPE,
                          text=True)
said = server.stdout.readline()
port = re.search(r"http://127.0.0.1:([0-9]+)", said)[1]
rows = json.dumps({"instances": [{"size": 1.5, "town": "Kobe"}]}).encode()
with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/churn:predict", rows) as answer:
    told = json.load(answer)
server.send_signal(signal.SIGTERM)
print(json.dumps({"network": network, "answer": told, "end": server.wait(60)}))
"""


def test_an_archive_serves_its_model_without_any_network(tmp_path: Path) -> None:
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a network namespace of its own: unshare --net is not allowed here")
    done = headway("bundle", str(bundle(tmp_path / "churn")), str(tmp_path / "edge.tar.gz"))
    if "pip cannot fetch" in done.stderr:
        pytest.skip(f"needs a package index: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "edge.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    run = tmp_path / "edge" / "run.sh"
    for place in (run, (tmp_path / "moved" / "run.sh")):
        if not place.exists():
            (tmp_path / "edge").rename(tmp_path / "moved")
        asked = subprocess.run(
            [*ALONE, sys.executable, "-c", DRIVER, str(place)],
            env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr
        told = json.loads(asked.stdout)
        assert "unreachable" in told["network"]
        assert told["answer"]["predictions"] == [{"label": "Kobe", "probabilities": {"no": 1.5, "yes": 3.0}}]
        assert told["end"] == 0
