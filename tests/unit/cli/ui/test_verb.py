"""The command: what it prints, who else is at its port, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from commands import COMMAND, clean_environment
from fake_kubectl import FakeKubectl, recorded
from headway_cli.cluster.kubectl import Target
from headway_cli.ui.asking import Site
from headway_cli.ui.running import _serve, _way


def start(*words: str) -> subprocess.Popen[str]:
    """Begin the command."""
    environment = clean_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*COMMAND, "ui", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_127_0_0_1_alone_until_it_is_ended(kubectl: FakeKubectl, end: signal.Signals) -> None:
    kubectl.hangs("get")
    process = start("--port", "0", "--namespace", "team-a")
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?key=([-\w]{32})", address)
        assert found is not None, address
        port = int(found[1])
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20)
        with pytest.raises(OSError), socket.create_connection((_other_address(), port), timeout=5):  # noqa: PT011 - any
            pass
        assert found[2] not in Path(f"/proc/{process.pid}/cmdline").read_text()
        # A page whose kubectl hangs does not keep the command from ending.
        with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310 - it was matched above
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        waiting = socket.create_connection(("127.0.0.1", port))
        # Whatever else is served at 127.0.0.1 has put its cookies there, too.
        others = "; ".join(f"other-{index}={'x' * 1000}" for index in range(40))
        head = f"Host: 127.0.0.1:{port}\r\nCookie: {others}; {cookie}"
        waiting.sendall(f"GET /jobs HTTP/1.1\r\n{head}\r\n\r\n".encode())
        while not kubectl.calls("get"):
            assert process.poll() is None
        # The cluster that the page names is the one that it shows, whatever the kubeconfig says by now.
        assert f"--context={recorded('config')['current-context']}" in kubectl.calls("get")[0]
        process.send_signal(end)
        _, told = process.communicate(timeout=20)
        waiting.close()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "namespace team-a" in told
    assert "Traceback" not in told


def _other_address() -> str:
    """An address of this machine that is not 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))
            return str(asked.getsockname()[0])
        except OSError:
            return "127.0.0.2"


def test_a_port_that_is_taken_is_told_in_one_sentence(kubectl: FakeKubectl) -> None:
    del kubectl
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "--port 0 takes a free one" in told
    assert "Traceback" not in told


def test_the_way_to_the_page_is_a_file_for_its_user_alone(tmp_path: Path) -> None:
    path = _way(tmp_path, "http://127.0.0.1:1/?key=a&b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "url=http://127.0.0.1:1/?key=a&amp;b" in path.read_text()


async def test_a_browser_that_takes_the_terminal_does_not_keep_the_pages_from_itself(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    del kubectl
    left, begun, opened, told = threading.Event(), threading.Event(), list[str](), list[str]()

    def lynx(uri: str) -> None:
        opened.append(uri)
        begun.set()
        left.wait(30)

    monkeypatch.setattr("headway_cli.ui.running.webbrowser.open", lynx)
    site = Site(Target(), context="", namespace="default")
    served = asyncio.create_task(_serve(site, 0, told.append, opened=True))
    try:
        async with asyncio.timeout(20):
            await asyncio.to_thread(begun.wait, 20)
            async with aiohttp.ClientSession() as session, session.get(told[0]) as answer:
                assert answer.status == 200
        assert re.fullmatch(r"file:///.*/headway\.html", opened[0])
    finally:
        left.set()
        served.cancel()
        await asyncio.wait([served])
